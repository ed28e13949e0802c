"""Starting and ending child processes: posix_spawn, process groups, start times, prctl.

Small on purpose: the monitor imports it, so no asyncio, pathlib or dataclasses here (they cost it megabytes).
"""

import contextlib
import ctypes
import fcntl
import itertools
import os
import select
import signal
import struct
from collections.abc import Iterator, Mapping, Sequence

from api.errors import FailedPrecondition
from host.syscalls import libc, raise_errno

PR_SET_PDEATHSIG = 1
PR_SET_DUMPABLE = 4
PR_SET_NAME = 15
PR_SET_CHILD_SUBREAPER = 36
# What containers and plugins make has ordinary modes; ours is 077 (host/private.py).
_UMASK_OF_PROGRAMS = 0o022
_STANDARD_ERROR = 2
# By processes that only their daemon ends: what is meant for it reaches its whole unit (systemctl kill).
IGNORED = (signal.SIGHUP, signal.SIGINT, signal.SIGQUIT, signal.SIGUSR1, signal.SIGUSR2)
# An ignored signal stays ignored across exec: CPython ignores the first two, the monitor the others.
_DEFAULT_SIGNALS = (signal.SIGPIPE, signal.SIGXFSZ, *IGNORED)


class CommandNotStarted(FailedPrecondition):
    """The program is missing or may not be executed."""


def prctl(option: int, value: int) -> None:
    """``prctl(option, value, 0, 0, 0)``; errno becomes OSError."""
    zero = ctypes.c_ulong(0)
    if libc.prctl(ctypes.c_int(option), ctypes.c_ulong(value), zero, zero, zero) < 0:
        raise_errno(f"prctl {option}")


def become_subreaper(*, yes: bool = True) -> None:
    """Orphans among our descendants become our children instead of those of process 1; or no longer."""
    prctl(PR_SET_CHILD_SUBREAPER, int(yes))


def keep_to_itself() -> None:
    """Let nobody look into this process: not by ptrace, not by /proc, and by no core, whatever the limit is.
    Descriptors that it was started with beyond the three stay its own.

    For daemon, monitor and subcommands, whose memory has credentials and environments of containers. The
    programs that they execute start without it, and with their limit on cores (prctl(2), core(5)).
    """
    prctl(PR_SET_DUMPABLE, 0)
    for name in os.listdir("/proc/self/fd"):
        with contextlib.suppress(OSError):  # that of the directory itself
            os.set_inheritable(int(name), int(name) <= _STANDARD_ERROR)


def start_time(pid: int) -> int:
    """Clock ticks from boot to the start of process ``pid``: with the pid it names one process for ever.

    Raises:
        ProcessLookupError: no such process.
    """
    try:
        with open(f"/proc/{pid}/stat", "rb") as file:
            text = file.read()
    except FileNotFoundError:
        raise ProcessLookupError(pid) from None
    return int(text[text.rindex(b")") + 2 :].split()[19])  # field 22 of proc(5), counted after the name


def is_child(pid: int) -> bool:
    """Whether this process is the parent of ``pid``, which it has not reaped."""
    try:
        with open(f"/proc/{pid}/stat", "rb") as file:
            text = file.read()
    except OSError:
        return False
    return int(text[text.rindex(b")") + 2 :].split()[1]) == os.getpid()  # field 4 of proc(5)


def kill_group(pid: int) -> None:
    """SIGKILL to the process group that ``pid`` leads, else to ``pid``; one that is gone is fine.

    Only for a child that has not been reaped: the number cannot have passed to another process then.
    """
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(pid, signal.SIGKILL)
        return
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, signal.SIGKILL)


def kill_group_of(pid: int) -> None:
    """SIGKILL to ``pid`` and to the group that it is in, unless that is ours; one that is gone is fine.

    For execs: runc makes the process lead a session; crun leaves it in the group of the exec command, which
    led one. The same care as for :func:`kill_group`.
    """
    with contextlib.suppress(ProcessLookupError):
        group = os.getpgid(pid)
        if group != os.getpgrp():
            kill_group(group)
        kill_group(pid)


