"""What the daemon tells the monitor and learns from it, as frozen values."""

from dataclasses import dataclass
from pathlib import Path

from api.errors import DeadlineExceeded, FailedPrecondition, Internal, NotFound, Unavailable
from api.ids import ContainerId
from oci.monitor.protocol import Record as MonitorRecord
from oci.runtime import Runtime

__all__ = [
    "CreateContainer",
    "Created",
    "ExecFinished",
    "Exited",
    "LogHung",
    "LogRefused",
    "MonitorFailed",
    "MonitorRecord",
    "MonitorUnavailable",
    "NotLive",
    "StuckLog",
    "UnknownContainer",
]


class MonitorUnavailable(Unavailable):
    """The monitor cannot be started or reached, or died while it was asked."""


class MonitorLost(MonitorUnavailable):
    """The monitor died while it was asked."""


class MonitorFailed(Internal):
    """The monitor could not do what it was asked, for a reason of its own (a log that cannot be opened …)."""


class LogRefused(FailedPrecondition):
    """A part of a log's path is a symbolic link: a log is written where it was said to be, or not at all."""


class LogHung(DeadlineExceeded):
    """A log's file system has not answered in time: it is frozen, or its server or disk is gone."""


class UnknownContainer(NotFound):
    """The monitor has no record of this container."""


class NotLive(FailedPrecondition):
    """The container's first process has ended, or the container lacks what was asked for (a console …)."""


@dataclass(frozen=True, slots=True)
class CreateContainer:
    """One container to create from its bundle, and what to do with its output.

    ``log_path`` (no part of it a symbolic link) None discards output; its directory must exist, and lies on
    the file system ``log_device`` (st_dev): logs of one file system are written by one process, and wait for
    each other. ``log_size_max`` of 0 means no limit, otherwise the log is cut to nothing when the next line
    would exceed so many bytes; ``log_rate`` bounds the bytes a second, 0 does not. Within ``log_timeout_s``
    the file system must open the log; and if it has not taken all output so long after the container's end,
    that is told nevertheless, and the rest is written when that is possible. ``terminal`` must
    equal the process object's. ``stdin_once`` closes stdin when the first attachment ends. ``stdio_owner`` is
    the uid and gid on the node that the pipes are given to, for runtimes cannot do it in a user namespace.
    """

    id: ContainerId
    runtime: Runtime
    bundle: Path
    log_path: Path | None = None
    log_device: int = 0
    terminal: bool = False
    stdin: bool = False
    stdin_once: bool = False
    no_pivot: bool = False
    log_size_max: int = 0
    log_rate: int = 0
    log_timeout_s: float = 10.0
    timeout_s: float = 240.0
    stdio_owner: tuple[int, int] = (0, 0)


@dataclass(frozen=True, slots=True)
class Created:
    """The first process of a created container; ``start_time`` in clock ticks after boot."""

    pid: int
    start_time: int


@dataclass(frozen=True, slots=True)
class Exited:
    """A container has ended and its log is complete, unless its file system did not take it in time.

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


@dataclass(frozen=True, slots=True)
class StuckLog:
    """A log that its file system has not taken since then; ``is_refused`` if it said that it has no room."""

    id: ContainerId
    path: str
    since_ns: int
    is_refused: bool
