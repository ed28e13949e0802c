"""Devices by annotation and by CDI name, on a daemon with CDI directories of its own."""

import json
import os
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import grpc
import pytest

from api.runtime.v1 import api_pb2 as pb
from host.cgroups import Hierarchy
from tests.harness.client import Client, container_config
from tests.harness.daemon import Daemon, Settings, Value
from tests.harness.runtimes import RUNTIMES
from tests.integration.cri.conftest import CGROUP, IMAGE, import_busybox, left_over, pod_config, take_counts

pytestmark = pytest.mark.root

FOREVER = ("sleep", "1000000")
GPU = "vendor.com/gpu=0"
USER = 1234


@pytest.fixture(scope="module")
def cdi(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A CDI directory with one device: a copy of /dev/zero, a file, an environment, a hook."""
    directory = tmp_path_factory.mktemp("cdi")
    os.mknod(directory / "gpu0", stat.S_IFCHR | 0o600, os.makedev(1, 5))
    (directory / "driver").write_text("the driver")
    hook = {"hookName": "createRuntime", "path": "/bin/touch", "args": ["touch", str(directory / "hooked")]}
    edits: dict[str, Any] = {
        "env": ["GPU=0"],
        "deviceNodes": [{"path": "/dev/gpu0", "hostPath": str(directory / "gpu0"), "permissions": "rw"}],
        "mounts": [
            {"hostPath": str(directory / "driver"), "containerPath": "/driver", "options": ["ro", "bind"]}
        ],
        "hooks": [hook],
        "additionalGids": [4321],
    }
    devices = [{"name": "0", "containerEdits": edits}]
    document = {"cdiVersion": "0.7.0", "kind": "vendor.com/gpu", "devices": devices}
    (directory / "gpu.json").write_text(json.dumps(document))
    (directory / "broken.yaml").write_text("cdiVersion: [")
    return directory


@pytest.fixture(scope="module")
def daemon(cdi: Path) -> Iterator[Daemon]:
    runtime: dict[str, Value] = {"cdi_spec_dirs": [str(cdi)], "device_ownership_from_security_context": True}
    tables: dict[str, dict[str, Value]] = {
        "crio.runtime": runtime,
        "crio.runtime.runtimes.crun": {"allowed_annotations": ["devices.crio.io"]},
    }
    with_devices = Daemon(Settings(tables=tables, bridge="pw-test2", subnet="10.89.0.0/16"))
    import_busybox(with_devices)
    with_devices.start()
    Hierarchy.detect().create(CGROUP)
    client = with_devices.client
    client.remove_pod(client.run_pod(pod_config("first")))  # what the first one makes stays
    yield with_devices
    forced = with_devices.teardown()
    Hierarchy.detect().remove(CGROUP)
    assert forced == []


@pytest.mark.usefixtures("nothing_left")
@pytest.mark.parametrize("handler", RUNTIMES)
@pytest.mark.parametrize("by_annotation", [False, True])
def test_a_cdi_device_brings_all_its_edits(
    client: Client, logs: Path, cdi: Path, handler: str, by_annotation: bool
) -> None:
    (cdi / "hooked").unlink(missing_ok=True)
    config = pod_config("cdi", log_directory=logs)
    pod = client.run_pod(config, handler)
    wanted = container_config("main", IMAGE, FOREVER)
    wanted.linux.security_context.run_as_user.value = USER
    if by_annotation:
        wanted.annotations["cdi.k8s.io/plugin"] = GPU
    else:
        wanted.CDI_devices.add(name=GPU)
    container = client.create_container(pod, wanted, config)
    client.start_container(container)
    assert client.exec(container, "sh", "-c", "echo $GPU").stdout == b"0\n"
    assert len(client.exec(container, "head", "-c", "7", "/dev/gpu0").stdout) == 7
    assert f" {USER} " in client.exec(container, "ls", "-ln", "/dev/gpu0").stdout.decode()
    assert client.exec(container, "cat", "/driver").stdout == b"the driver"
    assert b"4321" in client.exec(container, "id", "-G").stdout
    assert (cdi / "hooked").exists()
    client.remove_pod(pod)


@pytest.mark.usefixtures("nothing_left")
def test_devices_that_are_not_to_be_had_are_named(client: Client, logs: Path) -> None:
    pod_wide = pod_config("no-device", log_directory=logs)
    pod = client.run_pod(pod_wide)
    for name, words in (("vendor.com/gpu=7", "broken.yaml"), ("gpu7", "vendor/class=device")):
        wanted = container_config("main", IMAGE, FOREVER)
        wanted.CDI_devices.add(name=name)
        with pytest.raises(grpc.RpcError) as caught:
            client.create_container(pod, wanted, pod_wide)
        assert caught.value.code() is grpc.StatusCode.INVALID_ARGUMENT
        assert repr(name) in str(caught.value.details())
        assert words in str(caught.value.details())
    assert client.containers() == []
    client.remove_pod(pod)


def test_annotated_devices_belong_to_the_containers_user(daemon: Daemon, client: Client, logs: Path) -> None:
    before = take_counts(daemon)
    config = pod_config("annotated", log_directory=logs)
    config.annotations["devices.crio.io"] = "/dev/fuse:/dev/own:rw"
    pod = client.run_pod(config)
    wanted = container_config("main", IMAGE, FOREVER)
    wanted.linux.security_context.run_as_user.value = USER
    container = client.create_container(pod, wanted, config)
    client.start_container(container)
    assert f" {USER} " in client.exec(container, "ls", "-ln", "/dev/own").stdout.decode()
    client.remove_pod(pod)

    config = pod_config("not-allowed", log_directory=logs)
    config.annotations["devices.crio.io"] = "/dev/kmsg"
    pod = client.run_pod(config)
    with pytest.raises(grpc.RpcError) as caught:
        client.create_container(pod, container_config("main", IMAGE, FOREVER), config)
    assert caught.value.code() is grpc.StatusCode.INVALID_ARGUMENT
    assert "/dev/kmsg is not in allowed_devices (/dev/fuse, /dev/net/tun)" in str(caught.value.details())
    client.remove_pod(pod)
    assert left_over(before, daemon) == [], daemon.log_tail()


def test_a_request_may_name_a_directory_of_devices(client: Client, logs: Path) -> None:
    config = pod_config("directory", log_directory=logs)
    pod = client.run_pod(config)
    wanted = container_config("main", IMAGE, FOREVER)
    wanted.devices.add(container_path="/dev/mine", host_path="/dev/net", permissions="rw")
    container = client.create_container(pod, wanted, config)
    client.start_container(container)
    assert client.exec(container, "ls", "/dev/mine").stdout == b"tun\n"
    assert client.container(container).state == pb.CONTAINER_RUNNING
    client.remove_pod(pod)
