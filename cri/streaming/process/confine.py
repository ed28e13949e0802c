"""What the streaming process keeps when it has started: descriptors, memory, and few system calls.

It talks with strangers, so what it could be made to do is little: no identity but an unprivileged one, no
capability, no new process or program, no file, no connection of its own, no other process's memory, and a
bounded memory of its own. What a kernel or a machine cannot give is said in the log and left out.
"""

import gc
import logging
import os
import pwd
import resource
import signal
from contextlib import suppress
from pathlib import Path
from typing import Final

from api.errors import PodwrightError
from host import confine
from host.libseccomp import Comparison, Rule, action, compile_filter
from host.memory import keep_freed_memory

logger = logging.getLogger(__name__)

ACCOUNT: Final = "podwright-streaming"
NOBODY: Final = 65534
# All of the sessions' shares, those that wait, and an interpreter: far from it in peace.
MEMORY_BYTES: Final = 768 << 20
_KEPT_BYTES: Final = 4 << 20  # pieces come and go by the thousand a second
DESCRIPTORS: Final = 32768
# Above the daemon's own: when memory is short it is ended first.
MILDER_BY: Final = 100

_PROT_EXEC: Final = 4
_WRITING_FLAGS: Final = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND
_TIOCSWINSZ, _FIONBIO, _FIOCLEX, _TCGETS = 0x5414, 0x5421, 0x5451, 0x5401

_BYTES: Final = (
    "read readv write writev pread64 lseek close close_range dup fcntl fstat newfstatat statx poll ppoll "
    "accept4 recvfrom recvmsg sendto sendmsg shutdown getsockopt setsockopt getsockname getpeername "
    "epoll_create1 epoll_ctl epoll_wait epoll_pwait epoll_pwait2"
)
_MEMORY_AND_TIME: Final = (
    "brk munmap mremap madvise futex rseq membarrier getrandom clock_gettime clock_getres clock_nanosleep "
    "nanosleep gettimeofday time sched_yield getrusage sysinfo"
)
_ITSELF: Final = (
    "getpid gettid getuid geteuid getgid getegid getppid rt_sigaction rt_sigprocmask rt_sigreturn "
    "sigaltstack restart_syscall exit exit_group uname"
)


class ManyThreads(PodwrightError):
    """Privileges, Landlock's rules and the filter are a thread's own."""


def confine_self(*, data_bytes: int = MEMORY_BYTES) -> None:
    """Give up all of it; to be called with everything imported and the event loop made.

    Raises:
        ManyThreads: another thread would keep what this one gives up.
    """
    if len(list(Path("/proc/self/task").iterdir())) > 1:
        raise ManyThreads("a second thread runs, which would keep privileges and files")
    program = _compiled_filter()  # as long as files can be opened
    _mind_limits(data_bytes)
    _raise_oom_score()
    if os.geteuid() == 0:
        _change_identity()
    confine.no_new_privileges()
    confine.hide_from_peers()
    confine.end_with_parent(signal.SIGKILL)
    if not confine.no_files():
        logger.info("this kernel has no Landlock: the streaming process could read what everybody can")
    if program is not None:
        confine.load_filter(program)
    gc.collect()
    gc.freeze()


def identity() -> tuple[int, int]:
    """The account of that name, if the machine has it; else nobody's numbers."""
    try:
        entry = pwd.getpwnam(ACCOUNT)
    except KeyError:
        return NOBODY, NOBODY
    return entry.pw_uid, entry.pw_gid


def open_files() -> int:
    """How many descriptors the process is going to have."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    return DESCRIPTORS if hard == resource.RLIM_INFINITY else min(hard, DESCRIPTORS)


def _mind_limits(data_bytes: int) -> None:
    keep_freed_memory(_KEPT_BYTES)
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    resource.setrlimit(resource.RLIMIT_DATA, (data_bytes, data_bytes))
    resource.setrlimit(resource.RLIMIT_MEMLOCK, (0, 0))
    resource.setrlimit(resource.RLIMIT_MSGQUEUE, (0, 0))
    most = open_files()
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))


def _raise_oom_score() -> None:
    with suppress(OSError), Path("/proc/self/oom_score_adj").open("r+b", buffering=0) as file:
        own = int(file.read())
        file.seek(0)
        file.write(b"%d" % min(1000, own + MILDER_BY))


def _change_identity() -> None:
    uid, gid = identity()
    with suppress(PermissionError):  # no CAP_SETPCAP: no_new_privileges does the same
        confine.drop_bounding_set()
    confine.become(uid, gid)
    confine.drop_capabilities()


def _compiled_filter() -> bytes | None:
    try:
        return call_filter()
    except PodwrightError as error:
        logger.warning("the streaming process has no filter of system calls error=%s", error)
        return None


def call_filter() -> bytes:
    """The compiled filter: what is not listed fails with EPERM.

    Raises:
        NoLibseccomp, FilterRefused: as compile_filter.
    """
    allow = action("SCMP_ACT_ALLOW", None)
    names = f"{_BYTES} {_MEMORY_AND_TIME} {_ITSELF}".split()
    rules = [Rule(name, allow) for name in names]
    for call in ("mmap", "mprotect"):  # code that was not there at the start is not run
        rules.append(Rule(call, allow, (Comparison(2, "SCMP_CMP_MASKED_EQ", _PROT_EXEC, 0),)))
    rules.append(Rule("openat", allow, (Comparison(2, "SCMP_CMP_MASKED_EQ", _WRITING_FLAGS, 0),)))
    for request in (_TIOCSWINSZ, _FIONBIO, _FIOCLEX, _TCGETS):
        rules.append(Rule("ioctl", allow, (Comparison(1, "SCMP_CMP_EQ", request),)))
    return compile_filter(action("SCMP_ACT_ERRNO", None), (), rules)
