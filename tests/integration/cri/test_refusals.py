"""Requests that cannot be honoured: a clear error each, and nothing left of the attempt."""

from pathlib import Path

import grpc
import pytest

from api.runtime.v1 import api_pb2 as pb
from tests.harness.client import Client, container_config
from tests.integration.cri.conftest import IMAGE, pod_config

pytestmark = [pytest.mark.root, pytest.mark.usefixtures("nothing_left")]

UNKNOWN = "0" * 64


def _refused(call: object, *arguments: object) -> grpc.RpcError:
    with pytest.raises(grpc.RpcError) as caught:
        call(*arguments)  # type: ignore[operator]
    return caught.value


def test_unknown_ids_are_not_found(client: Client) -> None:
    for call in (client.pod, client.container, client.start_container):
        assert _refused(call, UNKNOWN).code() is grpc.StatusCode.NOT_FOUND
    assert _refused(client.exec, UNKNOWN, "true").code() is grpc.StatusCode.NOT_FOUND
    request = pb.ReopenContainerLogRequest(container_id=UNKNOWN)
    assert _refused(client.runtime.ReopenContainerLog, request).code() is grpc.StatusCode.NOT_FOUND


def test_stopping_and_removing_what_is_not_there_is_fine(client: Client) -> None:
    client.stop_container(UNKNOWN)
    client.remove_container(UNKNOWN)
    client.stop_pod(UNKNOWN)
    client.remove_pod(UNKNOWN)
    client.image.RemoveImage(pb.RemoveImageRequest(image=pb.ImageSpec(image=f"sha256:{UNKNOWN}")))


def test_an_unknown_handler_is_named(client: Client, logs: Path) -> None:
    error = _refused(client.run_pod, pod_config("handler", log_directory=logs), "no-such-handler")
    assert error.code() is grpc.StatusCode.NOT_FOUND
    assert "no-such-handler" in str(error.details())
    assert "crun" in str(error.details())


@pytest.mark.parametrize(
    ("sysctls", "word"),
    [({"kernel.panic": "1"}, "kernel.panic"), ({"net.ipv4.no_such_thing": "1"}, "no_such_thing")],
)
def test_a_bad_sysctl_is_named(client: Client, logs: Path, sysctls: dict[str, str], word: str) -> None:
    config = pod_config("sysctl", log_directory=logs)
    config.linux.sysctls.update(sysctls)
    error = _refused(client.run_pod, config)
    assert error.code() is grpc.StatusCode.INVALID_ARGUMENT
    assert word in str(error.details())


def test_container_requests(client: Client, logs: Path) -> None:
    config = pod_config("refused", log_directory=logs)
    pod = client.run_pod(config)

    def create(change: object) -> grpc.RpcError:
        wanted = container_config("main", IMAGE, ["true"])
        change(wanted)  # type: ignore[operator]
        return _refused(client.create_container, pod, wanted, config)

    def no_image(wanted: pb.ContainerConfig) -> None:
        wanted.image.image = "localhost/no/such:image"

    def group_alone(wanted: pb.ContainerConfig) -> None:
        wanted.linux.security_context.run_as_group.value = 5

    def bad_capability(wanted: pb.ContainerConfig) -> None:
        wanted.linux.security_context.capabilities.add_capabilities.append("FLYING")

    def bad_user(wanted: pb.ContainerConfig) -> None:
        wanted.linux.security_context.run_as_username = "nobody-here"

    def no_profile(wanted: pb.ContainerConfig) -> None:
        wanted.linux.security_context.seccomp.profile_type = pb.SecurityProfile.Localhost
        wanted.linux.security_context.seccomp.localhost_ref = "/no/such/profile.json"

    def recursive_without_readonly(wanted: pb.ContainerConfig) -> None:
        wanted.mounts.add(container_path="/x", host_path="/tmp", recursive_read_only=True)

    def no_device(wanted: pb.ContainerConfig) -> None:
        wanted.devices.add(container_path="/dev/x", host_path="/dev/no-such-device", permissions="r")

    for change, code, words in (
        (no_image, grpc.StatusCode.NOT_FOUND, "no/such:image"),
        (group_alone, grpc.StatusCode.INVALID_ARGUMENT, "run_as_group"),
        (bad_capability, grpc.StatusCode.INVALID_ARGUMENT, "FLYING"),
        (bad_user, grpc.StatusCode.INVALID_ARGUMENT, "nobody-here"),
        (no_profile, grpc.StatusCode.INVALID_ARGUMENT, "/no/such/profile.json"),
        (recursive_without_readonly, grpc.StatusCode.INVALID_ARGUMENT, "recursive_read_only"),
        (no_device, grpc.StatusCode.INVALID_ARGUMENT, "/dev/no-such-device"),
    ):
        error = create(change)
        assert error.code() is code, (change.__name__, error.details())
        assert words in str(error.details()), change.__name__
    assert client.containers() == []
    client.stop_pod(pod)
    error = create(lambda wanted: None)
    assert error.code() is grpc.StatusCode.FAILED_PRECONDITION
    client.remove_pod(pod)


def test_a_program_that_is_not_there_fails_in_the_runtimes_own_words(client: Client, logs: Path) -> None:
    config = pod_config("missing", log_directory=logs)
    pod = client.run_pod(config)
    wanted = container_config("main", IMAGE, ["/no/such/program"])
    error = _refused(lambda: client.start_container(client.create_container(pod, wanted, config)))
    assert "/no/such/program" in str(error.details())
    client.stop_pod(pod)
    client.remove_pod(pod)


def test_a_container_starts_once(client: Client, logs: Path) -> None:
    config = pod_config("once", log_directory=logs)
    pod = client.run_pod(config)
    container = client.create_container(pod, container_config("main", IMAGE, ["sleep", "1000000"]), config)
    client.start_container(container)
    assert _refused(client.start_container, container).code() is grpc.StatusCode.FAILED_PRECONDITION
    client.stop_pod(pod)
    client.remove_pod(pod)


def test_what_is_not_built_yet_says_so_by_name(client: Client) -> None:
    error = _refused(client.runtime.CheckpointContainer, pb.CheckpointContainerRequest(container_id=UNKNOWN))
    assert error.code() is grpc.StatusCode.UNIMPLEMENTED
    assert "CheckpointContainer" in str(error.details())