def has_ended(pidfd: int) -> bool:
    """Whether the process behind ``pidfd`` has ended, be it that nobody has reaped it."""
    poll = select.poll()
    poll.register(pidfd, select.POLLIN)
    return bool(poll.poll(0))


@contextlib.contextmanager
def oom_score_adj(wanted: int) -> Iterator[None]:
    """Have ``wanted`` (proc(5), -1000 to 1000) while the block lasts: a child started in it keeps it.

    Lowering needs CAP_SYS_RESOURCE; without it our own value stays.
    """
    with open("/proc/self/oom_score_adj", "r+b", buffering=0) as file:
        own = int(file.read())
        with contextlib.suppress(PermissionError):
            file.write(b"%d" % wanted)
        try:
            yield
        finally:
            with contextlib.suppress(PermissionError):
                file.write(b"%d" % own)


def spawn(
    argv: Sequence[str],
    env: Mapping[str, str],
    descriptors: Sequence[int],
    *,
    new_session: bool = False,
) -> int:
    """Start ``argv`` (a path first) leading a process group, ``descriptors`` as its 0, 1, 2 …; give its pid.

    The descriptors must lie above their targets (ours do: the first three are always taken); dup2 clears
    close-on-exec, and everything else that we hold has it set. ``env`` is all of its environment: see
    host/environment.py. Changes the umask for a moment: a process with threads calls it by host.processes.

    Raises:
        CommandNotStarted: the file is missing, not executable, or no process could be made.
    """
    own = os.umask(_UMASK_OF_PROGRAMS)
    try:
        return os.posix_spawn(
            argv[0],
            list(argv),
            dict(env),
            file_actions=[(os.POSIX_SPAWN_DUP2, source, target) for target, source in enumerate(descriptors)],
            **({"setsid": True} if new_session else {"setpgroup": 0}),
            setsigmask=[],
            setsigdef=list(_DEFAULT_SIGNALS),
        )
    except OSError as error:
        raise CommandNotStarted(f"cannot start {argv[0]}: {error.strerror}") from error
    finally:
        os.umask(own)


# linux/pidfd.h: struct pidfd_info in its first size, and the wish for the exit status (Linux 6.15).
_PIDFD_INFO = struct.Struct("=QQ12I")
_PIDFD_INFO_EXIT = 1 << 3
_PIDFD_GET_INFO = 0xC0000000 | _PIDFD_INFO.size << 16 | 0xFF << 8 | 11


def exit_code_of(wait_status: int) -> int:
    """The code that containers report: the exit status, or 128 + n after signal n."""
    code = os.waitstatus_to_exitcode(wait_status)
    return code if code >= 0 else 128 - code


def pidfd_exit_code(pidfd: int) -> int | None:
    """The exit code (128 + n after signal n) of an ended process, reaping it if it is our child.

    None while it runs, while its parent has not reaped it, and for good where the kernel does not tell
    (before 6.15) about a process that is not our child.
    """
    try:
        result = os.waitid(os.P_PIDFD, pidfd, os.WEXITED | os.WNOHANG)
    except ChildProcessError:
        return _reported_exit_code(pidfd)
    if result is None:
        return None
    return result.si_status if result.si_code == os.CLD_EXITED else 128 + result.si_status


def tells_exit_codes() -> bool:
    """Whether the kernel tells the exit code of an ended process by pidfd to who is not its parent (6.15)."""
    major, minor, *_ = os.uname().release.split(".")
    return (int(major), int("".join(itertools.takewhile(str.isdigit, minor)) or 0)) >= (6, 15)


def _reported_exit_code(pidfd: int) -> int | None:
    request = bytearray(_PIDFD_INFO.pack(_PIDFD_INFO_EXIT, *[0] * 13))
    try:
        fcntl.ioctl(pidfd, _PIDFD_GET_INFO, request)
    except OSError:
        return None
    mask, *_, status = _PIDFD_INFO.unpack(request)
    return exit_code_of(status) if mask & _PIDFD_INFO_EXIT else None
