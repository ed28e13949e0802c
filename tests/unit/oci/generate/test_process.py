from dataclasses import replace
from typing import Any

import pytest

from oci.generate.inputs import BadContainer, Identity, ImageDefaults, Resources, Ulimit
from oci.generate.process import (
    WORD_LIMIT,
    command_line,
    exec_process,
    process,
    rlimits,
    user,
    working_directory,
)
from tests.unit.oci.generate.builders import V1, a_container

IMAGE = ImageDefaults(entrypoint=("entry",), cmd=("cmd",), working_dir="/image")


@pytest.mark.parametrize(
    ("command", "args", "expected"),
    [
        ((), (), ["entry", "cmd"]),
        ((), ("arg",), ["entry", "arg"]),
        (("command",), (), ["command"]),
        (("command",), ("arg",), ["command", "arg"]),
    ],
)
def test_command_and_args_follow_kubernetes_table(
    command: tuple[str, ...], args: tuple[str, ...], expected: list[str]
) -> None:
    assert command_line(a_container(image=IMAGE, command=command, args=args)) == expected


def test_a_container_without_a_command_is_refused() -> None:
    with pytest.raises(BadContainer, match="command"):
        command_line(a_container(command=()))


@pytest.mark.parametrize(
    ("request_dir", "image_dir", "expected"),
    [("/a", "/b", "/a"), ("", "/b", "/b"), ("", "", "/"), ("rel", "", "/rel"), ("/a/../b//c", "", "/b/c")],
)
def test_working_directory(request_dir: str, image_dir: str, expected: str) -> None:
    container = a_container(working_dir=request_dir, image=ImageDefaults(working_dir=image_dir))
    assert working_directory(container) == expected


def test_user_carries_all_groups() -> None:
    assert user(Identity(1, 2, (2, 3))) == {"uid": 1, "gid": 2, "additionalGids": [2, 3]}


def test_limits_are_cut_to_what_may_be_granted() -> None:
    host = replace(V1, rlimit_ceilings={"RLIMIT_NOFILE": 1000})
    assert rlimits([Ulimit("nofile", 1 << 20, -1), Ulimit("core", -1, -1)], host) == [
        {"type": "RLIMIT_NOFILE", "soft": 1000, "hard": 1000},
        {"type": "RLIMIT_CORE", "soft": 0xFFFFFFFFFFFFFFFF, "hard": 0xFFFFFFFFFFFFFFFF},
    ]


@pytest.mark.parametrize("limit", [Ulimit("files", 1, 1), Ulimit("nofile", 2, 1)])
def test_bad_limits_are_refused(limit: Ulimit) -> None:
    with pytest.raises(BadContainer, match=limit.name):
        rlimits([limit], V1)


def test_the_oom_score_is_raised_to_the_floor() -> None:
    container = a_container(resources=Resources(oom_score_adj=-997))
    assert process(container, V1)["oomScoreAdj"] == -997
    assert process(container, replace(V1, oom_score_adj_floor=0))["oomScoreAdj"] == 0


def test_absent_labels_have_no_keys() -> None:
    assert {"apparmorProfile", "selinuxLabel", "rlimits", "oomScoreAdj"}.isdisjoint(
        process(a_container(), V1)
    )


def test_exec_changes_command_and_terminal_only() -> None:
    original = process(a_container(), V1)
    changed = exec_process(original, ("id", "-u"), terminal=True)
    assert changed["args"] == ["id", "-u"]
    assert changed["terminal"] is True
    assert changed["env"] == [*original["env"], "TERM=xterm"]
    assert changed["capabilities"] == original["capabilities"]
    with pytest.raises(BadContainer, match="cmd"):
        exec_process(original, (), terminal=False)


@pytest.mark.parametrize(
    "changes",
    [
        {"command": ("sh", "a\0b")},
        {"args": ("x" * WORD_LIMIT,)},
        {"command": ("sh", "\ud800")},
        {"working_dir": "/a\0"},
        {"working_dir": "/\ud800"},
        {"command": (), "image": ImageDefaults(cmd=("sh", "\ud800"))},
        {"image": ImageDefaults(env=("A=\ud800",))},
        {"image": ImageDefaults(env=("A=" + "x" * WORD_LIMIT,))},
        {"image": ImageDefaults(env=("A=\0",))},
        {"command": (), "image": ImageDefaults(entrypoint=("\0",))},
        {"args": ("x" * 100_000,) * 70},
        {"env": tuple((f"N{number}", "x" * 100_000) for number in range(70))},
    ],
)
def test_what_execve_would_not_take_is_refused_in_few_words(changes: dict[str, Any]) -> None:
    wanted = a_container(**({"command": ("sh",)} | changes))
    with pytest.raises(BadContainer) as caught:
        process(wanted, V1)
    assert len(str(caught.value)) < 300


def test_bytes_of_values_that_are_no_utf_8_are_carried() -> None:
    wanted = a_container(command=("sh",), env=(("A", b"\xff".decode(errors="surrogateescape")),))
    assert "A=\udcff" in process(wanted, V1)["env"]


@pytest.mark.parametrize("command", [["sh", "\0"], ["x" * WORD_LIMIT], ["x" * 100_000] * 70, [""], []])
def test_a_command_that_cannot_be_executed_is_refused(command: list[str]) -> None:
    with pytest.raises(BadContainer, match="cmd"):
        exec_process({"env": []}, command, terminal=False)
