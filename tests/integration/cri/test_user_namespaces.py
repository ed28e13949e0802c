"""Pods with user namespaces: who owns what, inside and on the node, with each runtime."""

import os
import signal
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import grpc
import pytest

from api.runtime.v1 import api_pb2 as pb
from host.mounts import MNT_DETACH, make_shared, mount_tmpfs, mountpoints_below, umount
from tests.harness import processes
from tests.harness.client import Client, container_config
from tests.harness.daemon import Daemon
from tests.harness.images import Image
from tests.harness.runtimes import OWN, RUNTIMES
from tests.integration.cri.conftest import IMAGE, pod_config
from tools.demo import busybox_image

pytestmark = [pytest.mark.root, pytest.mark.usefixtures("nothing_left")]

FOREVER = ("sleep", "1000000")
# As the kubelet chooses them: beyond what a signed int holds.
HOST_ID = 3949199360
LENGTH = 65536


def mapping(host_id: int = HOST_ID, container_id: int = 0, length: int = LENGTH) -> pb.IDMapping:
    return pb.IDMapping(host_id=host_id, container_id=container_id, length=length)


def user_namespace(*mappings: pb.IDMapping) -> pb.UserNamespace:
    return pb.UserNamespace(mode=pb.POD, uids=mappings, gids=mappings)


def mapped_pod(name: str, logs: Path, **options: pb.NamespaceMode.ValueType) -> pb.PodSandboxConfig:
    config = pod_config(name, log_directory=logs, host_network=options.get("network") == pb.NODE)
    namespaces = config.linux.security_context.namespace_options
    namespaces.userns_options.CopyFrom(user_namespace(mapping()))
    namespaces.pid = options.get("pid", pb.CONTAINER)
    namespaces.ipc = options.get("ipc", pb.POD)
    return config


def container_in(pod: pb.PodSandboxConfig, name: str = "main") -> pb.ContainerConfig:
    """A container with the pod's namespaces, as the kubelet asks for it."""
    config = container_config(name, IMAGE, FOREVER)
    options = pod.linux.security_context.namespace_options
    config.linux.security_context.namespace_options.CopyFrom(options)
    return config


@pytest.fixture(params=RUNTIMES)
def handler(request: pytest.FixtureRequest) -> str:
    return str(request.param)


Run = Callable[[pb.PodSandboxConfig, pb.ContainerConfig], Callable[[str], str]]


@pytest.fixture
def run(client: Client, handler: str) -> Run:
    """Run a pod with one container; a shell in it that must succeed."""

    def started(pod: pb.PodSandboxConfig, wanted: pb.ContainerConfig) -> Callable[[str], str]:
        container = client.create_container(client.run_pod(pod, handler), wanted, pod)
        client.start_container(container)

        def shell(script: str) -> str:
            answer = client.exec(container, "sh", "-c", script)
            assert answer.exit_code == 0, answer
            return answer.stdout.decode().strip()

        return shell

    return started


@pytest.fixture(autouse=True)
def _remove_pods(client: Client, nothing_left: None) -> Iterator[None]:
    yield
    client.remove_all()


def test_ids_inside_are_others_outside(client: Client, run: Run, logs: Path) -> None:
    pod = mapped_pod("mapped", logs)
    shell = run(pod, container_in(pod))
    assert shell("echo x > /dev/stderr && echo written") == "written"
    assert shell("cat /proc/self/uid_map /proc/self/gid_map").split() == ["0", str(HOST_ID), str(LENGTH)] * 2
    assert shell("id -u") == "0"
    container = client.containers()[0].id
    users = [processes.status(pid) for pid in processes.in_cgroup(container)]
    assert {user["Uid"].split()[0] for user in users if user} == {str(HOST_ID)}


def test_the_image_and_the_pods_files_belong_to_root_inside(run: Run, logs: Path) -> None:
    pod = mapped_pod("owners", logs)
    shell = run(pod, container_in(pod))
    for path in ("/", "/bin/busybox", "/etc", "/etc/resolv.conf", "/etc/hostname", "/dev/shm"):
        assert shell(f"busybox stat -c %u:%g {path}") == "0:0", path
    assert shell("cat /etc/hostname") == "owners"
    assert shell("grep -c . /etc/resolv.conf") != "0"
    assert shell("echo x > /new; busybox chown 7:8 /new; busybox stat -c %u:%g /new") == "7:8"
    assert shell("echo shared > /dev/shm/file && cat /dev/shm/file") == "shared"


