"""Looking inside a running daemon: its socket, its command, its dumps, and what verbose answers show."""

import json
import os
import signal
import socket
import stat
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from api.runtime.v1 import api_pb2 as pb
from tests.harness.client import container_config, eventually
from tests.harness.daemon import Daemon
from tests.harness.patience import patient
from tests.harness.processes import read
from tests.integration.cri.conftest import IMAGE, pod_config

pytestmark = pytest.mark.root
TIMEOUT_S = patient(30)
COUNTING = ("sh", "-c", "i=0; while :; do i=$((i+1)); echo $i >/count; sleep 0.02; done")


@pytest.fixture
def pod(daemon: Daemon) -> Iterator[tuple[str, str]]:
    """A pod and its container, which counts; gone afterwards."""
    client, config = daemon.client, pod_config("inspected")
    sandbox = client.run_pod(config)
    container = client.create_container(sandbox, container_config("main", IMAGE, COUNTING), config)
    client.start_container(container)
    yield sandbox, container
    client.stop_pod(sandbox)
    client.remove_pod(sandbox)


def status(daemon: Daemon, *words: str) -> subprocess.CompletedProcess[str]:
    command = daemon.command(f"status {words[0]}", *words[1:])
    return subprocess.run(command, capture_output=True, text=True, timeout=TIMEOUT_S, check=False)


def told(daemon: Daemon, *words: str) -> str:
    done = status(daemon, *words)
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout


def count(daemon: Daemon, container: str) -> int:
    """What it has written by now; nothing, between the truncation and the write, is 0."""
    return int(read(daemon.client.pid_of(container), "root/count") or 0)


def test_the_socket_is_roots(daemon: Daemon) -> None:
    path = daemon.runroot / "inspect.sock"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    path.chmod(0o666)
    daemon.runroot.chmod(0o711)
    try:
        program = (
            "import socket,sys; s=socket.socket(socket.AF_UNIX); s.connect(sys.argv[1]);"
            "s.sendall(b'GET /config HTTP/1.1\\r\\nHost: x\\r\\n\\r\\n'); print(s.recv(99))"
        )
        done = subprocess.run(
            ["/usr/bin/python3", "-c", program, str(path)],
            user=65534,
            group=65534,
            cwd="/",
            capture_output=True,
            text=True,
            timeout=TIMEOUT_S,
            check=True,
        )
    finally:
        path.chmod(0o600)
        daemon.runroot.chmod(0o700)
    assert "403 Forbidden" in done.stdout


def test_a_grpc_client_on_the_wrong_socket_does_no_harm(daemon: Daemon) -> None:
    with socket.socket(socket.AF_UNIX) as wrong:
        wrong.settimeout(TIMEOUT_S)
        wrong.connect(str(daemon.runroot / "inspect.sock"))
        wrong.sendall(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + bytes(9))
        assert b"HTTP/1.1 4" in wrong.recv(99)
    assert daemon.client.not_ready() == ""


def test_status_tells_of_the_daemon(daemon: Daemon) -> None:
    info = json.loads(told(daemon, "info", "-o", "json"))
    assert info["pid"] == daemon.pid
    assert info["storage_root"] == str(daemon.state / "root")
    assert f"process: {daemon.pid}\n" in told(daemon, "info")
    config = json.loads(told(daemon, "config", "-o", "json"))["crio"]
    assert config["runroot"] == str(daemon.runroot)
    assert f'runroot = "{daemon.runroot}"\n' in told(daemon, "config")


def test_status_tells_of_containers(daemon: Daemon, pod: tuple[str, str]) -> None:
    sandbox, container = pod
    table = told(daemon, "containers").splitlines()
    assert table[0].split() == ["CONTAINER", "STATE", "PID", "IMAGE", "NAME"]
    assert any(line.startswith(container[:13]) for line in table[1:])
    assert container in told(daemon, "containers", "-q").split()
    found = json.loads(told(daemon, "containers", "--id", container[:12], "-o", "json"))
    assert (found["sandbox"], found["pid"]) == (sandbox, daemon.client.pid_of(container))
    assert found["ip_addresses"] == [daemon.client.pod(sandbox).network.ip]
    missing = status(daemon, "containers", "--id", "nothing")
    assert (missing.returncode, missing.stdout) == (1, "")
    assert "nothing" in missing.stderr


