"""Compiling seccomp filters with libseccomp (seccomp_rule_add(3), seccomp_export_bpf(3)), by ctypes.

The library is what crun and runc link against, so it is there where they are. Nothing is loaded into
a process here: a filter is compiled to the bytes that seccomp(2) takes.
"""

import ctypes
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache

from api.errors import InvalidArgument, Unavailable

_NO_SUCH_SYSCALL = -1
_ATTRIBUTE_NO_NEW_PRIVS = 3
_ATTRIBUTE_OPTIMIZE = 8
_BINARY_TREE = 2
_MANY_RULES = 32
_ERRNO_MASK = 0xFFFF

ACTIONS = {
    "SCMP_ACT_KILL": 0x00000000,
    "SCMP_ACT_KILL_THREAD": 0x00000000,
    "SCMP_ACT_KILL_PROCESS": 0x80000000,
    "SCMP_ACT_TRAP": 0x00030000,
    "SCMP_ACT_ERRNO": 0x00050000,
    "SCMP_ACT_TRACE": 0x7FF00000,
    "SCMP_ACT_LOG": 0x7FFC0000,
    "SCMP_ACT_ALLOW": 0x7FFF0000,
}
NOTIFY = 0x7FC00000  # SCMP_ACT_NOTIFY: needs somebody who listens, so it is no action for everybody
COMPARISONS = {
    "SCMP_CMP_NE": 1,
    "SCMP_CMP_LT": 2,
    "SCMP_CMP_LE": 3,
    "SCMP_CMP_EQ": 4,
    "SCMP_CMP_GE": 5,
    "SCMP_CMP_GT": 6,
    "SCMP_CMP_MASKED_EQ": 7,
}


class NoLibseccomp(Unavailable):
    """The shared library is not on this machine."""


class FilterRefused(InvalidArgument):
    """libseccomp does not take a part of the filter."""


class _Comparison(ctypes.Structure):
    _fields_ = (
        ("arg", ctypes.c_uint),
        ("op", ctypes.c_int),
        ("datum_a", ctypes.c_uint64),
        ("datum_b", ctypes.c_uint64),
    )


@dataclass(frozen=True, slots=True)
class Comparison:
    """A condition on argument ``index``; ``operator`` is a key of COMPARISONS."""

    index: int
    operator: str
    value: int
    value_two: int = 0


@dataclass(frozen=True, slots=True)
class Rule:
    """``action`` (a number made by :func:`action`) for one system call if all comparisons hold."""

    syscall: str
    action: int
    comparisons: tuple[Comparison, ...] = ()


def action(name: str, errno: int | None) -> int:
    """The number of an action with its errno, EPERM where none is given.

    Raises:
        FilterRefused: an action that cannot be compiled ahead, such as SCMP_ACT_NOTIFY.
    """
    if name not in ACTIONS:
        raise FilterRefused(f"seccomp action {name!r} cannot be compiled ahead of the container")
    carries_errno = name in ("SCMP_ACT_ERRNO", "SCMP_ACT_TRACE")
    return ACTIONS[name] | ((1 if errno is None else errno) & _ERRNO_MASK if carries_errno else 0)


def compile_filter(default: int, architectures: Sequence[str], rules: Sequence[Rule]) -> bytes:
    """The filter program: an array of struct sock_filter.

    ``architectures`` are libseccomp's names ("x86_64", "x32", "aarch64"); the native one is always
    in. System calls that an architecture does not have are left out, as the runtimes do.

    Raises:
        NoLibseccomp, FilterRefused: see there.
    """
    library = _library()
    context = library.seccomp_init(default)
    if not context:
        raise FilterRefused("libseccomp refuses the default action")
    try:
        # The runtime decides about no_new_privs, not the filter.
        _check("no_new_privs", library.seccomp_attr_set(context, _ATTRIBUTE_NO_NEW_PRIVS, 0))
        for architecture in architectures:
            _add_architecture(library, context, architecture)
        if len(rules) > _MANY_RULES:  # libseccomp before 2.5 knows no such attribute, and is right without
            library.seccomp_attr_set(context, _ATTRIBUTE_OPTIMIZE, _BINARY_TREE)
        for rule in rules:
            if rule.action != default:
                _add_rule(library, context, rule)
        return _export(library, context)
    finally:
        library.seccomp_release(context)


