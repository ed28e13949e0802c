"""How far a pull is, on standard error: bars on a terminal, a line at each step elsewhere, JSON with -o json.

Standard output stays the outcome's alone.
"""

import asyncio
import json
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from cri.cli.ops import progress_lines
from cri.cli.output import redraw, warn
from cri.history import progress_of
from storage.progress import Layer, Progress

PACE_S = 0.2
LINES_PACE_S = 5.0


class PullShown:
    """See storage.progress.Watch."""

    def __init__(self, form: str) -> None:
        self._form = form
        self._bars = form == "table" and sys.stderr.isatty()
        self._progress: Progress | None = None
        self._drawn = 0
        self._timer = asyncio.create_task(self._keep())

    @contextmanager
    def step(self, name: str) -> Iterator[None]:
        self._tell(name)
        yield

    def layers(self, layers: Sequence[Layer]) -> None:
        self._progress = Progress(layers)

    def ended(self, error: BaseException | None) -> None:
        self._timer.cancel()
        self._show()

    def _tell(self, step: str) -> None:
        if self._form == "table":
            warn(step)
            self._drawn = 0
        else:
            warn(json.dumps({"step": step}))

    async def _keep(self) -> None:
        while True:
            await asyncio.sleep(PACE_S if self._bars else LINES_PACE_S)
            self._show()

    def _show(self) -> None:
        if self._progress is None:
            return
        told = {"progress": progress_of(self._progress)}
        if self._form != "table":
            warn(json.dumps(told))
            return
        lines = progress_lines(told)
        if self._bars:
            redraw(lines, self._drawn)
            self._drawn = len(lines)
        else:
            warn(lines[0])
