"""Logs that the running monitor cannot write."""

from collections.abc import Iterable, Iterator

from cri.cli.examine.findings import Finding, warning


def stuck(texts: Iterable[str]) -> Iterator[Finding]:
    """Each of them, as the daemon describes it; their containers wait, all others go on."""
    for text in texts:
        yield warning("logs", text)
