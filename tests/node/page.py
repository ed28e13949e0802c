"""The commands of docs/kubernetes.md, so that the tests run what readers run."""

import re

from tests.harness.cache import PROJECT

PAGE = PROJECT / "docs/kubernetes.md"


def commands(heading: str) -> list[str]:
    """The lines of the first block of commands below that heading."""
    section = PAGE.read_text().partition(f"\n## {heading}\n")[2].partition("\n## ")[0]
    found = re.search(r"^```sh\n(.*?)^```$", section, re.MULTILINE | re.DOTALL)
    assert found is not None, f"{PAGE}: no block of commands below {heading!r}"
    return found[1].splitlines()