def test_root_inside_rules_over_the_pods_namespaces(run: Run, logs: Path) -> None:
    pod = mapped_pod("rules", logs)
    pod.linux.sysctls["kernel.shm_rmid_forced"] = "1"
    pod.linux.sysctls["net.ipv4.ip_unprivileged_port_start"] = "80"
    wanted = container_in(pod)
    wanted.linux.security_context.capabilities.add_capabilities.extend(["NET_ADMIN", "SYS_ADMIN"])
    shell = run(pod, wanted)
    assert shell("cat /proc/sys/kernel/shm_rmid_forced") == "1"
    assert shell("cat /proc/sys/net/ipv4/ip_unprivileged_port_start") == "80"
    assert shell("hostname") == "rules"
    assert shell("ip link set lo down && ip link set lo up && echo done") == "done"
    assert "eth0" in shell("ls /sys/class/net")


@pytest.mark.parametrize("user", [0, 1000])
def test_output_may_be_opened_by_its_name(client: Client, run: Run, logs: Path, user: int) -> None:
    """Images let their servers log to /dev/stdout."""
    pod = mapped_pod("output", logs)
    wanted = container_in(pod)
    wanted.linux.security_context.run_as_user.value = user
    del wanted.command[:]
    wanted.command.extend(["sh", "-c", "echo by name > /dev/stdout && sleep 1000000"])
    shell = run(pod, wanted)
    assert shell("id -u") == str(user)
    status = client.container(client.containers()[0].id)
    assert status.state == pb.CONTAINER_RUNNING
    assert "by name" in Path(status.log_path).read_text()


def test_containers_may_share_their_pid_namespace(run: Run, logs: Path) -> None:
    pod = mapped_pod("shared", logs, pid=pb.POD)
    shell = run(pod, container_in(pod))
    assert "pause" in shell("busybox tr '\\0' ' ' < /proc/1/cmdline")
    assert shell("busybox stat -c %u /proc/1") == "0"


def test_the_pause_process_may_be_another_than_root(run: Run, logs: Path) -> None:
    pod = mapped_pod("who", logs, pid=pb.POD)
    pod.linux.security_context.run_as_user.value = 1000
    assert run(pod, container_in(pod))("busybox stat -c %u /proc/1") == "1000"


def test_the_nodes_network_goes_with_a_user_namespace(run: Run, logs: Path) -> None:
    pod = mapped_pod("network", logs, network=pb.NODE)
    shell = run(pod, container_in(pod))
    assert shell("cat /proc/self/uid_map").split()[1] == str(HOST_ID)
    assert "pw-test0" in shell("cat /proc/net/dev")
    assert shell("ls /sys/class/net/lo/address") == "/sys/class/net/lo/address"


def test_volumes_keep_their_owners(run: Run, logs: Path, tmp_path: Path, daemon: Daemon) -> None:
    volume = _volume(tmp_path / "volume")
    pod = mapped_pod("volumes", logs)
    wanted = container_in(pod)
    for name, source in (("dir", volume), ("file", volume / "file")):
        mount = wanted.mounts.add(container_path=f"/mnt/{name}", host_path=str(source))
        mount.uidMappings.append(mapping())
        mount.gidMappings.append(mapping())
    shell = run(pod, wanted)
    owners = shell("busybox stat -c %u:%g /mnt/dir /mnt/file /mnt/dir/theirs").split()
    assert owners == ["0:0", "0:0", "1234:4321"]
    shell("echo x > /mnt/dir/new && busybox chown 5:6 /mnt/dir/new && echo more >> /mnt/file")
    found = (volume / "new").stat()
    assert (found.st_uid, found.st_gid) == (5, 6)
    assert (volume / "file").read_text() == "content\nmore\n"
    assert list((daemon.runroot / "mounts").iterdir()) == []


