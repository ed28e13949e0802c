from dataclasses import replace
from typing import Any

import pytest

from conf.seccomp import default_profile
from oci.generate.inputs import BadContainer, Defaults, ProfileType, SecurityContext, SecurityProfile
from oci.generate.seccomp import convert, linux_seccomp
from tests.unit.oci.generate.builders import V1

SMALL: dict[str, Any] = {"defaultAction": "SCMP_ACT_ALLOW", "syscalls": []}
DEFAULTS = Defaults(
    seccomp_profile={**SMALL, "defaultErrnoRet": 38},
    localhost_seccomp={"/p/mine.json": {**SMALL, "flags": ["F"]}},
)
ANY, NONE, MINE = (
    SecurityProfile(),
    SecurityProfile(ProfileType.UNCONFINED),
    SecurityProfile(ProfileType.LOCALHOST, "/p/mine.json"),
)


def chosen(**fields: Any) -> dict[str, Any] | None:
    return linux_seccomp(SecurityContext(**fields), DEFAULTS, V1, ())


@pytest.mark.parametrize(
    ("fields", "key"),
    [
        ({"seccomp": ANY}, "defaultErrnoRet"),
        ({"seccomp_profile_path": "runtime/default"}, "defaultErrnoRet"),
        ({"seccomp": MINE}, "flags"),
        ({"seccomp_profile_path": "localhost//p/mine.json"}, "flags"),
        ({"seccomp": ANY, "seccomp_profile_path": "unconfined"}, "defaultErrnoRet"),
    ],
)
def test_a_profile_applies(fields: dict[str, Any], key: str) -> None:
    found = chosen(**fields)
    assert found is not None
    assert key in found


@pytest.mark.parametrize(
    "fields",
    [
        {},
        {"seccomp": NONE},
        {"seccomp_profile_path": "unconfined"},
        {"seccomp": ANY, "privileged": True},
        {"seccomp": MINE, "privileged": True},
    ],
)
def test_unconfined(fields: dict[str, Any]) -> None:
    assert chosen(**fields) is None


def test_privileged_has_a_profile_only_when_configured() -> None:
    defaults = replace(DEFAULTS, privileged_seccomp_profile=SMALL)
    assert linux_seccomp(SecurityContext(privileged=True), defaults, V1, ()) == SMALL


@pytest.mark.parametrize(
    ("fields", "named"),
    [
        ({"seccomp": SecurityProfile(ProfileType.LOCALHOST, "/p/none.json")}, "/p/none.json"),
        ({"seccomp": SecurityProfile(ProfileType.LOCALHOST, "relative")}, "relative"),
        ({"seccomp_profile_path": "whatever"}, "whatever"),
    ],
)
def test_profiles_that_are_not_there_are_refused_by_name(fields: dict[str, Any], named: str) -> None:
    with pytest.raises(BadContainer, match=named):
        chosen(**fields)


def test_without_seccomp_in_the_kernel_only_a_named_profile_is_refused() -> None:
    bare = replace(V1, seccomp=False)
    assert linux_seccomp(SecurityContext(seccomp=ANY), DEFAULTS, bare, ()) is None
    with pytest.raises(BadContainer, match="kernel"):
        linux_seccomp(SecurityContext(seccomp=MINE), DEFAULTS, bare, ())


@pytest.mark.parametrize(
    ("condition", "holds"),
    [
        ({}, True),
        ({"includes": {"caps": ["CAP_A"]}}, True),
        ({"includes": {"caps": ["CAP_A", "CAP_B"]}}, False),
        ({"excludes": {"caps": ["CAP_A"]}}, False),
        ({"excludes": {"caps": ["CAP_B"]}}, True),
        ({"includes": {"arches": ["amd64", "x32"]}}, True),
        ({"includes": {"arches": ["arm64"]}}, False),
        ({"excludes": {"arches": ["amd64"]}}, False),
        ({"includes": {"minKernel": "4.8"}}, True),
    ],
)
def test_conditions(condition: dict[str, Any], holds: bool) -> None:
    rule = {"names": ["read"], "action": "SCMP_ACT_ALLOW", "comment": "x", **condition}
    found = convert({**SMALL, "syscalls": [rule]}, ["CAP_A"], "x86_64", "p")["syscalls"]
    assert found == ([{"names": ["read"], "action": "SCMP_ACT_ALLOW"}] if holds else [])


def test_old_single_names_and_arguments() -> None:
    argument = {"index": 0, "value": 1, "op": "SCMP_CMP_EQ"}
    profile = {**SMALL, "syscalls": [{"name": "read", "action": "A", "args": [argument], "errnoRet": 0}]}
    assert convert(profile, (), "x86_64", "p")["syscalls"] == [
        {"names": ["read"], "action": "A", "errnoRet": 0, "args": [argument]}
    ]


@pytest.mark.parametrize(
    "profile",
    [
        {},
        {"defaultAction": 1},
        {**SMALL, "syscalls": [{"action": "A"}]},
        {**SMALL, "syscalls": [{"names": ["a"]}]},
        {**SMALL, "syscalls": ["read"]},
        {**SMALL, "syscalls": 5},
        {**SMALL, "archMap": [{}]},
    ],
)
def test_malformed_profiles_are_refused_by_name(profile: dict[str, Any]) -> None:
    with pytest.raises(BadContainer, match="the-name"):
        convert(profile, (), "x86_64", "the-name")


def allowed(capabilities: tuple[str, ...], machine: str = "x86_64") -> set[str]:
    rules = convert(default_profile(), capabilities, machine, "default")["syscalls"]
    return {name for rule in rules if rule["action"] == "SCMP_ACT_ALLOW" for name in rule["names"]}


def test_the_default_profile_gives_calls_with_their_capability() -> None:
    plain = allowed(())
    assert {"read", "clone", "futex", "socket", "epoll_pwait2", "statx", "personality"} <= plain
    privileged_calls = {
        "mount",
        "unshare",
        "setns",
        "reboot",
        "bpf",
        "init_module",
        "io_uring_setup",
        "keyctl",
        "clone3",
    }
    assert plain.isdisjoint(privileged_calls)
    assert {"mount", "unshare", "setns", "clone3"} <= allowed(("CAP_SYS_ADMIN",))
    assert "reboot" in allowed(("CAP_SYS_BOOT",))


@pytest.mark.parametrize(
    ("machine", "architectures"),
    [
        ("x86_64", ["SCMP_ARCH_X86_64", "SCMP_ARCH_X86", "SCMP_ARCH_X32"]),
        ("aarch64", ["SCMP_ARCH_AARCH64", "SCMP_ARCH_ARM"]),
    ],
)
def test_the_default_profile_covers_sub_architectures(machine: str, architectures: list[str]) -> None:
    assert convert(default_profile(), (), machine, "default")["architectures"] == architectures


def test_no_call_of_the_default_profile_is_both_allowed_and_refused_without_conditions() -> None:
    for capabilities in ((), ("CAP_SYS_ADMIN",), ("CAP_SYSLOG", "CAP_BPF")):
        rules = convert(default_profile(), capabilities, "x86_64", "default")["syscalls"]
        plain = [(name, rule["action"]) for rule in rules if "args" not in rule for name in rule["names"]]
        contradicting = [
            name for name, action in plain if action != "SCMP_ACT_ALLOW" and (name, "SCMP_ACT_ALLOW") in plain
        ]
        assert contradicting == []
