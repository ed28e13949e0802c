"""Filters compiled by libseccomp, run by a small interpreter of its classic BPF (seccomp(2))."""

import platform
import struct

import pytest

from host.libseccomp import Comparison, FilterRefused, Rule, action, compile_filter

ALLOW, DENY = action("SCMP_ACT_ALLOW", None), action("SCMP_ACT_ERRNO", 1)
AUDIT_ARCH_X86_64, AUDIT_ARCH_AARCH64 = 0xC000003E, 0xC00000B7
NATIVE, NUMBERS = {
    "x86_64": (AUDIT_ARCH_X86_64, {"read": 0, "personality": 135, "chmod": 90}),
    "aarch64": (AUDIT_ARCH_AARCH64, {"read": 63, "personality": 92, "fchmod": 52}),
}[platform.machine()]


def verdict(program: bytes, syscall: int, *arguments: int, architecture: int = NATIVE) -> int:
    """What the filter returns for a call: an interpreter of the instructions that libseccomp makes."""
    padded = [*arguments, *[0] * (6 - len(arguments))]
    data = struct.pack("=iIQ6Q", syscall, architecture, 0, *padded)
    instructions = list(struct.iter_unpack("=HBBI", program))
    accumulator, counter = 0, 0
    while True:
        code, when_true, when_false, constant = instructions[counter]
        counter += 1
        if code == 0x20:  # ld [k]
            accumulator = struct.unpack_from("=I", data, constant)[0]
        elif code == 0x06:  # ret k
            return int(constant)
        elif code == 0x05:  # ja k
            counter += constant
        elif code == 0x54:  # and k
            accumulator &= constant
        else:
            holds = {
                0x15: accumulator == constant,
                0x25: accumulator > constant,
                0x35: accumulator >= constant,
            }
            counter += when_true if holds[code] else when_false


def test_what_no_rule_names_gets_the_default_action() -> None:
    program = compile_filter(DENY, [], [Rule("read", ALLOW)])
    assert verdict(program, NUMBERS["read"]) == ALLOW
    assert verdict(program, NUMBERS["personality"]) == DENY


def test_arguments_decide_where_a_rule_says_so() -> None:
    rules = [Rule("personality", ALLOW, (Comparison(0, "SCMP_CMP_EQ", 8),))]
    program = compile_filter(DENY, [], rules)
    assert verdict(program, NUMBERS["personality"], 8) == ALLOW
    assert verdict(program, NUMBERS["personality"], 9) == DENY


def test_several_conditions_on_one_argument_are_alternatives() -> None:
    conditions = (Comparison(0, "SCMP_CMP_EQ", 0), Comparison(0, "SCMP_CMP_EQ", 8))
    program = compile_filter(DENY, [], [Rule("personality", ALLOW, conditions)])
    results = [verdict(program, NUMBERS["personality"], value) for value in (0, 8, 1)]
    assert results == [ALLOW, ALLOW, DENY]


def test_a_masked_comparison_looks_at_the_masked_bits() -> None:
    rules = [Rule("personality", ALLOW, (Comparison(0, "SCMP_CMP_MASKED_EQ", 0xF0, 0x10),))]
    program = compile_filter(DENY, [], rules)
    assert verdict(program, NUMBERS["personality"], 0x1F) == ALLOW
    assert verdict(program, NUMBERS["personality"], 0x2F) == DENY


def test_a_foreign_architecture_is_killed_and_unknown_calls_are_left_out() -> None:
    program = compile_filter(DENY, [], [Rule("no_such_call_at_all", ALLOW), Rule("read", ALLOW)])
    assert verdict(program, 0, architecture=0x12345678) == action("SCMP_ACT_KILL", None)
    assert verdict(program, NUMBERS["read"]) == ALLOW


def test_errno_values_are_carried() -> None:
    assert action("SCMP_ACT_ERRNO", 38) & 0xFFFF == 38
    assert action("SCMP_ACT_ERRNO", None) & 0xFFFF == 1
    assert action("SCMP_ACT_LOG", 5) == action("SCMP_ACT_LOG", None)


@pytest.mark.parametrize("name", ["SCMP_ACT_NOTIFY", "SCMP_ACT_FLY"])
def test_actions_that_need_the_runtime_are_refused(name: str) -> None:
    with pytest.raises(FilterRefused, match=name):
        action(name, None)


def test_an_unknown_architecture_is_named() -> None:
    with pytest.raises(FilterRefused, match="pdp11"):
        compile_filter(DENY, ["pdp11"], [])