def _volume(volume: Path) -> Path:
    volume.mkdir()
    (volume / "file").write_text("content\n")
    (volume / "theirs").write_text("theirs\n")
    os.chown(volume / "theirs", 1234, 4321)
    return volume


def test_a_mapped_volume_sees_what_is_mounted_later(run: Run, logs: Path, tmp_path: Path) -> None:
    source = tmp_path / "shared"
    source.mkdir()
    mount_tmpfs(source, "mode=755")
    make_shared(source)
    (source / "later").mkdir()
    try:
        pod = mapped_pod("propagated", logs)
        wanted = container_in(pod)
        mount = wanted.mounts.add(container_path="/mnt", host_path=str(source))
        mount.propagation = pb.PROPAGATION_HOST_TO_CONTAINER
        mount.uidMappings.append(mapping())
        mount.gidMappings.append(mapping())
        shell = run(pod, wanted)
        mount_tmpfs(source / "later", "mode=755")
        (source / "later/file").write_text("seen")
        assert shell("busybox stat -c %u /mnt && cat /mnt/later/file").split() == ["0", "seen"]
    finally:
        umount_all(source)


def umount_all(directory: Path) -> None:
    for path in mountpoints_below(directory):
        umount(path, MNT_DETACH)


def test_a_volume_without_maps_is_the_nodes(run: Run, logs: Path, tmp_path: Path) -> None:
    volume = _volume(tmp_path / "volume")
    volume.chmod(0o777)
    pod = mapped_pod("plain", logs)
    wanted = container_in(pod)
    wanted.mounts.add(container_path="/mnt", host_path=str(volume))
    shell = run(pod, wanted)
    assert shell("busybox stat -c %u:%g /mnt") == "65534:65534"
    shell("echo x > /mnt/new")
    assert (volume / "new").stat().st_uid == HOST_ID


def test_a_user_of_the_request_is_one_of_the_namespace(run: Run, logs: Path) -> None:
    pod = mapped_pod("user", logs)
    wanted = container_in(pod)
    wanted.linux.security_context.run_as_user.value = 1000
    wanted.linux.security_context.run_as_group.value = 1001
    shell = run(pod, wanted)
    assert shell("id -u; id -g").split() == ["1000", "1001"]
    assert shell("busybox stat -c %u:%g /etc/passwd") == "0:0"
    assert shell("echo x > /dev/stderr && echo written") == "written"


def test_restricted_sources_can_be_mounted_read_only(run: Run, logs: Path, tmp_path: Path) -> None:
    """What a source's mount forbids cannot be allowed inside, and runtimes must not seem to try."""
    source = tmp_path / "restricted"
    source.mkdir()
    options = "nosuid,nodev,noexec,mode=755"
    subprocess.run(["mount", "-t", "tmpfs", "-o", options, "tmpfs", str(source)], check=True, timeout=10)
    try:
        pod = mapped_pod("restricted", logs)
        wanted = container_in(pod)
        wanted.mounts.add(container_path="/mnt", host_path=str(source), readonly=True)
        shell = run(pod, wanted)
        assert {"ro", "nosuid", "nodev", "noexec"} <= set(
            shell("grep ' /mnt ' /proc/mounts").split()[3].split(",")
        )
    finally:
        subprocess.run(["umount", "--lazy", str(source)], check=True, timeout=10)


def test_image_volumes_and_declared_ones_belong_to_root_inside(run: Run, logs: Path, volumes: str) -> None:
    pod = mapped_pod("image-volumes", logs)
    wanted = container_in(pod)
    wanted.image.image = volumes
    mount = wanted.mounts.add(container_path="/image", readonly=True, image=pb.ImageSpec(image=volumes))
    mount.uidMappings.append(mapping())
    mount.gidMappings.append(mapping())
    shell = run(pod, wanted)
    assert shell("busybox stat -c %u:%g /image /image/bin/busybox /declared/deep").split() == ["0:0"] * 3
    assert shell("echo x > /declared/deep/file && cat /declared/deep/file") == "x"


