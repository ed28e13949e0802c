"""Links in images and volumes lead no mount over /proc and no process out, also when they come late."""

import shutil
import subprocess
from collections.abc import Iterator, Sequence
from pathlib import Path

import grpc
import pytest

from api.runtime.v1 import api_pb2 as pb
from host.cgroups import Hierarchy
from tests.harness.client import Client, container_config
from tests.harness.daemon import Daemon, Settings, Value
from tests.harness.images import Entry, Image, Layer
from tests.harness.patience import patient
from tests.integration.cri.conftest import CGROUP, IMAGE, import_busybox, left_over, pod_config, take_counts
from tools.demo import busybox_image

pytestmark = pytest.mark.root

FOREVER = ("sleep", "1000000")
MASKED = ("/proc/keys", "/proc/kcore", "/proc/scsi", "/proc/timer_list", "/sys/firmware", "/proc/no-such")
READ_ONLY = ("/proc/sys", "/proc/sysrq-trigger", "/proc/fs")
# Another container of the pod, which acts while the runtime creates this one.
SCRIPT = """#!/bin/sh
for word in "$@"; do
    if [ "$word" = create ] && [ -s ACT ]; then sh ACT >>ACT.log 2>&1; fi
done
exec REAL "$@"
"""


@pytest.fixture(scope="module")
def act(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("act") / "act"


@pytest.fixture(scope="module")
def daemon(act: Path) -> Iterator[Daemon]:
    """One whose runtimes are accompanied by such a container."""
    tables: dict[str, dict[str, Value]] = {}
    act.write_text("")
    for name in ("crun", "runc"):
        program = act.with_name(f"{name}-accompanied")
        program.write_text(SCRIPT.replace("REAL", shutil.which(name) or "").replace("ACT", str(act)))
        program.chmod(0o755)
        tables[f"crio.runtime.runtimes.{name}"] = {"runtime_path": str(program)}
    daemon = Daemon(Settings(bridge="pw-misled0", subnet="10.93.0.0/16", tables=tables))
    import_busybox(daemon)
    daemon.start()
    Hierarchy.detect().create(CGROUP)
    daemon.client.remove_pod(daemon.client.run_pod(pod_config("first")))
    yield daemon
    forced = daemon.teardown()
    Hierarchy.detect().remove(CGROUP)
    assert forced == []


@pytest.fixture(autouse=True)
def _nothing_left(daemon: Daemon, act: Path) -> Iterator[None]:
    before = take_counts(daemon)
    yield
    act.write_text("")
    daemon.client.remove_all()
    assert left_over(before, daemon) == [], daemon.log_tail()


@pytest.fixture(params=["crun", "runc"])
def pod(client: Client, logs: Path, request: pytest.FixtureRequest) -> tuple[str, pb.PodSandboxConfig]:
    config = pod_config("misled", log_directory=logs)
    return client.run_pod(config, request.param), config


Pod = tuple[str, pb.PodSandboxConfig]


def _container(mounts: Sequence[tuple[str, Path]] = (), image: str = IMAGE) -> pb.ContainerConfig:
    wanted = container_config("main", image, FOREVER)
    wanted.linux.security_context.masked_paths.extend(MASKED)
    wanted.linux.security_context.readonly_paths.extend(READ_ONLY)
    wanted.mounts.extend(pb.Mount(container_path=path, host_path=str(source)) for path, source in mounts)
    return wanted


def _refusal(client: Client, pod: Pod, wanted: pb.ContainerConfig) -> str:
    with pytest.raises(grpc.RpcError) as caught:
        client.create_container(pod[0], wanted, pod[1])
    assert caught.value.code() is grpc.StatusCode.INVALID_ARGUMENT
    assert client.containers() == []
    return str(caught.value.details())


def _volume(tmp_path: Path, link: str, name: str = "link") -> Path:
    volume = tmp_path / "volume"
    volume.mkdir()
    (volume / name).symlink_to(link)
    return volume


def test_an_ordinary_container_has_its_masks(client: Client, pod: Pod, tmp_path: Path) -> None:
    (tmp_path / "deep").mkdir()
    volume = _volume(tmp_path, "../data/deep")
    (volume / "deep").mkdir()
    wanted = _container([("/data", volume), ("/data/link/in", tmp_path / "deep")])
    wanted.working_dir = "/data/link"
    container = client.create_container(pod[0], wanted, pod[1])
    client.start_container(container)
    assert client.exec(container, "sh", "-c", "pwd").stdout == b"/data/deep\n"
    assert client.exec(container, "cat", "/proc/keys").stdout == b""
    assert client.exec(container, "ls", "/sys/firmware").stdout == b""


@pytest.mark.parametrize("link", ["/proc/self", "/proc/sys"])
def test_a_link_in_a_volume_leads_no_mount_over_proc(
    client: Client, pod: Pod, tmp_path: Path, link: str
) -> None:
    volume = _volume(tmp_path, link)
    told = _refusal(client, pod, _container([("/data", volume), ("/data/link/attr", tmp_path)]))
    assert f"/data/link/attr ({link}/attr)" in told


def test_nor_one_that_comes_while_the_runtime_mounts(
    client: Client, pod: Pod, tmp_path: Path, act: Path
) -> None:
    volume = tmp_path / "volume"
    (volume / "link/kernel").mkdir(parents=True)
    act.write_text(f"mv {volume}/link {volume}/was; ln -s /proc/sys {volume}/link\n")
    (tmp_path / "faked").mkdir()
    told = _refusal(client, pod, _container([("/data", volume), ("/data/link/kernel", tmp_path / "faked")]))
    assert "/proc" in told
    assert (volume / "link").is_symlink()


def test_a_link_of_an_image_leads_no_file_of_the_pod_over_proc(
    daemon: Daemon, client: Client, pod: Pod
) -> None:
    archive, name = daemon.state / "misled.tar", "localhost/test/misled:1"
    link = Layer.of([Entry("etc"), Entry("etc/hostname", link="/proc/self/attr/exec")])
    Image([*busybox_image().layers, link]).write_docker_archive(archive, name)
    command = daemon.command("image import", str(archive))
    subprocess.run(command, check=True, timeout=patient(60), capture_output=True)
    told = _refusal(client, pod, _container(image=name))
    assert "/etc/hostname (/proc/self/attr/exec)" in told
    client.image.RemoveImage(pb.RemoveImageRequest(image=pb.ImageSpec(image=name)))
    archive.unlink()


def test_a_volume_in_the_place_of_dev_unmasks_nothing(client: Client, pod: Pod, tmp_path: Path) -> None:
    """runc binds /dev/null as the container has it over what it masks (CVE-2025-31133)."""
    volume = _volume(tmp_path, "/proc/sys/kernel/core_pattern", "null")
    for name in ("shm", "mqueue", "pts"):
        (volume / name).mkdir()
    with pytest.raises(grpc.RpcError) as caught:
        client.create_container(pod[0], _container([("/dev", volume)]), pod[1])
    assert "not masked" in str(caught.value.details()) or "/dev/null" in str(caught.value.details())
    assert client.containers() == []


def test_nobody_is_led_among_descriptors_late(client: Client, pod: Pod, tmp_path: Path, act: Path) -> None:
    """Whichever descriptor it is, the process begins inside, or not at all."""
    volume = tmp_path / "volume"
    wanted = _container([("/data", volume)])
    wanted.working_dir = "/data/work"
    for number in range(3, 16):
        shutil.rmtree(volume, ignore_errors=True)
        (volume / "work").mkdir(parents=True)
        act.write_text(f"rmdir {volume}/work; ln -s /proc/self/fd/{number} {volume}/work\n")
        with pytest.raises(grpc.RpcError):
            client.create_container(pod[0], wanted, pod[1])
        assert client.containers() == []
