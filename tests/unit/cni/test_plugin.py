"""Executed plugins: what they are given, and how their failures are told. The plugins are shell scripts."""

import json
from pathlib import Path

import pytest

from cni.call import Call
from cni.errors import PluginFailed, PluginMissing, PluginTimedOut
from cni.plugin import ExecutedPlugin, Timeouts, find, variables

CALL = Call("abc", "/run/netns/x", "eth0", (("IgnoreUnknown", "1"), ("K8S_POD_NAME", "web")))
CONF = {"cniVersion": "1.0.0", "name": "pods", "type": "fake"}


def plugin(tmp_path: Path, body: str, timeout_s: float = 20.0) -> ExecutedPlugin:
    path = tmp_path / "fake"
    path.write_text(f"#!/bin/sh\n{body}\n")
    path.chmod(0o755)
    return ExecutedPlugin(
        "fake", path, [tmp_path, Path("/opt/cni/bin")], Timeouts(timeout_s, timeout_s, timeout_s)
    )


async def test_a_plugin_gets_its_variables_and_configuration(tmp_path: Path) -> None:
    one = plugin(tmp_path, f'cat >{tmp_path}/stdin; env | grep ^CNI_ | sort >{tmp_path}/env; echo "{{}}"')
    assert await one.add(CALL, CONF) == {}
    assert json.loads((tmp_path / "stdin").read_text()) == CONF
    assert (tmp_path / "env").read_text().splitlines() == [
        "CNI_ARGS=IgnoreUnknown=1;K8S_POD_NAME=web",
        "CNI_COMMAND=ADD",
        "CNI_CONTAINERID=abc",
        "CNI_IFNAME=eth0",
        "CNI_NETNS=/run/netns/x",
        f"CNI_PATH={tmp_path}:/opt/cni/bin",
    ]


@pytest.mark.parametrize("command", ["check", "delete"])
async def test_other_commands_need_no_output(tmp_path: Path, command: str) -> None:
    one = plugin(tmp_path, f'echo "$CNI_COMMAND" >{tmp_path}/command')
    await getattr(one, command)(CALL, CONF)
    assert (tmp_path / "command").read_text().strip() == {"check": "CHECK", "delete": "DEL"}[command]


@pytest.mark.parametrize(
    ("body", "message", "code"),
    [
        (
            'echo \'{"code": 11, "msg": "busy", "details": "later"}\'; echo trace >&2; exit 1',
            "CNI plugin fake failed on ADD: busy; later; stderr: trace",
            11,
        ),
        ("echo plain words; exit 1", "failed on ADD: plain words", 999),
        ("echo only stderr >&2; exit 3", "failed on ADD: stderr: only stderr", 999),
        ("exit 5", "failed on ADD: exit code 5, no message", 999),
        ("kill -9 $$", "failed on ADD: signal 9, no message", 999),
        ("echo no result", "answered ADD with no result", 999),
        ("true", "answered ADD with no result", 999),
    ],
)
async def test_a_failure_has_the_plugins_own_words(
    tmp_path: Path, body: str, message: str, code: int
) -> None:
    with pytest.raises(PluginFailed, match=message) as caught:
        await plugin(tmp_path, f"cat >/dev/null; {body}").add(CALL, CONF)
    assert caught.value.code == code


async def test_a_plugin_that_hangs_is_killed(tmp_path: Path) -> None:
    with pytest.raises(PluginTimedOut, match=r"did not end ADD within 0\.2 s"):
        await plugin(tmp_path, "exec sleep 60", timeout_s=0.2).add(CALL, CONF)


async def test_a_plugin_that_cannot_start_is_missing(tmp_path: Path) -> None:
    one = plugin(tmp_path, "")
    one.path.unlink()
    with pytest.raises(PluginMissing, match="fake cannot be started"):
        await one.add(CALL, CONF)


async def test_versions_are_asked_for(tmp_path: Path) -> None:
    body = 'echo "{\\"cniVersion\\": \\"1.0.0\\", \\"supportedVersions\\": [\\"0.4.0\\", \\"1.0.0\\"]}"'
    assert await plugin(tmp_path, body).versions() == ("0.4.0", "1.0.0")


def test_commands_about_no_container_name_none() -> None:
    assert variables("STATUS", None, [Path("/a")]) == {"CNI_COMMAND": "STATUS", "CNI_PATH": "/a"}


def test_the_first_executable_is_found(tmp_path: Path) -> None:
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "x").touch()
    (tmp_path / "b" / "x").chmod(0o755)
    directories = [tmp_path / "none", tmp_path / "a", tmp_path / "b"]
    assert find("x", directories) == tmp_path / "b" / "x"
    assert find("y", directories) is None