@pytest.fixture(scope="module")
def volumes(daemon: Daemon) -> str:
    """An image that declares a VOLUME."""
    name = "localhost/test/declares:1"
    image = busybox_image()
    declaring = Image(image.layers, {**image.config, "Volumes": {"/declared/deep": {}}})
    archive = daemon.state / "declares.tar"
    declaring.write_docker_archive(archive, name)
    subprocess.run(daemon.command("image import", str(archive)), check=True, timeout=60, capture_output=True)
    return name


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (user_namespace(mapping(), mapping(1)), "uids has 2 mappings"),
        (user_namespace(mapping(container_id=1)), "container id 1: 0 must be mapped"),
        (user_namespace(mapping(length=0)), "length 0"),
        (user_namespace(mapping(host_id=2**32 - 5, length=10)), "host id 4294967291"),
        (pb.UserNamespace(mode=pb.POD, uids=[mapping()], gids=[mapping(5)]), "uids and gids differ"),
        (pb.UserNamespace(mode=pb.CONTAINER), "userns_options.mode is CONTAINER"),
        (pb.UserNamespace(mode=pb.TARGET), "userns_options.mode is TARGET"),
        (pb.UserNamespace(mode=pb.NODE, uids=[mapping()]), "mode NODE"),
    ],
)
def test_a_mapping_that_cannot_be_is_refused(
    client: Client, logs: Path, options: pb.UserNamespace, said: str
) -> None:
    pod = mapped_pod("refused", logs)
    pod.linux.security_context.namespace_options.userns_options.CopyFrom(options)
    with pytest.raises(grpc.RpcError) as refused:
        client.run_pod(pod)
    assert refused.value.code() is grpc.StatusCode.INVALID_ARGUMENT
    assert said in str(refused.value.details())


def test_the_nodes_pids_and_a_user_namespace_are_refused(client: Client, logs: Path) -> None:
    with pytest.raises(grpc.RpcError, match=r"namespace_options\.pid is NODE"):
        client.run_pod(mapped_pod("pids", logs, pid=pb.NODE))


def test_a_file_system_without_maps_is_named(client: Client, logs: Path, handler: str) -> None:
    pod = mapped_pod("unmappable", logs)
    wanted = container_in(pod)
    mount = wanted.mounts.add(container_path="/mnt", host_path="/sys/kernel")
    mount.uidMappings.append(mapping())
    mount.gidMappings.append(mapping())
    sandbox = client.run_pod(pod, handler)
    with pytest.raises(grpc.RpcError) as refused:
        client.create_container(sandbox, wanted, pod)
    assert refused.value.code() is grpc.StatusCode.INVALID_ARGUMENT
    # Our own runtime maps ids itself; for the others the daemon does.
    ours = 'error mounting "/sys/kernel" to rootfs at "/mnt": /sys/kernel: cannot be mounted with mapped ids'
    said = ours if handler == OWN else "mounts[0].uidMappings: /sys/kernel"
    assert said in str(refused.value.details())


def test_handlers_say_what_they_can(client: Client) -> None:
    status = client.runtime.Status(pb.StatusRequest(), timeout=10)
    found = {handler.name: handler.features for handler in status.runtime_handlers}
    assert {"", *RUNTIMES} <= set(found)
    for name in ("", *RUNTIMES):
        assert found[name].user_namespaces
        assert found[name].recursive_read_only_mounts
    assert status.features.user_namespaces_host_network
    assert status.features.mount_options


@pytest.mark.parametrize("how", ["restarted", "killed"])
def test_a_mapped_pod_outlives_the_daemon(
    client: Client, run: Run, logs: Path, daemon: Daemon, how: str
) -> None:
    pod = mapped_pod("outlives", logs)
    run(pod, container_in(pod))
    daemon.restart(signal.SIGKILL if how == "killed" else signal.SIGTERM)
    sandbox = client.pods()[0].id
    second = client.create_container(sandbox, container_in(pod, "second"), pod)
    client.start_container(second)
    answer = client.exec(second, "busybox", "stat", "-c", "%u:%g", "/", "/etc/hostname")
    assert answer.stdout.split() == [b"0:0", b"0:0"]
    assert client.exec(second, "cat", "/proc/self/uid_map").stdout.split()[1] == str(HOST_ID).encode()
