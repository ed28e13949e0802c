"""A daemon that kills itself at a chosen point: ``python -m tests.crash.daemon PLAN serve …``.

PLAN is a file. While it is there, points are counted from its appearance on; its content is the number of the
one to die at, and the name of that point is written behind it.
"""

import os
import signal
import sys
from pathlib import Path

from cri.cli import main
from tests.crash.points import put


class Planned:
    """See the module's docstring."""

    def __init__(self, plan: Path) -> None:
        self._plan = plan
        self._passed = 0

    def __call__(self, name: str) -> None:
        try:
            at = int(self._plan.read_text())
        except FileNotFoundError:
            self._passed = 0
            return
        self._passed += 1
        if self._passed == at:
            self._plan.write_text(f"{at} {name}")
            os.kill(os.getpid(), signal.SIGKILL)
            signal.pause()


if __name__ == "__main__":
    put(Planned(Path(sys.argv[1])))
    sys.exit(main(sys.argv[2:]))
