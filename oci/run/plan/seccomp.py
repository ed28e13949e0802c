"""linux.seccomp (config-linux.md): the filter's program, its flags, and who listens to it."""

import base64
import binascii
import struct
from collections.abc import Iterator, Mapping
from typing import NamedTuple

from host.libseccomp import (
    ACTIONS,
    COMPARISONS,
    NOTIFY,
    Comparison,
    FilterRefused,
    Rule,
    action,
    compile_filter,
    highest_number,
)
from oci.run.document import Table
from oci.run.errors import BadConfig
from oci.run.process_operations import LoadSeccomp

# Ready to load, base64: who writes config.json may have compiled it before (docs/adr/0007).
COMPILED = "run.oci.seccomp_bpf_data"
FLAGS = {
    "SECCOMP_FILTER_FLAG_TSYNC": 0,  # there is one thread
    "SECCOMP_FILTER_FLAG_LOG": 2,
    "SECCOMP_FILTER_FLAG_SPEC_ALLOW": 4,
    "SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV": 32,
}
_SPEC_ALLOW = 4
_NEW_LISTENER = 8
_NOTIFY = "SCMP_ACT_NOTIFY"
_ENOSYS = 38
# Where a default of these is meant to see or let pass all that is unknown.
_LENIENT = ("SCMP_ACT_ALLOW", "SCMP_ACT_LOG", "SCMP_ACT_TRACE", "SCMP_ACT_NOTIFY", "SCMP_ACT_TRAP")
_AUDIT_ARCHITECTURES = {
    "x86_64": 0xC000003E,
    "x86": 0x40000003,
    "aarch64": 0xC00000B7,
    "arm": 0x40000028,
    "riscv64": 0xC00000F3,
    "s390x": 0x80000016,
    "ppc64le": 0xC0000015,
}
_X32 = 0x40000000


class Filter(NamedTuple):
    """What is to be loaded; ``listener`` is the path of a socket, "" for none."""

    load: LoadSeccomp
    listener: str
    metadata: str


def read(linux: Table) -> Filter | None:
    """The profile's flags and listener; None without a profile.

    Raises:
        BadConfig: an unknown flag, or a listener that would not be asked or could not be told.
    """
    table = linux.table("seccomp")
    if not table:
        return None
    if table.text("defaultAction") == _NOTIFY:
        raise BadConfig("SCMP_ACT_NOTIFY cannot be used as default action")
    listens = False
    for entry in table.tables("syscalls"):
        if entry.text("action") == _NOTIFY:
            listens = True
            if "write" in entry.texts("names"):
                raise BadConfig("SCMP_ACT_NOTIFY cannot be used for the write syscall")
    listener = table.text("listenerPath")
    if listens and not listener:
        raise BadConfig("seccomp listenerPath is not set and the profile uses SCMP_ACT_NOTIFY")
    flags = _flags(table) | (_NEW_LISTENER if listens else 0)
    return Filter(LoadSeccomp(flags, listens), listener if listens else "", table.text("listenerMetadata"))


def _flags(table: Table) -> int:
    if "flags" not in table:
        return _SPEC_ALLOW
    flags = 0
    for name in table.texts("flags"):
        if name not in FLAGS:
            raise BadConfig(f"unknown seccomp flag {name!r}")
        flags |= FLAGS[name]
    return flags


def program(spec: Table) -> bytes:
    """The compiled filter; takes milliseconds unless config.json brings it along.

    Raises:
        BadConfig: a part of the profile that libseccomp does not take.
    """
    compiled = spec.table("annotations").text(COMPILED)
    if compiled:
        return _decoded(compiled)
    table = spec.table("linux").table("seccomp")
    try:
        default = _action(table, "defaultAction", "defaultErrnoRet")
        architectures = [_architecture(name) for name in table.texts("architectures")]
        rules = list(_rules(table))
        return _stub(table, architectures) + compile_filter(default, architectures, rules)
    except FilterRefused as error:
        raise BadConfig(f"unable to set up seccomp: {error}") from error


def _decoded(text: str) -> bytes:
    try:
        code = base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        code = b""
    if not code or len(code) % 8:
        raise BadConfig(f"annotations.{COMPILED} is no compiled filter")
    return code


def _architecture(name: str) -> str:
    return name.removeprefix("SCMP_ARCH_").lower()


def _action(table: Table, key: str, errno_key: str) -> int:
    name = table.text(key)
    if name == _NOTIFY:
        return NOTIFY
    if name not in ACTIONS:
        raise BadConfig(f"{table.name_of(key)}: unknown seccomp action {name!r}")
    return action(name, table.optional_number(errno_key))


def _rules(table: Table) -> Iterator[Rule]:
    for entry in table.tables("syscalls"):
        number = _action(entry, "action", "errnoRet")
        comparisons = tuple(_comparison(one) for one in entry.tables("args"))
        for name in entry.texts("names"):
            yield Rule(name, number, comparisons)


def _comparison(table: Table) -> Comparison:
    operator = table.text("op")
    if operator not in COMPARISONS:
        raise BadConfig(f"{table.name_of('op')}: unknown operator {operator!r}")
    index = table.number("index")
    if not 0 <= index <= 5:
        raise BadConfig(f"{table.name_of('index')}: there is no argument {index}")
    return Comparison(index, operator, table.number("value"), table.number("valueTwo"))


def _stub(table: Table, architectures: list[str]) -> bytes:
    """What is put in front: calls newer than all that the profile names are ENOSYS, so that a libc falls back
    to an older one, as it would not for EPERM."""
    if table.text("defaultAction") in _LENIENT or table.number("defaultErrnoRet", _ENOSYS) != _ENOSYS:
        return b""
    names = [name for entry in table.tables("syscalls") for name in entry.texts("names")]
    code = b""
    for architecture in dict.fromkeys(architectures):
        audit = _AUDIT_ARCHITECTURES.get(architecture)
        highest = highest_number(names, architecture) if audit is not None else None
        if audit is not None and highest is not None:
            code += _unknown_above(audit, highest)
    return code


def _unknown_above(audit: int, highest: int) -> bytes:
    """cBPF: for this architecture, and not x32, a number above ``highest`` returns ENOSYS."""
    load, equal, above, give = 0x20, 0x15, 0x25, 0x06
    return b"".join(
        struct.pack("=HBBI", *instruction)
        for instruction in (
            (load, 0, 0, 4),  # the architecture
            (equal, 0, 4, audit),
            (load, 0, 0, 0),  # the number
            (above, 2, 0, _X32 - 1),
            (above, 0, 1, highest),
            (give, 0, 0, ACTIONS["SCMP_ACT_ERRNO"] | _ENOSYS),
        )
    )


def key_of(table: Mapping[str, object]) -> Mapping[str, object]:
    """The part of config.json of which the compiled program is a function."""
    return {
        key: table[key]
        for key in ("defaultAction", "defaultErrnoRet", "architectures", "syscalls")
        if key in table
    }
