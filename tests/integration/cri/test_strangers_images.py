"""Images of strangers: who their processes run as, what their VOLUMEs cost, what passes the borders."""

import subprocess
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import grpc
import pytest

from api.runtime.v1 import api_pb2 as pb
from tests.harness.client import TIMEOUT_S, Client, container_config
from tests.harness.daemon import Daemon
from tests.harness.images import Entry, Image, Layer
from tests.harness.patience import patient
from tests.integration.cri.conftest import pod_config
from tools.demo import busybox_image

pytestmark = [pytest.mark.root, pytest.mark.usefixtures("nothing_left")]

FOREVER = ("sleep", "1000000")
PASSWD = b"root:x:0:0:root:/root:/bin/sh\n1000:x:0:0::/root:/bin/sh\n+5:x:0:0::/:/x\n--5:x:6:6::/:/x\n"
GROUP = b"root:x:0:\n2000:x:0:\n"

Make = Callable[..., str]


@pytest.fixture
def make(daemon: Daemon) -> Iterator[Make]:
    """Import an image with a configuration and entries of its own; all are removed at the end."""
    made: list[str] = []

    def imported(config: Mapping[str, Any], *entries: Entry) -> str:
        name = f"localhost/stranger/i{len(made)}:1"
        layers = [*busybox_image().layers, Layer.of([Entry("etc"), *entries])]
        archive = daemon.state / "stranger.tar"
        Image(layers, {"Cmd": ["sh"], **config}).write_docker_archive(archive, name)
        command = daemon.command("image import", str(archive))
        subprocess.run(command, check=True, timeout=patient(60), capture_output=True)
        archive.unlink()
        made.append(name)
        return name

    yield imported
    for name in made:
        daemon.client.image.RemoveImage(pb.RemoveImageRequest(image=pb.ImageSpec(image=name)))


@pytest.fixture(autouse=True)
def _remove_pods(client: Client, nothing_left: None) -> Iterator[None]:
    """Also when a test fails, so that the next one is not told of it."""
    yield
    client.remove_all()


def _accounts() -> tuple[Entry, Entry]:
    return Entry("etc/passwd", PASSWD, 0o644), Entry("etc/group", GROUP, 0o644)


def _image(client: Client, name: str) -> pb.Image:
    request = pb.ImageStatusRequest(image=pb.ImageSpec(image=name))
    return client.image.ImageStatus(request, timeout=TIMEOUT_S).image


# USER, run_as_user, run_as_group, then uid and gid.
NUMBERS = {
    "USER": ("1000", None, None, 1000, 0),
    "USER with group": ("1000:2000", None, None, 1000, 2000),
    "USER with sign": ("+5", None, None, 5, 0),
    "run_as_user": ("root", 1000, None, 1000, 0),
    "run_as_group": ("root", 1000, 2000, 1000, 2000),
}


@pytest.mark.parametrize("handler", ["crun", "runc"])
@pytest.mark.parametrize("name", NUMBERS)
def test_a_number_is_never_an_accounts_name(
    client: Client, logs: Path, make: Make, handler: str, name: str
) -> None:
    user, run_as_user, run_as_group, uid, gid = NUMBERS[name]
    image = make({"User": user}, *_accounts())
    config = pod_config("numbers", log_directory=logs)
    pod = client.run_pod(config, handler)
    wanted = container_config("main", image, FOREVER)
    security = wanted.linux.security_context
    if run_as_user is not None:
        security.run_as_user.value = run_as_user
    if run_as_group is not None:
        security.run_as_group.value = run_as_group
    container = client.create_container(pod, wanted, config)
    client.start_container(container)
    assert client.exec(container, "id", "-u").stdout == b"%d\n" % uid
    assert client.exec(container, "id", "-g").stdout == b"%d\n" % gid
    status = client.exec(container, "cat", "/proc/self/status").stdout.decode()
    assert [line.split()[1:] for line in status.splitlines() if line.startswith("Groups:")] == [[str(gid)]]
    reported = client.container(container).user.linux
    assert (reported.uid, reported.gid, list(reported.supplemental_groups)) == (uid, gid, [gid])
    if run_as_user is None:
        assert _image(client, image).uid.value == uid  # by which the kubelet judges runAsNonRoot
    client.remove_pod(pod)


@pytest.mark.parametrize("user", ["--5", " 0", "٠", "0:0:0", "-1"])
def test_what_is_neither_number_nor_account_is_refused(
    client: Client, logs: Path, make: Make, user: str
) -> None:
    image = make({"User": user})
    assert not _image(client, image).HasField("uid") or user == "0:0:0"
    config = pod_config("nobody", log_directory=logs)
    pod = client.run_pod(config)
    with pytest.raises(grpc.RpcError) as caught:
        client.create_container(pod, container_config("main", image, FOREVER), config)
    assert caught.value.code() is grpc.StatusCode.INVALID_ARGUMENT
    assert client.containers() == []
    client.remove_pod(pod)


