"""What the unpack process gives up before it looks at a layer (docs/adr/0033).

    network and IPC  namespaces of its own, with nobody else in them
    files            its root is the directory that it fills, and there it makes, writes and removes; it reads
                     no file (Landlock)
    privileges       five capabilities: those for owners, modes and attributes of what it makes
    system calls     an allow-list: no socket, no program, no process, no device, no other's memory
    bounds           memory, descriptors, no core file

What a kernel or a surrounding container does not give is left out, and named in the result: ``unconfined``.
The one process beside it (storage/unpack/marker.py) has one capability, and one system call to use it.
"""

import resource
from collections.abc import Callable
from dataclasses import dataclass, field

from host import confine
from storage.unpack.marker import Marker
from storage.unpack.tree import Tree

MEMORY_BYTES = 2 << 30
_DESCRIPTORS = 512  # Tree keeps 128, and a removal 64
_CHOWN, _DAC_OVERRIDE, _FOWNER, _FSETID, _SYS_ADMIN, _SETFCAP = 0, 1, 3, 4, 21, 31
KEPT = (_CHOWN, _DAC_OVERRIDE, _FOWNER, _FSETID, _SETFCAP)
_RIGHTS = (
    confine.LANDLOCK_WRITE_FILE
    | confine.LANDLOCK_READ_DIR
    | confine.LANDLOCK_REMOVE_DIR
    | confine.LANDLOCK_REMOVE_FILE
    | confine.LANDLOCK_MAKE_CHAR
    | confine.LANDLOCK_MAKE_DIR
    | confine.LANDLOCK_MAKE_REG
    | confine.LANDLOCK_MAKE_FIFO
    | confine.LANDLOCK_MAKE_SYM
    | confine.LANDLOCK_REFER
)


@dataclass(frozen=True, slots=True)
class Filters:
    """Compiled filters of system calls (storage/unpack_filters.py); None where they cannot be compiled."""

    unpack: bytes | None = None
    marker: bytes | None = None


@dataclass(slots=True)
class Confined:
    """What holds then; ``unconfined`` are the means that were not to be had."""

    unconfined: list[str] = field(default_factory=list)
    marker: Marker | None = None


def bound() -> None:
    """The limits, which need nothing of the others."""
    _limit(resource.RLIMIT_AS, MEMORY_BYTES)
    _limit(resource.RLIMIT_NOFILE, _DESCRIPTORS)
    _limit(resource.RLIMIT_CORE, 0)
    _limit(resource.RLIMIT_MEMLOCK, 0)
    _limit(resource.RLIMIT_MSGQUEUE, 0)


def _limit(which: int, value: int) -> None:
    _, hard = resource.getrlimit(which)
    value = value if hard == resource.RLIM_INFINITY else min(value, hard)
    resource.setrlimit(which, (value, value))


def confine_self(tree: Tree, filters: Filters) -> Confined:
    """Give up all of it; with one thread, everything imported, and ``tree`` open."""
    result = Confined()

    def attempt(name: str, step: Callable[[], object]) -> None:
        try:
            if step() is False:
                result.unconfined.append(name)
        except OSError:
            result.unconfined.append(name)

    attempt("network namespace", confine.leave_network)
    attempt("root directory", lambda: confine.nothing_but(tree.root))
    confine.no_new_privileges()
    confine.hide_from_peers()
    if confine.permitted_capabilities() >> _SYS_ADMIN & 1:
        result.marker = Marker(filters.marker)
        tree.privileged = result.marker.set
    attempt("capabilities", _keep_few_capabilities)
    attempt("landlock", lambda: confine.only_below(tree.root, _RIGHTS))
    if filters.unpack is None:
        result.unconfined.append("seccomp")
    else:
        confine.load_filter(filters.unpack)
    return result


def _keep_few_capabilities() -> None:
    permitted = confine.permitted_capabilities()
    confine.keep_capabilities(*(number for number in KEPT if permitted >> number & 1))
