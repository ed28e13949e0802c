"""Resource limits of another process (prlimit(2)), by the names that config.json has."""

import errno
import os
import resource

from host.clone import fork
from oci.run.errors import BadConfig
from oci.run.operations import ResourceLimit

# asm-generic/resource.h; Python's module has not all of them.
NUMBERS = {
    "RLIMIT_CPU": 0,
    "RLIMIT_FSIZE": 1,
    "RLIMIT_DATA": 2,
    "RLIMIT_STACK": 3,
    "RLIMIT_CORE": 4,
    "RLIMIT_RSS": 5,
    "RLIMIT_NPROC": 6,
    "RLIMIT_NOFILE": 7,
    "RLIMIT_MEMLOCK": 8,
    "RLIMIT_AS": 9,
    "RLIMIT_LOCKS": 10,
    "RLIMIT_SIGPENDING": 11,
    "RLIMIT_MSGQUEUE": 12,
    "RLIMIT_NICE": 13,
    "RLIMIT_RTPRIO": 14,
    "RLIMIT_RTTIME": 15,
}


def require_known(name: str) -> str:
    """
    Raises:
        BadConfig: there is no such limit.
    """
    if name not in NUMBERS:
        raise BadConfig(f"invalid rlimit type {name!r}")
    return name


def set_limit(pid: int, limit: ResourceLimit) -> None:
    """
    Raises:
        OSError: it is above what may be given, with the limit's name.
    """
    try:
        try:
            resource.prlimit(pid, NUMBERS[limit.name], (limit.soft, limit.hard))
        except PermissionError:
            _set_as_its_user(pid, limit)
    except ValueError as error:
        raise OSError(22, str(error), limit.name) from error
    except OSError as error:
        raise OSError(error.errno, f"error setting rlimit: {error.strerror}", limit.name) from error


def _set_as_its_user(pid: int, limit: ResourceLimit) -> None:
    """By a child with the ids of process ``pid``: without CAP_SYS_RESOURCE, as in a container, nobody else
    may, and may do no more than lower it."""
    with open(f"/proc/{pid}/status", "rb") as file:
        fields = dict(line.split(b":", 1) for line in file)
    uid, gid = (int(fields[name].split()[0]) for name in (b"Uid", b"Gid"))
    child, pidfd = fork()
    if child == 0:
        try:
            os.setresgid(gid, gid, gid)
            os.setresuid(uid, uid, uid)
            resource.prlimit(pid, NUMBERS[limit.name], (limit.soft, limit.hard))
            os._exit(0)
        except OSError as error:
            os._exit(error.errno or errno.EPERM)
        finally:
            os._exit(errno.EPERM)
    os.close(pidfd)
    code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    if code:
        raise OSError(code, os.strerror(code), limit.name)
