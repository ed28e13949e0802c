"""What an operator sees who made a mistake: one line that says what is wrong, or a condition in Status."""

import os
import signal
import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from api.runtime.v1 import api_pb2 as pb
from tests.harness.client import Client, eventually
from tests.harness.daemon import Daemon, Settings

pytestmark = pytest.mark.root


@pytest.fixture
def unused() -> Iterator[Daemon]:
    """Configured and not started."""
    daemon = Daemon(Settings(bridge="pw-test2"))
    yield daemon
    assert daemon.teardown() == []


def complaint(daemon: Daemon, *options: str) -> str:
    """Start a daemon that must not come up; what it says at last."""
    done = subprocess.run(
        daemon.command("serve", *options), capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 1, done.stderr
    assert "Traceback" not in done.stderr
    _, mark, said = f"\n{done.stderr}".rpartition("\npodwright: ")
    assert mark, done.stderr
    return said


def test_a_second_daemon_on_the_same_state_is_refused(daemon: Daemon) -> None:
    assert f"another podwright serves {daemon.runroot}" in complaint(daemon)
    assert daemon.client.not_ready() == ""


def test_a_socket_that_somebody_answers_on_is_left_to_him(daemon: Daemon, unused: Daemon) -> None:
    line = complaint(unused, "--listen", f"{daemon.runroot}/podwright.sock")
    assert f"somebody answers on {daemon.runroot}/podwright.sock" in line
    assert daemon.client.not_ready() == ""


def test_a_file_in_the_place_of_the_socket_is_not_removed(unused: Daemon) -> None:
    path = unused.state / "precious"
    path.write_text("data")
    assert f"{path} is not a socket" in complaint(unused, "--listen", str(path))
    assert path.read_text() == "data"


def test_a_runroot_that_cannot_be_made_is_named(unused: Daemon) -> None:
    (unused.state / "file").touch()
    runroot = unused.state / "file/run"
    assert str(runroot.parent) in complaint(unused, "--runroot", str(runroot))


def test_a_root_that_cannot_be_written_is_named(unused: Daemon) -> None:
    assert "/proc/podwright" in complaint(unused, "--root", "/proc/podwright")


@pytest.mark.parametrize("table", ["api.stream", "metrics.metrics"])
def test_a_port_in_use_is_named(unused: Daemon, table: str) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        options = ["--set", f"{table}_port={port}", "--set", "metrics.enable_metrics=true"]
        line = complaint(unused, *options)
    assert str(port) in line
    assert "in use" in line


def test_a_file_that_is_not_toml_is_named_with_the_place(unused: Daemon) -> None:
    path = unused.state / "conf.d/bad.conf"
    path.write_text("[crio.runtime]\nlog_level = debug\n")
    line = complaint(unused)
    assert str(path) in line
    assert "line 2" in line


def conditions(client: Client) -> dict[str, pb.RuntimeCondition]:
    status = client.runtime.Status(pb.StatusRequest()).status
    return {condition.type: condition for condition in status.conditions}


def started(daemon: Daemon, *, change: str) -> dict[str, pb.RuntimeCondition]:
    (daemon.state / "conf.d/change.conf").write_text(change)
    daemon.launch()
    eventually(daemon.log, lambda text: " serving " in text, "the daemon serves")
    return conditions(daemon.client)


def test_a_missing_profile_is_a_condition_until_it_is_mended(unused: Daemon, tmp_path: Path) -> None:
    path = tmp_path / "profile.json"
    found = started(unused, change=f'[crio.runtime]\nseccomp_profile = "{path}"\n')["RuntimeReady"]
    assert not found.status
    assert str(path) in found.message
    path.write_text('{"defaultAction": "SCMP_ACT_ALLOW"}')
    os.kill(unused.pid, signal.SIGHUP)
    eventually(
        lambda: conditions(unused.client)["RuntimeReady"].status, bool, "the runtime is ready after a reload"
    )


def test_a_missing_runtime_is_a_condition(unused: Daemon) -> None:
    change = (
        '[crio.runtime]\ndefault_runtime = "gone"\n[crio.runtime.runtimes.gone]\nruntime_path = "/no/gone"\n'
    )
    found = started(unused, change=change)["RuntimeReady"]
    assert not found.status
    assert (found.reason, "'gone'" in found.message) == ("NoRuntime", True)
    assert unused.told("/no/gone")


def test_a_missing_network_configuration_is_a_condition_until_it_comes(unused: Daemon) -> None:
    directory = unused.state / "net.d"
    conflist = directory / "10-bridge.conflist"
    text = conflist.read_text()
    conflist.unlink()
    found = started(unused, change="")["NetworkReady"]
    assert not found.status
    assert str(directory) in found.message
    conflist.write_text(text)
    eventually(lambda: conditions(unused.client)["NetworkReady"].status, bool, "the network is ready")


def test_check_and_config_say_the_same_of_a_bad_configuration(unused: Daemon) -> None:
    (unused.state / "conf.d/bad.conf").write_text("[crio.runtime]\nlog_levle = 1\n")
    for verb in ("check", "config", "ops"):
        done = subprocess.run(unused.command(verb), capture_output=True, text=True, timeout=60, check=False)
        assert done.returncode == 1
        assert 'log_levle: unknown key; did you mean "log_level"' in done.stderr
        assert "Traceback" not in done.stderr


def test_ops_without_a_daemon_says_so(unused: Daemon) -> None:
    done = subprocess.run(unused.command("ops"), capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 1
    assert f"no daemon answers on {Path(unused.runroot)}/podwright.sock" in done.stderr