def test_a_paused_container_stands_still_and_goes_on(daemon: Daemon, pod: tuple[str, str]) -> None:
    _, container = pod
    eventually(lambda: count(daemon, container), lambda n: n > 0, "the container counts")
    told(daemon, "pause", container)
    stopped_at = {count(daemon, container) for _ in range(5)}
    assert len(stopped_at) == 1
    assert daemon.client.container(container).state == pb.CONTAINER_RUNNING
    again = status(daemon, "pause", container)
    assert (again.returncode, "paused already" in again.stderr) == (1, True)
    told(daemon, "unpause", container)
    eventually(lambda: count(daemon, container), lambda n: n > max(stopped_at), "it counts again")


@pytest.mark.parametrize("grace_s", [0, 1])
def test_a_paused_container_can_be_stopped(daemon: Daemon, pod: tuple[str, str], grace_s: int) -> None:
    _, container = pod
    told(daemon, "pause", container)
    daemon.client.stop_container(container, grace_s)
    assert daemon.client.container(container).state == pb.CONTAINER_EXITED


def test_a_signal_writes_where_everything_waits(daemon: Daemon) -> None:
    for number in range(10):
        os.kill(daemon.pid, signal.SIGUSR1)
        daemon.told("where tasks and threads wait is in", number=number + 1)
    dumps = sorted((daemon.runroot / "dumps").iterdir())
    assert len(dumps) == 8
    text = dumps[-1].read_text()
    assert "thread MainThread:" in text
    assert "task exits:" in text
    assert stat.S_IMODE(dumps[-1].stat().st_mode) == 0o600


def test_tasks_and_heap_go_to_a_file_of_roots(daemon: Daemon, tmp_path: Path) -> None:
    wanted = {"tasks": "thread MainThread:", "goroutines": "task exits:", "heap": "builtins.dict"}
    for what, words in wanted.items():
        assert told(daemon, what, "--file", str(tmp_path / what)) == ""
        assert words in (tmp_path / what).read_text()
        assert stat.S_IMODE((tmp_path / what).stat().st_mode) == 0o600


def info_of(answer: Any) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(answer.info["info"])
    return found


def test_verbose_answers_have_what_crios_have(daemon: Daemon, pod: tuple[str, str]) -> None:
    sandbox, container = pod
    runtime, address = daemon.client.runtime, daemon.client.pod(sandbox).network.ip
    asked = pb.PodSandboxStatusRequest(pod_sandbox_id=sandbox, verbose=True)
    info = info_of(runtime.PodSandboxStatus(asked, timeout=TIMEOUT_S))
    annotations = info["runtimeSpec"]["annotations"]
    assert annotations["io.kubernetes.cri-o.IP.0"] == address
    result = json.loads(annotations["io.kubernetes.cri-o.CNIResult"])
    assert [ip["address"].partition("/")[0] for ip in result["ips"]] == [address]
    paths = {each["type"]: each["path"] for each in info["runtimeSpec"]["linux"]["namespaces"]}
    assert Path(paths["network"]).exists()
    asked_container = pb.ContainerStatusRequest(container_id=container, verbose=True)
    info = info_of(runtime.ContainerStatus(asked_container, timeout=TIMEOUT_S))
    assert info["sandboxID"] == sandbox
    assert info["runtimeSpec"]["annotations"]["io.kubernetes.cri-o.Image"] == IMAGE
    asked_image = pb.ImageStatusRequest(image=pb.ImageSpec(image=IMAGE), verbose=True)
    info = info_of(daemon.client.image.ImageStatus(asked_image, timeout=TIMEOUT_S))
    assert {"architecture", "os", "rootfs", "config"} <= info["imageSpec"].keys()
    config = runtime.Status(pb.StatusRequest(verbose=True), timeout=TIMEOUT_S).info["config"]
    assert json.loads(config)["crio"]["runroot"] == str(daemon.runroot)
