"""Images mounted as volumes, and the VOLUMEs that images declare."""

import secrets
import subprocess
from collections.abc import Iterator
from pathlib import Path

import grpc
import pytest

from api.runtime.v1 import api_pb2 as pb
from tests.harness.client import Client, container_config
from tests.harness.daemon import Daemon, Settings
from tests.harness.images import Entry, Image, Layer
from tests.harness.runtimes import RUNTIMES
from tests.integration.cri.conftest import IMAGE, import_busybox, left_over, pod_config, take_counts
from tools.demo import busybox_image

pytestmark = pytest.mark.root

VOLUME = "localhost/test/volume:1"
FOREVER = ("sleep", "1000000")
LAYERS = [
    Layer.of(
        [
            Entry("data/file", b"old"),
            Entry("data/deep/below", b"deep"),
            Entry("gone", b"1"),
            Entry("out", link="/../../../../etc"),
            Entry("inside", link="/data/deep"),
        ]
    ),
    Layer.of([Entry("data/file", b"new"), Entry(".wh.gone", b""), Entry("etc/passwd", b"the image's")]),
]


@pytest.fixture(scope="module", autouse=True)
def volume_image(daemon: Daemon) -> None:
    archive = daemon.state / "volume.tar"
    Image(LAYERS).write_docker_archive(archive, VOLUME)
    subprocess.run(daemon.command("image import", str(archive)), check=True, timeout=60, capture_output=True)


def _with_volume(sub_path: str = "", *, readonly: bool = True, image: str = VOLUME) -> pb.ContainerConfig:
    wanted = container_config("main", IMAGE, FOREVER)
    wanted.mounts.add(
        container_path="/volume", readonly=readonly, image=pb.ImageSpec(image=image), image_sub_path=sub_path
    )
    return wanted


@pytest.mark.usefixtures("nothing_left")
@pytest.mark.parametrize("handler", RUNTIMES)
def test_an_image_is_mounted_read_only(client: Client, logs: Path, handler: str) -> None:
    config = pod_config("image-volume", log_directory=logs)
    pod = client.run_pod(config, handler)
    container = client.create_container(pod, _with_volume(), config)
    client.start_container(container)
    assert client.exec(container, "cat", "/volume/data/file").stdout == b"new"
    assert client.exec(container, "ls", "/volume").stdout.split() == [b"data", b"etc", b"inside", b"out"]
    assert b"Read-only" in client.exec(container, "touch", "/volume/data/x").stderr
    [mount] = client.container(container).mounts
    assert (mount.container_path, mount.readonly, mount.image.image) == ("/volume", True, VOLUME)
    assert mount.image.image_ref.startswith("sha256:")
    client.remove_pod(pod)


@pytest.mark.usefixtures("nothing_left")
@pytest.mark.parametrize(
    ("sub_path", "name", "content"),
    [
        ("data/deep", "below", b"deep"),
        ("inside", "below", b"deep"),
        ("out", "passwd", b"the image's"),  # a link that climbs ends at the image's root
    ],
)
def test_a_sub_path_stays_in_the_image(
    client: Client, logs: Path, sub_path: str, name: str, content: bytes
) -> None:
    config = pod_config("sub-path", log_directory=logs)
    pod = client.run_pod(config)
    container = client.create_container(pod, _with_volume(sub_path), config)
    client.start_container(container)
    assert client.exec(container, "cat", f"/volume/{name}").stdout == content
    client.remove_pod(pod)


@pytest.mark.usefixtures("nothing_left")
def test_a_sub_path_may_be_a_file(client: Client, logs: Path) -> None:
    config = pod_config("sub-file", log_directory=logs)
    pod = client.run_pod(config)
    container = client.create_container(pod, _with_volume("data/file"), config)
    client.start_container(container)
    assert client.exec(container, "cat", "/volume").stdout == b"new"
    client.remove_pod(pod)


