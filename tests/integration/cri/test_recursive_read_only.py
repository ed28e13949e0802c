"""Recursive read-only mounts and mount options on real runtimes."""

import subprocess
from collections.abc import Iterator
from pathlib import Path

import grpc
import pytest

from api.runtime.v1 import api_pb2 as pb
from tests.harness.client import Client, container_config
from tests.harness.runtimes import RUNTIMES
from tests.integration.cri.conftest import IMAGE, pod_config

pytestmark = [pytest.mark.root, pytest.mark.usefixtures("nothing_left")]


@pytest.fixture
def tree(tmp_path: Path) -> Iterator[Path]:
    """A directory with another file system mounted below it."""
    below = tmp_path / "tree" / "below"
    below.mkdir(parents=True)
    subprocess.run(["mount", "-t", "tmpfs", "tmpfs", str(below)], check=True, timeout=10)
    yield below.parent
    subprocess.run(["umount", str(below)], check=True, timeout=10)


@pytest.mark.parametrize("handler", RUNTIMES)
@pytest.mark.parametrize("recursive", [True, False])
def test_mounts_below_are_read_only_too_if_asked_for(
    client: Client, logs: Path, tree: Path, handler: str, recursive: bool
) -> None:
    config = pod_config("rro", log_directory=logs)
    wanted = container_config("main", IMAGE, ["sleep", "1000000"])
    wanted.mounts.add(
        container_path="/mnt", host_path=str(tree), readonly=True, recursive_read_only=recursive
    )
    pod = client.run_pod(config, handler)
    container = client.create_container(pod, wanted, config)
    client.start_container(container)
    answer = client.exec(container, "sh", "-c", "echo > /mnt/file; echo > /mnt/below/file")
    assert b"/mnt/file: Read-only file system" in answer.stderr
    assert (b"/mnt/below/file: Read-only file system" in answer.stderr) == recursive
    assert (tree / "below/file").exists() != recursive
    assert client.container(container).mounts[0].recursive_read_only == recursive
    client.remove_pod(pod)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"readonly": False}, "recursive_read_only needs readonly"),
        ({"propagation": pb.PROPAGATION_HOST_TO_CONTAINER}, "needs private propagation"),
        ({"propagation": pb.PROPAGATION_BIDIRECTIONAL}, "needs private propagation"),
    ],
)
def test_what_contradicts_is_refused(
    client: Client, logs: Path, tree: Path, changes: dict[str, int], said: str
) -> None:
    config = pod_config("rro", log_directory=logs)
    wanted = container_config("main", IMAGE, ["sleep", "1000000"])
    mount = wanted.mounts.add(
        container_path="/mnt", host_path=str(tree), readonly=True, recursive_read_only=True
    )
    for field, value in changes.items():
        setattr(mount, field, value)
    pod = client.run_pod(config)
    with pytest.raises(grpc.RpcError) as refused:
        client.create_container(pod, wanted, config)
    client.remove_pod(pod)
    assert refused.value.code() is grpc.StatusCode.INVALID_ARGUMENT
    assert said in str(refused.value.details())


@pytest.mark.parametrize("handler", RUNTIMES)
def test_mount_options_narrow_a_mount(client: Client, logs: Path, tree: Path, handler: str) -> None:
    (tree / "script").write_text("#!/bin/sh\necho ran\n")
    (tree / "script").chmod(0o755)
    config = pod_config("options", log_directory=logs)
    wanted = container_config("main", IMAGE, ["sleep", "1000000"])
    wanted.mounts.add(container_path="/plain", host_path=str(tree))
    wanted.mounts.add(container_path="/narrow", host_path=str(tree), mount_options=["noexec", "nodev"])
    pod = client.run_pod(config, handler)
    container = client.create_container(pod, wanted, config)
    client.start_container(container)
    assert client.exec(container, "/plain/script").stdout == b"ran\n"
    assert b"ermission denied" in client.exec(container, "sh", "-c", "/narrow/script").stderr
    client.remove_pod(pod)