@pytest.mark.parametrize("user", ["4294967295", "4294967296", "9" * 30, "root\nx"])
def test_an_image_whose_user_no_kernel_has_is_not_taken_in(client: Client, make: Make, user: str) -> None:
    with pytest.raises(subprocess.CalledProcessError) as caught:
        make({"User": user})
    assert b"User" in caught.value.stderr, caught.value.stderr
    listed = client.image.ListImages(pb.ListImagesRequest(), timeout=TIMEOUT_S).images
    assert not any("stranger" in tag for image in listed for tag in image.repo_tags)


DEEP: dict[str, dict[str, str]] = {f"/{number}" + "/a" * 1900: {} for number in range(40)}
VOLUMES: dict[str, dict[str, dict[str, str]]] = {
    "deep": DEEP,
    "many": {f"/{number}": {} for number in range(2000)},
    "long": {"/" + "a/" * 4000: {}},
}


@pytest.mark.parametrize("name", VOLUMES)
def test_volumes_without_measure_are_refused_and_cost_nothing(
    client: Client, logs: Path, make: Make, name: str
) -> None:
    image = make({"Volumes": VOLUMES[name]})
    config = pod_config("volumes", log_directory=logs)
    pod = client.run_pod(config)
    with pytest.raises(grpc.RpcError) as caught:
        client.create_container(pod, container_config("main", image, FOREVER), config)
    assert caught.value.code() is grpc.StatusCode.INVALID_ARGUMENT
    assert "image volume" in str(caught.value.details())
    client.remove_pod(pod)


def test_a_pod_goes_while_its_containers_volumes_are_made(client: Client, logs: Path, make: Make) -> None:
    """Whichever comes first: the creation says that it is over, the removal succeeds, and nothing is left."""
    image = make({"Volumes": {f"/{number}" + "/a" * 1000: {} for number in range(4)}})
    config = pod_config("busy", log_directory=logs)
    pod = client.run_pod(config)
    with ThreadPoolExecutor() as threads:
        creating = [
            threads.submit(client.create_container, pod, container_config(f"c{n}", image, FOREVER), config)
            for n in range(4)
        ]
        client.stop_pod(pod)
        client.remove_pod(pod)
    for one in creating:
        error = one.exception()
        assert error is None or (
            isinstance(error, grpc.RpcError)
            and error.code() in (grpc.StatusCode.FAILED_PRECONDITION, grpc.StatusCode.NOT_FOUND)
        ), error
    assert client.containers() == []
    assert client.pods() == []


@pytest.mark.parametrize("handler", ["crun", "runc"])
def test_no_mount_lies_over_proc_by_a_link_of_the_image(
    client: Client, logs: Path, make: Make, handler: str
) -> None:
    image = make({}, Entry("m", link="/proc"), Entry("n", link="m/self"))
    config = pod_config("proc", log_directory=logs)
    pod = client.run_pod(config, handler)
    for place in ("/m", "/n/attr", "/proc/sys", "/proc"):
        wanted = container_config("main", image, FOREVER)
        wanted.mounts.add(container_path=place, host_path="/usr")
        with pytest.raises(grpc.RpcError) as caught:
            client.create_container(pod, wanted, config)
        assert caught.value.code() is grpc.StatusCode.INVALID_ARGUMENT
        assert "/proc" in str(caught.value.details())
    client.remove_pod(pod)


@pytest.mark.parametrize("handler", ["crun", "runc"])
def test_labels_and_annotations_of_strangers_reach_no_runtime(
    daemon: Daemon, client: Client, logs: Path, make: Make, handler: str
) -> None:
    steering = {
        "run.oci.handler": "odd-value",
        " RUN.OCI.handler": "odd-value",
        "io.katacontainers.config.hypervisor.path": "odd-value",
        "krun.cpus": "odd-value",
        "io.kubernetes.cri-o.Devices": "/dev/fuse",
    }
    image = make({"Labels": steering})
    config = pod_config("steering", log_directory=logs)
    config.annotations.update(steering)
    pod = client.run_pod(config, handler)
    wanted = container_config("main", image, FOREVER)
    wanted.annotations.update(steering)
    container = client.create_container(pod, wanted, config)
    client.start_container(container)
    document = (daemon.runroot / "containers" / container / "config.json").read_text()
    assert "odd-value" not in document
    assert client.exec(container, "ls", "/dev/fuse").exit_code != 0
    assert client.container(container).annotations == steering  # the cluster still sees them
    client.remove_pod(pod)
