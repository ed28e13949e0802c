"""A disk of logs that is frozen or full: who has his log there waits, everybody else goes on, and all is well
again afterwards. And logs lie where the kubelet said, whatever links a container makes."""

import json
from collections.abc import Iterator
from pathlib import Path

import grpc
import pytest

from api.runtime.v1 import api_pb2 as pb
from host.cgroups import Hierarchy
from tests.harness.client import TIMEOUT_S, Client, container_config, eventually
from tests.harness.daemon import Daemon, Settings
from tests.harness.disks import Disk
from tests.harness.disks import disk as a_disk
from tests.harness.patience import patient
from tests.integration.cri.conftest import CGROUP, IMAGE, import_busybox, left_over, pod_config, take_counts
from tests.integration.oci.conftest import joined

pytestmark = pytest.mark.root

COUNT = "i=0; while :; do echo $i; i=$((i+1)); sleep 0.02; done"
# What it prints fits into a pipe; what comes before is written before the disk gets into trouble.
ON_DEMAND = "echo 0; until [ -e /sign/go ]; do sleep 0.02; done; seq 5000; exit 3"


@pytest.fixture(scope="module")
def daemon() -> Iterator[Daemon]:
    made = Daemon(Settings(tables={"crio.runtime": {"log_timeout_s": int(patient(2))}}))
    import_busybox(made)
    made.start()
    Hierarchy.detect().create(CGROUP)  # as the kubelet does for its pods
    # What the first pod makes stays.
    made.client.remove_pod(made.client.run_pod(pod_config("first")))
    yield made
    forced = made.teardown()
    Hierarchy.detect().remove(CGROUP)
    assert forced == []


@pytest.fixture
def disk(daemon: Daemon, tmp_path: Path) -> Iterator[Disk]:
    with a_disk(tmp_path) as made:
        yield made


class Node:
    """Pods with logs anywhere."""

    def __init__(self, client: Client, sign: Path) -> None:
        self.client = client
        self.sign = sign

    def pod(self, name: str, logs: Path) -> tuple[str, pb.PodSandboxConfig]:
        config = pod_config(name, log_directory=logs, host_network=True)
        return self.client.run_pod(config), config

    def create(self, pod: tuple[str, pb.PodSandboxConfig], name: str, script: str) -> str:
        wanted = container_config(name, IMAGE, ["sh", "-c", script])
        wanted.mounts.append(pb.Mount(container_path="/sign", host_path=str(self.sign)))
        return self.client.create_container(pod[0], wanted, pod[1])

    def run(self, pod: tuple[str, pb.PodSandboxConfig], name: str, script: str) -> str:
        container = self.create(pod, name, script)
        self.client.start_container(container)
        return container

    def numbers(self, container: str) -> list[int]:
        text = Path(self.client.container(container).log_path).read_bytes()
        lines = joined(text[: text.rfind(b"\n") + 1])  # more may just be being written
        return [int(line) for line in lines[: lines.rfind(b"\n") + 1].splitlines()]

    def until(self, container: str, count: int) -> None:
        eventually(lambda: len(self.numbers(container)), lambda now: now >= count, f"{count} lines")

    def reopen(self, container: str) -> None:
        request = pb.ReopenContainerLogRequest(container_id=container)
        self.client.runtime.ReopenContainerLog(request, timeout=TIMEOUT_S)


@pytest.fixture
def node(client: Client, tmp_path: Path) -> Node:
    sign = tmp_path / "sign"
    sign.mkdir()
    return Node(client, sign)


def refusal(what: object, *arguments: object) -> tuple[grpc.StatusCode, str]:
    with pytest.raises(grpc.RpcError) as caught:
        what(*arguments)  # type: ignore[operator]
    return caught.value.code(), str(caught.value.details())


def all_others_go_on(node: Node, pod: tuple[str, pb.PodSandboxConfig], others: str, turn: int) -> None:
    """Exec, create, start, exits, stop, remove and logs of who has his log elsewhere; Status, lists."""
    client = node.client
    assert client.not_ready() == ""
    assert others in [one.id for one in client.containers()]
    assert client.exec(others, "echo", "well").stdout == b"well\n"
    short = node.run(pod, f"short-{turn}", "echo 1; exit 9")
    assert client.wait_exited(short).exit_code == 9
    assert node.numbers(short) == [1]
    long = node.run(pod, f"long-{turn}", "sleep 600")
    client.stop_container(long)
    assert client.container(long).exit_code == 137
    client.remove_container(long)
    node.reopen(others)
    node.until(others, len(node.numbers(others)) + 3)
    printed = node.numbers(others)
    assert printed == list(range(len(printed)))


def stuck(client: Client) -> list[str]:
    info = client.runtime.Status(pb.StatusRequest(verbose=True), timeout=TIMEOUT_S).info
    return [one["error"] for one in json.loads(info["troubles"]) if one["subject"] == "logs"]