def _add_architecture(library: ctypes.CDLL, context: int, name: str) -> None:
    token = library.seccomp_arch_resolve_name(name.encode())
    if token == 0:
        raise FilterRefused(f"libseccomp does not know the architecture {name!r}")
    result = library.seccomp_arch_add(context, token)
    if result != -_EEXIST:
        _check(f"architecture {name}", result)


_EEXIST = 17


def _add_rule(library: ctypes.CDLL, context: int, rule: Rule) -> None:
    number = library.seccomp_syscall_resolve_name(rule.syscall.encode())
    if number == _NO_SUCH_SYSCALL:
        return
    for comparisons in _alternatives(rule.comparisons):
        array = (_Comparison * max(1, len(comparisons)))(
            *(_Comparison(c.index, COMPARISONS[c.operator], c.value, c.value_two) for c in comparisons)
        )
        result = library.seccomp_rule_add_array(context, rule.action, number, len(comparisons), array)
        _check(f"rule for {rule.syscall}", result)


def _alternatives(comparisons: tuple[Comparison, ...]) -> Iterator[tuple[Comparison, ...]]:
    """All conditions at once; but several on one argument are alternatives, a rule each (as in runc)."""
    indexes = [comparison.index for comparison in comparisons]
    if len(set(indexes)) == len(indexes):
        yield comparisons
    else:
        yield from ((comparison,) for comparison in comparisons)


def _check(what: str, result: int) -> None:
    if result < 0:
        raise FilterRefused(f"libseccomp: {what}: {os.strerror(-result)}")


def _export(library: ctypes.CDLL, context: int) -> bytes:
    with _memory_file() as descriptor:
        _check("export", library.seccomp_export_bpf(context, descriptor))
        size = os.fstat(descriptor).st_size
        return os.pread(descriptor, size, 0)


@contextmanager
def _memory_file() -> Iterator[int]:
    descriptor = os.memfd_create("seccomp", os.MFD_CLOEXEC)
    try:
        yield descriptor
    finally:
        os.close(descriptor)


def version() -> tuple[int, int, int]:
    """The library's.

    Raises:
        NoLibseccomp: see there.
    """
    library = _library()
    library.seccomp_version.restype = ctypes.POINTER(ctypes.c_uint * 3)
    major, minor, micro = library.seccomp_version().contents
    return int(major), int(minor), int(micro)


def highest_number(names: Sequence[str], architecture: str) -> int | None:
    """The largest system call number among ``names`` on an architecture; None if it is not known."""
    library = _library()
    token = library.seccomp_arch_resolve_name(architecture.encode())
    resolve = library.seccomp_syscall_resolve_name_arch
    resolve.argtypes = [ctypes.c_uint32, ctypes.c_char_p]
    numbers = [int(resolve(token, name.encode())) for name in names] if token else []
    return max((number for number in numbers if number >= 0), default=None)


@cache
def _library() -> ctypes.CDLL:
    try:
        library = ctypes.CDLL("libseccomp.so.2")
    except OSError as error:
        raise NoLibseccomp(f"libseccomp.so.2: {error}; install libseccomp2") from error
    library.seccomp_init.restype = ctypes.c_void_p
    library.seccomp_init.argtypes = [ctypes.c_uint32]
    library.seccomp_release.argtypes = [ctypes.c_void_p]
    library.seccomp_attr_set.argtypes = [ctypes.c_void_p, ctypes.c_int, ctypes.c_uint32]
    library.seccomp_arch_resolve_name.argtypes = [ctypes.c_char_p]
    library.seccomp_arch_resolve_name.restype = ctypes.c_uint32
    library.seccomp_arch_add.argtypes = [ctypes.c_void_p, ctypes.c_uint32]
    library.seccomp_syscall_resolve_name.argtypes = [ctypes.c_char_p]
    library.seccomp_rule_add_array.argtypes = [
        ctypes.c_void_p,
        ctypes.c_uint32,
        ctypes.c_int,
        ctypes.c_uint,
        ctypes.POINTER(_Comparison),
    ]
    library.seccomp_export_bpf.argtypes = [ctypes.c_void_p, ctypes.c_int]
    return library
