"""The filters of system calls of the processes that unpack layers; compiled once, by the daemon.

What is not listed fails with EPERM.
"""

import logging
from functools import cache

from api.errors import PodwrightError
from host.libseccomp import Comparison, Rule, action, compile_filter
from storage.unpack.confine import Filters

log = logging.getLogger(__name__)

_ENOSYS = 38
_PROT_EXEC = 4
_CLONE_THREAD = 0x00010000
_F_DUPFD_CLOEXEC, _F_GETFD, _F_SETFD, _F_GETFL = 1030, 1, 2, 3  # nothing by which a signal could be sent
_BYTES = "read readv write writev lseek close fstat newfstatat statx dup ftruncate sendmsg recvfrom wait4"
_TREE = (
    "openat openat2 mkdirat unlinkat renameat renameat2 symlinkat linkat fchown fchownat fchmod utimensat "
    "fsetxattr fstatfs getdents64"
)
_MEMORY_AND_TIME = (
    "brk munmap mremap madvise futex rseq membarrier set_robust_list getrandom clock_gettime clock_getres "
    "clock_nanosleep gettimeofday sched_yield sched_getaffinity getrusage"
)
_ITSELF = "getpid gettid rt_sigaction rt_sigprocmask rt_sigreturn sigaltstack restart_syscall exit exit_group"
_MARKER = (
    "recvmsg sendto fsetxattr close brk munmap mremap madvise futex rt_sigreturn exit exit_group getrandom"
)


@cache
def filters() -> Filters:
    """Both; empty where libseccomp is missing, which the log says once."""
    try:
        return Filters(_unpack(), _marker())
    except PodwrightError as error:
        log.warning("processes that unpack layers have no filter of system calls error=%s", error)
        return Filters()


def _unpack() -> bytes:
    allow = action("SCMP_ACT_ALLOW", None)
    rules = [Rule(name, allow) for name in f"{_BYTES} {_TREE} {_MEMORY_AND_TIME} {_ITSELF}".split()]
    rules += _memory_without_code(allow)
    # Whiteouts and FIFOs, and no device.
    rules.append(Rule("mknodat", allow, (Comparison(3, "SCMP_CMP_EQ", 0),)))
    for command in (_F_DUPFD_CLOEXEC, _F_GETFD, _F_SETFD, _F_GETFL):
        rules.append(Rule("fcntl", allow, (Comparison(1, "SCMP_CMP_EQ", command),)))
    own_limits = (Comparison(0, "SCMP_CMP_EQ", 0), Comparison(2, "SCMP_CMP_EQ", 0))
    rules.append(Rule("prlimit64", allow, own_limits))
    # Its second thread; the flags of clone3 cannot be looked at, and libc goes on without it.
    rules.append(Rule("clone3", action("SCMP_ACT_ERRNO", _ENOSYS)))
    thread = Comparison(0, "SCMP_CMP_MASKED_EQ", _CLONE_THREAD, _CLONE_THREAD)
    rules.append(Rule("clone", allow, (thread,)))
    return compile_filter(action("SCMP_ACT_ERRNO", None), (), rules)


def _marker() -> bytes:
    allow = action("SCMP_ACT_ALLOW", None)
    rules = [Rule(name, allow) for name in _MARKER.split()]
    return compile_filter(action("SCMP_ACT_ERRNO", None), (), [*rules, *_memory_without_code(allow)])


def _memory_without_code(allow: int) -> list[Rule]:
    data = (Comparison(2, "SCMP_CMP_MASKED_EQ", _PROT_EXEC, 0),)
    return [Rule(call, allow, data) for call in ("mmap", "mprotect")]