@pytest.mark.usefixtures("nothing_left")
def test_what_cannot_be_mounted_says_so_to_the_kubelet(client: Client, logs: Path) -> None:
    config = pod_config("refused-volume", log_directory=logs)
    pod = client.run_pod(config)
    both = _with_volume()
    both.mounts[0].host_path = "/tmp"
    for wanted, code, words in (
        (_with_volume(readonly=False), grpc.StatusCode.INVALID_ARGUMENT, "mounts[0].readonly"),
        (_with_volume("no/such"), grpc.StatusCode.INVALID_ARGUMENT, "no/such"),
        (_with_volume("../x"), grpc.StatusCode.INVALID_ARGUMENT, "'../x'"),
        (_with_volume("/data"), grpc.StatusCode.INVALID_ARGUMENT, "'/data'"),
        (both, grpc.StatusCode.INVALID_ARGUMENT, "host_path '/tmp'"),
        (_with_volume(image="localhost/no:1"), grpc.StatusCode.NOT_FOUND, "localhost/no:1"),
    ):
        with pytest.raises(grpc.RpcError) as caught:
            client.create_container(pod, wanted, config)
        assert caught.value.code() is code
        details = str(caught.value.details())
        assert details.startswith("ImageVolumeMountFailed"), details
        assert words in details
    assert client.containers() == []
    client.remove_pod(pod)


def test_the_image_stays_while_a_container_has_it_as_a_volume_also_after_a_crash(
    daemon: Daemon, client: Client, logs: Path
) -> None:
    name = "localhost/test/removed:1"
    archive = daemon.state / "removed.tar"
    content = secrets.token_hex(8).encode()
    before = take_counts(daemon)
    Image([Layer.of([Entry("own", content)])]).write_docker_archive(archive, name)
    subprocess.run(daemon.command("image import", str(archive)), check=True, timeout=60, capture_output=True)
    config = pod_config("kept-volume", log_directory=logs)
    pod = client.run_pod(config)
    container = client.create_container(pod, _with_volume(image=name), config)
    client.start_container(container)
    removal = pb.RemoveImageRequest(image=pb.ImageSpec(image=name))
    for _ in range(2):
        with pytest.raises(grpc.RpcError) as caught:
            client.image.RemoveImage(removal)
        assert caught.value.code() is grpc.StatusCode.FAILED_PRECONDITION
        assert f"container main ({container[:12]}) has it as a volume" in str(caught.value.details())
        daemon.kill()
        daemon.start()
    assert client.exec(container, "cat", "/volume/own").stdout == content
    client.remove_pod(pod)
    client.image.RemoveImage(removal)
    assert left_over(before, daemon) == [], daemon.log_tail()


DECLARING = "localhost/test/declaring:1"


@pytest.fixture(params=["mkdir", "bind", "ignore"])
def declaring(request: pytest.FixtureRequest) -> Iterator[tuple[str, Daemon]]:
    """A daemon with this choice of image_volumes, and an image with two VOLUMEs."""
    settings = Settings(
        tables={"crio.image": {"image_volumes": request.param}}, bridge="pw-test1", subnet="10.89.0.0/16"
    )
    with_image = Daemon(settings)
    try:
        import_busybox(with_image)
        _import_declaring(with_image)
        with_image.start()
        yield request.param, with_image
    finally:
        forced = with_image.teardown()
    assert forced == []


def _import_declaring(daemon: Daemon) -> None:
    busybox = busybox_image()
    layer = Layer.of([Entry("there", mode=0o750)])
    config = {**busybox.config, "Volumes": {"/there": {}, "/new/one": {}}}
    archive = daemon.state / "declaring.tar"
    Image([*busybox.layers, layer], config).write_docker_archive(archive, DECLARING)
    subprocess.run(daemon.command("image import", str(archive)), check=True, timeout=60, capture_output=True)


def test_volumes_of_the_image_are_made_as_configured(declaring: tuple[str, Daemon], logs: Path) -> None:
    how, daemon = declaring
    client = daemon.client
    config = pod_config("declaring", log_directory=logs)
    pod = client.run_pod(config)
    wanted = container_config("main", DECLARING, FOREVER)
    wanted.linux.security_context.run_as_user.value = 1234
    wanted.linux.security_context.run_as_group.value = 5678
    container = client.create_container(pod, wanted, config)
    client.start_container(container)
    table = client.exec(container, "cat", "/proc/self/mounts").stdout.decode()
    assert (" /new/one " in table) is (how == "bind")
    assert (" /there " in table) is (how == "bind")
    listed = client.exec(container, "ls", "-d", "/new/one").exit_code
    assert (listed == 0) is (how != "ignore")
    if how != "ignore":
        assert client.exec(container, "touch", "/new/one/x").exit_code == 0
        made, there = (
            client.exec(container, "ls", "-ldn", path).stdout.split() for path in ("/new/one", "/there")
        )
        assert (made[0], made[2:4]) == (b"drwxr-xr-x", [b"1234", b"5678"])
        assert (there[0], there[2:4]) == (b"drwxr-x---", [b"0", b"0"])
    client.remove_pod(pod)
    assert list((daemon.state / "root/containers").iterdir()) == []
