"""A daemon and a monitor that kill themselves by a plan: ``python -m tests.crash.daemon PLAN serve …``."""

import sys
from pathlib import Path

from oci.monitor import launch
from tests.crash.planned import DAEMON, MONITOR, Planned
from tests.crash.points import put, steps

# As launch has it, but for the end.
_MONITOR = (
    "import sys; sys.path.insert(0, sys.argv[1]); from tests.crash.daemon import monitor; monitor({!r})"
)


def monitor(plan: str) -> None:
    """Be the monitor, in the process that the daemon has started for it."""
    put(Planned(Path(plan), MONITOR))
    from oci.monitor.main import main

    main()


def main(plan: Path) -> int:
    """Be the daemon, or another of its command's verbs."""
    launch._PROGRAM = _MONITOR.format(str(plan))
    planned = Planned(plan, DAEMON)
    put(planned)
    steps(planned)
    from cri.cli import main as podwright

    return podwright(sys.argv[2:])


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
