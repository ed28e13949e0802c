from cri.cli.examine.findings import Level
from cri.cli.examine.logs import stuck


def test_each_log_that_is_stuck_is_a_warning() -> None:
    assert [(one.level, one.text) for one in stuck(["log /a", "log /b"])] == [
        (Level.WARNING, "log /a"),
        (Level.WARNING, "log /b"),
    ]
