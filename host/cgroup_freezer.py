"""The freezer of one cgroup: freezer.state of version 1, cgroup.freeze of version 2 (cgroup-v2.rst).

    thawed ──freeze──▶ freezing ──every task stands still──▶ frozen ──thaw──▶ thawed

A task in uninterruptible sleep keeps a cgroup freezing for as long as it sleeps.
"""

import time
from dataclasses import dataclass
from pathlib import Path

from api.errors import FailedPrecondition

_POLL_S = 0.01


class WillNotFreeze(FailedPrecondition):
    """A process does not stand still, or there is no freezer."""


@dataclass(frozen=True, slots=True)
class Freezer:
    """The freezer of ``directory``; None where the machine has none, or the cgroup is gone."""

    directory: Path | None
    v2: bool

    def is_frozen(self) -> bool:
        """Whether it is frozen, or about to be."""
        if self.directory is None:
            return False
        try:
            text = (self.directory / ("cgroup.freeze" if self.v2 else "freezer.state")).read_text().strip()
        except OSError:
            return False
        return text not in ("0", "THAWED")

    def freeze(self, timeout_s: float) -> None:
        """
        Raises:
            WillNotFreeze: not within ``timeout_s``; it is thawed again.
        """
        if self.directory is None:
            raise WillNotFreeze("there is no cgroup freezer for this container")
        deadline = time.monotonic() + timeout_s
        try:
            self._set(frozen=True)
            while not self._stands_still():
                if time.monotonic() > deadline:
                    raise WillNotFreeze(
                        f"{self.directory}: not frozen within {timeout_s:g} s: probably a process is in "
                        "uninterruptible sleep; all go on"
                    )
                time.sleep(_POLL_S)
        except BaseException:
            self.thaw()
            raise

    def thaw(self) -> None:
        """Let it go on; one that is gone is fine."""
        if self.directory is not None:
            try:
                self._set(frozen=False)
            except FileNotFoundError:
                pass

    def _set(self, *, frozen: bool) -> None:
        assert self.directory is not None
        if self.v2:
            (self.directory / "cgroup.freeze").write_text("1" if frozen else "0")
        else:
            (self.directory / "freezer.state").write_text("FROZEN" if frozen else "THAWED")

    def _stands_still(self) -> bool:
        assert self.directory is not None
        if self.v2:
            return "frozen 1" in (self.directory / "cgroup.events").read_text().splitlines()
        # Version 1 freezes what was forked meanwhile when it is told again.
        state = (self.directory / "freezer.state").read_text().strip()
        if state != "FROZEN":
            self._set(frozen=True)
        return state == "FROZEN"
