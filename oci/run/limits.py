"""Resource limits of another process (prlimit(2)), by the names that config.json has."""

import resource

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
        resource.prlimit(pid, NUMBERS[limit.name], (limit.soft, limit.hard))
    except ValueError as error:
        raise OSError(22, str(error), limit.name) from error
    except OSError as error:
        raise OSError(error.errno, f"error setting rlimit: {error.strerror}", limit.name) from error
