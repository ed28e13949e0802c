"""What the daemon tells the monitor and learns from it, as frozen values."""

from dataclasses import dataclass
from pathlib import Path

from api.errors import FailedPrecondition, Internal, NotFound, Unavailable
from api.ids import ContainerId
from oci.monitor.protocol import Record as MonitorRecord
from oci.runtime import Runtime

__all__ = [
    "CreateContainer",
    "Created",
    "ExecFinished",
    "Exited",
    "MonitorFailed",
    "MonitorRecord",
    "MonitorUnavailable",
    "NotLive",
    "UnknownContainer",
]


class MonitorUnavailable(Unavailable):
    """The monitor cannot be started or reached, or died while it was asked."""


class MonitorFailed(Internal):
    """The monitor could not do what it was asked, for a reason of its own (a log that cannot be opened …)."""


class UnknownContainer(NotFound):
    """The monitor has no record of this container."""


class NotLive(FailedPrecondition):
    """The container's first process has ended, or the container lacks what was asked for (a console …)."""


@dataclass(frozen=True, slots=True)
class CreateContainer:
    """One container to create from its bundle, and what to do with its output.

    ``log_path`` None discards output; its directory must exist. ``log_size_max`` of 0 means no limit,
    otherwise the log is cut to nothing when the next line would exceed so many bytes. ``terminal`` must
    equal the process object's. ``stdin_once`` closes stdin when the first attachment ends. ``stdio_owner`` is
    the uid and gid on the node that the pipes are given to, for runtimes cannot do it in a user namespace.
    """

    id: ContainerId
    runtime: Runtime
    bundle: Path
    log_path: Path | None = None
    terminal: bool = False
    stdin: bool = False
    stdin_once: bool = False
    no_pivot: bool = False
    log_size_max: int = 0
    timeout_s: float = 240.0
    stdio_owner: tuple[int, int] = (0, 0)


@dataclass(frozen=True, slots=True)
class Created:
    """The first process of a created container; ``start_time`` in clock ticks after boot."""

    pid: int
    start_time: int


@dataclass(frozen=True, slots=True)
class Exited:
    """A container has ended and its log is complete.

    ``exit_code`` is 128 + n after signal n, and None if the monitor was dead at the time and nobody could
    see it.
    """

    id: ContainerId
    exit_code: int | None
    finished_at_ns: int
    oom_killed: bool


@dataclass(frozen=True, slots=True)
class ExecFinished:
    """How an exec ended; ``timed_out`` if it was killed for its time limit."""

    exit_code: int | None
    timed_out: bool = False
