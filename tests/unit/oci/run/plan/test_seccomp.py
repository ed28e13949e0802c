"""linux.seccomp: flags, listeners and the program, run by an interpreter of its instructions."""

import base64
import struct
from typing import Any

import pytest

from oci.run.document import Table
from oci.run.errors import BadConfig
from oci.run.plan import seccomp
from tests.unit.oci.run.plan.made import linux, spec

X86_64 = 0xC000003E
ALLOW, ERRNO, KILL = 0x7FFF0000, 0x00050000, 0
GETPID, MKDIR, CLONE3, X32 = 39, 83, 435, 0x40000000
NOTIFYING = [{"names": ["mount"], "action": "SCMP_ACT_NOTIFY"}]


def read(**profile: Any) -> seccomp.Filter | None:
    return seccomp.read(Table({"seccomp": {"defaultAction": "SCMP_ACT_ERRNO", **profile}}))


def run(code: bytes, number: int, architecture: int = X86_64) -> int:
    """What the filter returns for a system call without arguments."""
    data = struct.pack("=IIQ6Q", number, architecture, 0, *[0] * 6)
    instructions = list(struct.iter_unpack("=HBBI", code))
    accumulator = at = 0
    while True:
        operation, true, false, k = instructions[at]
        at += 1
        if operation == 0x20:
            (accumulator,) = struct.unpack_from("=I", data, k)
        elif operation == 0x06:
            return int(k)
        elif operation == 0x05:
            at += k
        else:
            tests = {
                0x15: accumulator == k,
                0x25: accumulator > k,
                0x35: accumulator >= k,
                0x45: accumulator & k,
            }
            at += true if tests[operation] else false


def program(**profile: Any) -> bytes:
    return seccomp.program(spec(linux=linux("mount", seccomp=profile)))


def test_the_program_does_what_the_profile_says() -> None:
    code = program(
        defaultAction="SCMP_ACT_ERRNO",
        defaultErrnoRet=5,
        architectures=["SCMP_ARCH_X86_64"],
        syscalls=[
            {"names": ["getpid", "no_such_call"], "action": "SCMP_ACT_ALLOW"},
            {"names": ["mkdir"], "action": "SCMP_ACT_ERRNO", "errnoRet": 7},
        ],
    )
    assert [run(code, number) for number in (GETPID, MKDIR, 1)] == [ALLOW, ERRNO | 7, ERRNO | 5]


def test_calls_newer_than_the_profile_are_unknown_rather_than_forbidden() -> None:
    profile = {
        "architectures": ["SCMP_ARCH_X86_64"],
        "syscalls": [{"names": ["getpid"], "action": "SCMP_ACT_ALLOW"}],
    }
    code = program(defaultAction="SCMP_ACT_ERRNO", **profile)
    assert (run(code, GETPID), run(code, 1), run(code, CLONE3)) == (ALLOW, ERRNO | 1, ERRNO | 38)
    assert run(code, GETPID, architecture=0x40000003) == KILL
    code = program(defaultAction="SCMP_ACT_ERRNO", defaultErrnoRet=1, **profile)
    assert run(code, CLONE3) == ERRNO | 1
    assert run(program(defaultAction="SCMP_ACT_ALLOW", **profile), CLONE3) == ALLOW


def test_flags_default_to_what_runc_sets() -> None:
    found, none, two = (
        read(),
        read(flags=[]),
        read(flags=["SECCOMP_FILTER_FLAG_LOG", "SECCOMP_FILTER_FLAG_TSYNC"]),
    )
    assert found is not None
    assert none is not None
    assert two is not None
    assert [one.load.flags for one in (found, none, two)] == [4, 0, 2]
    assert seccomp.read(Table({})) is None


def test_a_listener_is_told_only_if_it_is_asked() -> None:
    found = read(syscalls=NOTIFYING, listenerPath="/l", listenerMetadata="m")
    assert found is not None
    assert (found.listener, found.metadata, found.load.listens, found.load.flags & 8) == ("/l", "m", True, 8)
    silent = read(listenerPath="/l")
    assert silent is not None
    assert (silent.listener, silent.load.listens) == ("", False)


@pytest.mark.parametrize(
    "profile",
    [
        {"defaultAction": "SCMP_ACT_NOTIFY"},
        {"syscalls": NOTIFYING},
        {"syscalls": [{"names": ["write"], "action": "SCMP_ACT_NOTIFY"}], "listenerPath": "/l"},
        {"flags": ["X"]},
    ],
)
def test_what_cannot_be_is_refused(profile: dict[str, Any]) -> None:
    with pytest.raises(BadConfig):
        read(**profile)


@pytest.mark.parametrize(
    "profile",
    [
        {"defaultAction": "X"},
        {"defaultAction": "SCMP_ACT_ALLOW", "architectures": ["SCMP_ARCH_X"]},
        {"defaultAction": "SCMP_ACT_ALLOW", "syscalls": [{"names": ["read"], "action": "X"}]},
        {
            "defaultAction": "SCMP_ACT_ALLOW",
            "syscalls": [
                {"names": ["read"], "action": "SCMP_ACT_LOG", "args": [{"index": 0, "value": 1, "op": "X"}]}
            ],
        },
        {
            "defaultAction": "SCMP_ACT_ALLOW",
            "syscalls": [
                {
                    "names": ["read"],
                    "action": "SCMP_ACT_LOG",
                    "args": [{"index": 6, "value": 1, "op": "SCMP_CMP_EQ"}],
                }
            ],
        },
    ],
)
def test_a_profile_that_cannot_be_compiled_is_refused(profile: dict[str, Any]) -> None:
    with pytest.raises(BadConfig):
        program(**profile)


def test_a_filter_may_come_compiled() -> None:
    code = struct.pack("=HBBI", 6, 0, 0, ALLOW)
    annotated = spec(annotations={seccomp.COMPILED: base64.b64encode(code).decode()})
    assert seccomp.program(annotated) == code
    for text in ("!", base64.b64encode(b"odd").decode()):
        with pytest.raises(BadConfig):
            seccomp.program(spec(annotations={seccomp.COMPILED: text}))