@pytest.mark.parametrize("trouble", ["frozen", "full"])
def test_a_disk_in_trouble_is_trouble_for_its_own_logs_alone(
    daemon: Daemon, client: Client, node: Node, disk: Disk, logs: Path, trouble: str
) -> None:
    before = take_counts(daemon)
    good, bad = node.pod("good", logs / "good"), node.pod("bad", disk.path / "bad")
    others = node.run(good, "others", COUNT)
    held, ended, stopped = (node.run(bad, name, ON_DEMAND) for name in ("held", "ended", "stopped"))
    for container in (held, ended, stopped, others):
        node.until(container, 1)
    _begin(disk, trouble)
    all_others_go_on(node, good, others, 1)
    if trouble == "frozen":
        _refused_while_it_is_frozen(daemon, node, bad, held)
    client.stop_container(stopped)
    assert client.container(stopped).exit_code == 137
    client.remove_container(stopped)
    (node.sign / "go").touch()
    assert client.wait_exited(ended).exit_code == 3  # though its log is not complete
    all_others_go_on(node, good, others, 2)
    log = client.container(held).log_path
    eventually(lambda: stuck(client), lambda texts: any(log in text for text in texts), "it is told of")
    [line] = daemon.told(f"log {log}", "is stuck")
    assert "ERROR" in line.upper()

    daemon.kill()
    daemon.start()
    all_others_go_on(node, good, others, 3)

    _end(disk, trouble)
    for container in (held, ended):
        node.until(container, 5001)
        assert node.numbers(container) == [0, *range(1, 5001)]
    assert client.wait_exited(held).exit_code == 3
    eventually(lambda: stuck(client), lambda texts: texts == [], "all is well again")
    well = node.run(bad, "well", "echo 7")
    client.wait_exited(well)
    assert node.numbers(well) == [7]
    client.remove_all()
    assert left_over(before, daemon) == [], daemon.log_tail()


def _begin(disk: Disk, trouble: str) -> None:
    if trouble == "frozen":
        disk.freeze()
    else:
        disk.fill()


def _end(disk: Disk, trouble: str) -> None:
    if trouble == "frozen":
        disk.thaw()
    else:
        disk.empty()


def _refused_while_it_is_frozen(
    daemon: Daemon, node: Node, bad: tuple[str, pb.PodSandboxConfig], held: str
) -> None:
    """What cannot be done there fails, says where, and leaves nothing."""
    before = take_counts(daemon)
    for attempt in ("new", "new"):  # its directory is missing: that is where the first one hangs
        code, text = refusal(node.create, bad, attempt, "true")
        assert code is grpc.StatusCode.DEADLINE_EXCEEDED
        assert bad[1].log_directory in text
    code, text = refusal(node.pod, "third", Path(bad[1].log_directory).with_name("third"))
    assert code is grpc.StatusCode.DEADLINE_EXCEEDED
    code, text = refusal(node.reopen, held)
    assert code is grpc.StatusCode.DEADLINE_EXCEEDED
    assert node.client.container(held).log_path in text
    left = before.left_over(take_counts(daemon))
    assert [line for line in left if not line.startswith("process:")] == []  # the running ones make some


def test_a_log_directory_that_became_a_link_is_not_followed(
    client: Client, node: Node, logs: Path, tmp_path: Path
) -> None:
    """A pod with a hostPath on its own logs: neither create nor reopen nor a new pod writes behind it."""
    outside = tmp_path / "outside"
    outside.mkdir()
    pod = node.pod("links", logs / "links")
    container = node.run(pod, "main", COUNT)
    node.until(container, 1)
    link = logs / "links/main"
    link.rename(logs / "links/before")
    link.symlink_to(outside)
    code, text = refusal(node.reopen, container)
    assert code is grpc.StatusCode.FAILED_PRECONDITION
    assert f"symbolic link, which is not followed: {link}" in text
    (logs / "links").rename(logs / "away")
    (logs / "links").symlink_to(outside)
    for what in (lambda: node.create(pod, "second", "true"), lambda: node.pod("links-2", logs / "links")):
        code, text = refusal(what)
        assert code is grpc.StatusCode.FAILED_PRECONDITION
        assert str(logs / "links") in text
    assert list(outside.iterdir()) == []
    client.remove_all()


def test_logs_below_a_link_that_was_there_before_are_fine(client: Client, node: Node, tmp_path: Path) -> None:
    """/var/log may be one."""
    (tmp_path / "disk").mkdir()
    (tmp_path / "var-log").symlink_to("disk")
    container = node.run(node.pod("linked", tmp_path / "var-log/pods/linked"), "main", "echo 5")
    client.wait_exited(container)
    assert client.container(container).log_path == str(tmp_path / "var-log/pods/linked/main/0.log")
    assert node.numbers(container) == [5]
    client.remove_all()


def test_a_log_path_that_leads_out_is_refused(client: Client, node: Node, logs: Path) -> None:
    pod = node.pod("leads-out", logs / "leads-out")
    wanted = container_config("main", IMAGE, ["true"])
    wanted.log_path = "../../outside.log"
    code, text = refusal(client.create_container, pod[0], wanted, pod[1])
    assert code is grpc.StatusCode.INVALID_ARGUMENT
    assert "is not a path below the pod's log_directory" in text
    client.remove_all()
