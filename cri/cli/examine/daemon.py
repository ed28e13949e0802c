"""What a running daemon cannot do and tries again, as its Status tells."""

import json
from collections.abc import Callable, Iterator, Mapping

from cri.cli.examine.findings import Finding, warning
from cri.cli.ops import NoDaemon


def troubles(ask: Callable[[], Mapping[str, str]]) -> Iterator[Finding]:
    """One warning for each, none when no daemon runs; ``ask`` gives Status's info, or raises NoDaemon."""
    try:
        info = ask()
    except NoDaemon:
        return
    for trouble in json.loads(info.get("troubles", "[]")):
        yield warning("daemon", f"{trouble['subject']}: {trouble['error']}")
