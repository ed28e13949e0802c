"""What a running daemon says of its troubles becomes warnings of the report."""

import json
from collections.abc import Mapping

from cri.cli.examine.daemon import troubles
from cri.cli.examine.findings import Level
from cri.cli.ops import NoDaemon


def test_each_trouble_is_a_warning() -> None:
    told = [{"subject": "leftover /x", "error": "cannot be removed"}, {"subject": "disk", "error": "full"}]
    found = list(troubles(lambda: {"troubles": json.dumps(told)}))
    assert [(one.level, one.text) for one in found] == [
        (Level.WARNING, "leftover /x: cannot be removed"),
        (Level.WARNING, "disk: full"),
    ]


def test_no_daemon_or_an_older_one_has_none() -> None:
    def none() -> Mapping[str, str]:
        raise NoDaemon("nobody answers")

    assert list(troubles(none)) == []
    assert list(troubles(dict)) == []
