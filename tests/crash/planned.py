"""A process that dies by a plan: daemon, monitor, keeper and log writers, all under one.

    <plan>         while it is there the process counts its points; JSON: number of the plan, who is to die
                   and at which point, and who dies with him; gone when that has happened
    <plan>.trace   every point that is passed while nobody is to die: who and where, a line each
    <plan>.died    the name of the point at which somebody did

A point is told with the line of the product's code that brings it about; what only writes a log has none.
"""

import contextlib
import json
import os
import signal
import sys
import threading
from dataclasses import astuple, dataclass, replace
from pathlib import Path
from types import FrameType

ROOT = str(Path(__file__).resolve().parents[2])
TESTS = f"{ROOT}/tests/"
_KEEPER_NAME = "podwright-keep"  # of which the kernel keeps 15 characters
# Of helpers, and of who called them: enough to tell two steps apart.
_LINES = 4
DAEMON, MONITOR, WRITER, KEEPER = "daemon", "monitor", "writer", "keeper"


@dataclass(frozen=True)
class Plan:
    """``who`` is to die at his point ``at``, counted from 1, and ``also`` these processes just before.

    So do his ``successors``, each one point later than the one before.
    """

    number: int
    who: str = ""
    at: int = 0
    also: tuple[int, ...] = ()
    successors: int = 0

    def write(self, path: Path) -> None:
        new = path.with_suffix(".new")
        new.write_text(json.dumps(astuple(self)))
        new.rename(path)


def trace(plan: Path) -> Path:
    return plan.with_suffix(".trace")


def died(plan: Path) -> Path:
    return plan.with_suffix(".died")


class Planned:
    """See the module's docstring. What the monitor forks is told by the name that it gives itself."""

    def __init__(self, plan: Path, who: str) -> None:
        self._plan = plan
        self._who = who
        self._pid = os.getpid()
        self._number = 0
        self._passed = 0
        self._within = threading.local()
        self._one = threading.Lock()

    def __call__(self, name: str) -> None:
        if getattr(self._within, "point", False):
            return
        self._within.point = True
        try:
            self._look(name)
        finally:
            self._within.point = False

    def _look(self, name: str) -> None:
        try:
            text = self._plan.read_text()
        except FileNotFoundError:
            return
        place = _place(sys._getframe(2))
        if place:
            plan = Plan(*json.loads(text))
            with self._one:
                self._pass(plan, f"{name} in {place}")

    def _pass(self, plan: Plan, name: str) -> None:
        who = self._who if os.getpid() == self._pid else _forked()
        if not plan.who:
            with trace(self._plan).open("a") as file:
                file.write(f"{who} {name}\n")
        elif plan.who == who:
            if plan.number != self._number:
                self._number, self._passed = plan.number, 0
            self._passed += 1
            if self._passed == plan.at:
                self._die(plan, name)

    def _die(self, plan: Plan, name: str) -> None:
        if plan.successors:
            replace(plan, at=plan.at + 1, successors=plan.successors - 1).write(self._plan)
        else:
            self._plan.unlink()
        for pid in plan.also:
            with contextlib.suppress(ProcessLookupError):  # who was replaced in the course of the verb
                os.kill(pid, signal.SIGKILL)
        died(self._plan).write_text(name)
        os.kill(os.getpid(), signal.SIGKILL)
        signal.pause()


def _forked() -> str:
    return KEEPER if Path("/proc/self/comm").read_text().startswith(_KEEPER_NAME) else WRITER


def _place(frame: FrameType | None) -> str:
    """The innermost lines of the product; "" for what is none of its own doing, and for lines of logs."""
    lines: list[str] = []
    while frame is not None:
        file = frame.f_code.co_filename
        if "/logging/" in file or file.endswith(("cri/log_queue.py", "monitor/complaints.py")):
            return ""
        if file.startswith(ROOT) and not file.startswith(TESTS) and "/.venv/" not in file:
            lines.append(f"{file[len(ROOT) + 1 :]}:{frame.f_lineno} {frame.f_code.co_name}")
        frame = frame.f_back
    return " < ".join(lines[:_LINES])
