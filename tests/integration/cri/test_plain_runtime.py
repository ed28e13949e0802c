"""A runtime that says nothing about what it can do: the daemon does it, or refuses."""

import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import grpc
import pytest

from api.runtime.v1 import api_pb2 as pb
from host.cgroups import Hierarchy
from tests.harness.client import Client, container_config
from tests.harness.daemon import Daemon, Settings
from tests.integration.cri.conftest import CGROUP, IMAGE, import_busybox, left_over, pod_config, take_counts

pytestmark = pytest.mark.root

# runc without its command "features".
SCRIPT = """#!/bin/sh
for word in "$@"; do [ "$word" = features ] && { echo unknown command >&2; exit 1; }; done
exec RUNC "$@"
"""


@pytest.fixture(scope="module")
def plain(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Daemon]:
    """A daemon with such a runtime as its handler "plain"."""
    program = tmp_path_factory.mktemp("plain") / "plain-runtime"
    program.write_text(SCRIPT.replace("RUNC", shutil.which("runc") or ""))
    program.chmod(0o755)
    tables = {"crio.runtime.runtimes.plain": {"runtime_path": str(program)}}
    daemon = Daemon(Settings(bridge="pw-plain0", subnet="10.90.0.0/16", tables=tables))
    import_busybox(daemon)
    daemon.start()
    Hierarchy.detect().create(CGROUP)
    daemon.client.remove_pod(daemon.client.run_pod(pod_config("first")))
    yield daemon
    forced = daemon.teardown()
    Hierarchy.detect().remove(CGROUP)
    assert forced == []


def test_read_only_trees_and_mapped_volumes_are_made_ready(plain: Daemon, logs: Path, tmp_path: Path) -> None:
    below = tmp_path / "tree" / "below"
    below.mkdir(parents=True)
    subprocess.run(["mount", "-t", "tmpfs", "tmpfs", str(below)], check=True, timeout=10)
    before = take_counts(plain)
    client = plain.client
    try:
        config = pod_config("plain", log_directory=logs)
        wanted = container_config("main", IMAGE, ["sleep", "1000000"])
        source = str(below.parent)
        wanted.mounts.add(container_path="/frozen", host_path=source, readonly=True, recursive_read_only=True)
        mapped = wanted.mounts.add(container_path="/mapped", host_path=source)
        mapped.uidMappings.add(host_id=5000, length=10)
        mapped.gidMappings.add(host_id=6000, length=10)
        pod = client.run_pod(config, "plain")
        container = client.create_container(pod, wanted, config)
        client.start_container(container)
        assert list((plain.runroot / "mounts").iterdir()) == []
        answer = client.exec(container, "sh", "-c", "echo > /frozen/file; echo > /frozen/below/file")
        assert b"/frozen/file: Read-only file system" in answer.stderr
        assert b"/frozen/below/file: Read-only file system" in answer.stderr
        assert client.exec(container, "busybox", "stat", "-c", "%u:%g", "/mapped").stdout == b"5000:6000\n"
        assert [mount.host_path for mount in client.container(container).mounts] == [source, source]
        client.remove_pod(pod)
        assert left_over(before, plain) == []
    finally:
        subprocess.run(["umount", str(below)], check=True, timeout=10)


def test_what_it_does_not_claim_is_not_promised(plain: Daemon, logs: Path) -> None:
    client: Client = plain.client
    status = client.runtime.Status(pb.StatusRequest(), timeout=10)
    features = {handler.name: handler.features for handler in status.runtime_handlers}
    assert not features["plain"].user_namespaces
    assert features["plain"].recursive_read_only_mounts
    assert features["crun"].user_namespaces
    config = pod_config("plain", log_directory=logs)
    ids = [pb.IDMapping(host_id=100000, length=65536)]
    options = config.linux.security_context.namespace_options.userns_options
    options.CopyFrom(pb.UserNamespace(mode=pb.POD, uids=ids, gids=ids))
    with pytest.raises(grpc.RpcError) as refused:
        client.run_pod(config, "plain")
    assert refused.value.code() is grpc.StatusCode.FAILED_PRECONDITION
    assert "userns_options.mode is POD: with runtime handler 'plain'" in str(refused.value.details())
