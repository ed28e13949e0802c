"""How containers end, and what is said about it: memory, signals, messages, patience."""

import subprocess
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import grpc
import pytest

from api.runtime.v1 import api_pb2 as pb
from tests.harness.client import Client, container_config, eventually
from tests.harness.daemon import Daemon
from tests.harness.images import Image
from tests.harness.runtimes import RUNTIMES
from tests.integration.cri.conftest import IMAGE, pod_config
from tools.demo import busybox_image

pytestmark = [pytest.mark.root, pytest.mark.usefixtures("nothing_left")]

MIB = 1 << 20
USR2_IMAGE = "localhost/test/usr2:1"
# Tells by its exit code which signal came; ready when it says so.
TRAPS = (
    "trap 'exit 11' USR1; trap 'exit 12' USR2; trap 'exit 13' TERM; echo ready; while :; do sleep 0.05; done"
)
# A buffer of this size is more than its container may have.
EATER = "dd if=/dev/zero of=/dev/null bs=200M count=1"


@pytest.fixture(scope="module", autouse=True)
def usr2_image(daemon: Daemon) -> None:
    archive = daemon.state / "usr2.tar"
    busybox = busybox_image()
    Image(busybox.layers, {**busybox.config, "StopSignal": "SIGUSR2"}).write_docker_archive(
        archive, USR2_IMAGE
    )
    subprocess.run(daemon.command("image import", str(archive)), check=True, timeout=60, capture_output=True)


def _started(
    client: Client, config: pb.PodSandboxConfig, wanted: pb.ContainerConfig, handler: str = ""
) -> tuple[str, str]:
    pod = client.run_pod(config, handler)
    container = client.create_container(pod, wanted, config)
    client.start_container(container)
    return pod, container


def _await_ready(client: Client, container: str) -> None:
    log = Path(client.container(container).log_path)
    eventually(log.read_text, lambda text: text.endswith("F ready\n"), "its traps are set")


@pytest.mark.parametrize("handler", RUNTIMES)
def test_a_container_that_eats_too_much(client: Client, logs: Path, handler: str) -> None:
    wanted = container_config("main", IMAGE, ["sh", "-c", EATER])
    wanted.linux.resources.memory_limit_in_bytes = 32 * MIB
    pod, container = _started(client, pod_config("eater", log_directory=logs), wanted, handler)
    status = client.wait_exited(container)
    assert (status.exit_code, status.reason) == (137, "OOMKilled")
    client.remove_pod(pod)


def test_an_exec_that_eats_too_much_is_not_the_containers_end(client: Client, logs: Path) -> None:
    wanted = container_config("main", IMAGE, ["sleep", "1000000"])
    wanted.linux.resources.memory_limit_in_bytes = 32 * MIB
    pod, container = _started(client, pod_config("exec-eater", log_directory=logs), wanted)
    assert client.exec(container, *EATER.split()).exit_code == 137
    assert client.container(container).state == pb.CONTAINER_RUNNING
    client.stop_container(container)
    status = client.container(container)
    assert (status.exit_code, status.reason) == (137, "Error")
    client.remove_pod(pod)


@pytest.mark.parametrize(
    ("image", "asked", "exit_code", "reported"),
    [
        (IMAGE, pb.SIGNAL_RUNTIME_DEFAULT, 13, pb.SIGNAL_SIGTERM),
        (USR2_IMAGE, pb.SIGNAL_RUNTIME_DEFAULT, 12, pb.SIGNAL_SIGUSR2),
        (USR2_IMAGE, pb.SIGNAL_SIGUSR1, 11, pb.SIGNAL_SIGUSR1),
    ],
)
def test_the_stop_signal_is_the_requests_else_the_images_else_term(
    client: Client,
    logs: Path,
    image: str,
    asked: pb.Signal.ValueType,
    exit_code: int,
    reported: pb.Signal.ValueType,
) -> None:
    wanted = container_config("main", image, ["sh", "-c", TRAPS])
    wanted.stop_signal = asked
    pod, container = _started(client, pod_config("signals", log_directory=logs), wanted)
    _await_ready(client, container)
    assert client.container(container).stop_signal == reported
    client.stop_container(container, grace_s=60)
    assert client.container(container).exit_code == exit_code
    client.remove_pod(pod)


def test_the_termination_message_reaches_the_kubelets_file(
    client: Client, logs: Path, tmp_path: Path
) -> None:
    message = tmp_path / "message"
    message.touch()
    wanted = container_config("main", IMAGE, ["sh", "-c", "echo -n because > /dev/termination-log; exit 3"])
    wanted.mounts.add(container_path="/dev/termination-log", host_path=str(message))
    wanted.annotations["io.kubernetes.container.terminationMessagePath"] = "/dev/termination-log"
    pod, container = _started(client, pod_config("message", log_directory=logs), wanted)
    status = client.wait_exited(container)
    assert message.read_text() == "because"
    [mount] = status.mounts
    assert (mount.container_path, mount.host_path) == ("/dev/termination-log", str(message))
    assert status.annotations == wanted.annotations
    client.remove_pod(pod)


@pytest.mark.parametrize("handler", RUNTIMES)
def test_a_start_that_fails_is_told_in_the_runtimes_words(client: Client, logs: Path, handler: str) -> None:
    config = pod_config("no-start", log_directory=logs)
    pod = client.run_pod(config, handler)
    wanted = container_config("main", IMAGE, ["/etc/passwd"])  # is there, and no program
    with pytest.raises(grpc.RpcError) as caught:
        client.start_container(client.create_container(pod, wanted, config))
    details = str(caught.value.details())
    assert f"{handler} " in details
    assert "ermission denied" in details
    for one in client.containers():
        status = client.container(one.id)
        assert (status.state, status.reason, status.exit_code) == (pb.CONTAINER_EXITED, "StartError", 128)
    client.remove_pod(pod)


def test_status_is_answered_while_pod_and_container_are_being_stopped(client: Client, logs: Path) -> None:
    wanted = container_config("main", IMAGE, ["sh", "-c", "trap '' TERM; while :; do sleep 1; done"])
    pod, container = _started(client, pod_config("patient", log_directory=logs), wanted)
    with ThreadPoolExecutor(1) as workers:
        stopping = workers.submit(client.stop_container, container, 600)
        eventually(stopping.running, bool, "the patient stop runs")
        assert client.container(container).state == pb.CONTAINER_RUNNING
        assert client.pod(pod).state == pb.SANDBOX_READY
        assert [one.id for one in client.containers()] == [container]
        assert client.exec(container, "echo", "still here").stdout == b"still here\n"
        client.stop_pod(pod)  # by force, so the patient one has its answer too
        stopping.result(timeout=60)
    assert client.container(container).exit_code == 137
    assert client.pod(pod).state == pb.SANDBOX_NOTREADY
    client.remove_pod(pod)


def test_paths_are_masked_without_a_security_context(client: Client, logs: Path) -> None:
    wanted = container_config("main", IMAGE, ["sleep", "1000000"])
    wanted.linux.ClearField("security_context")
    config = pod_config("bare", log_directory=logs)
    config.linux.security_context.namespace_options.pid = pb.POD  # as an unset message says
    pod, container = _started(client, config, wanted)
    assert client.exec(container, "cat", "/proc/kcore").stdout == b""
    assert b"Read-only" in client.exec(container, "sh", "-c", "echo 1 > /proc/sys/kernel/panic").stderr
    client.remove_pod(pod)
