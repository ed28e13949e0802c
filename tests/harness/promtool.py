"""promtool, Prometheus' checker of rules and expositions, out of Debian's package."""

from pathlib import Path

from tests.harness.debian import find, unpacked


def promtool() -> Path:
    """The program; fetched once."""
    tree, _ = unpacked(["prometheus"])
    return find(tree, "promtool")
