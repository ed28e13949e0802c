"""A full /run and a full root disk, filled by a container or from outside: what the others notice of it.

Each daemon has file systems of its own that are small: a tmpfs as runroot, an ext4 on a loop device as root.
"""

import contextlib
import os
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import grpc
import pytest

from api.runtime.v1 import api_pb2 as pb
from host.cgroups import Hierarchy
from host.mounts import mount_tmpfs
from tests.harness.client import Client, container_config, eventually
from tests.harness.daemon import Daemon, Settings
from tests.harness.patience import patient
from tests.harness.processes import PROC
from tests.integration.cri.conftest import (
    CGROUP,
    IMAGE,
    import_busybox,
    left_over,
    pod_config,
    take_counts,
)

pytestmark = pytest.mark.root

RUNROOT_MIB, ROOT_MIB = 24, 64
EXHAUSTED = grpc.StatusCode.RESOURCE_EXHAUSTED
COUNT = ["sh", "-c", "i=0; while :; do echo $i; i=$((i+1)); sleep 0.05; done"]
LOCAL = "localhost/test/copy:1"


@dataclass(frozen=True)
class Disks:
    """A daemon whose places are small, and its two victims to be: one that writes, one that sleeps."""

    daemon: Daemon

    @property
    def client(self) -> Client:
        return self.daemon.client

    @property
    def root(self) -> Path:
        return self.daemon.state / "root"

    def place(self, name: str) -> Path:
        return {"root": self.root, "runroot": self.daemon.runroot}[name]

    def pod(self, name: str) -> tuple[str, pb.PodSandboxConfig]:
        config = pod_config(name, log_directory=self.daemon.state / "pod-logs" / name)
        return self.client.run_pod(config), config

    def run(self, pod: tuple[str, pb.PodSandboxConfig], name: str, command: list[str]) -> str:
        container = self.create(pod, name, command)
        self.client.start_container(container)
        return container

    def create(self, pod: tuple[str, pb.PodSandboxConfig], name: str, command: list[str]) -> str:
        return self.client.create_container(pod[0], container_config(name, IMAGE, command), pod[1])

    def lines(self, pod: str, container: str) -> list[int]:
        """The numbers in the log of one that counts."""
        text = (self.daemon.state / "pod-logs" / pod / container / "0.log").read_text()
        return [int(line.split()[-1]) for line in text.splitlines()]

    def troubles(self) -> str:
        return self._say("ops") + self._say("check")

    def _say(self, verb: str) -> str:
        done = subprocess.run(
            self.daemon.command(verb), capture_output=True, text=True, timeout=patient(60), check=False
        )
        return done.stdout


@contextmanager
def small_disks() -> Iterator[Disks]:
    """Made, with the image on them; the daemon is not started yet."""
    daemon = Daemon(Settings())
    root, image = daemon.state / "root", daemon.state / "root.img"
    root.mkdir()
    with image.open("wb") as file:
        file.truncate(ROOT_MIB << 20)
    subprocess.run(["mkfs.ext4", "-q", "-m", "0", str(image)], check=True, timeout=patient(60))
    subprocess.run(["mount", "-o", "loop", str(image), str(root)], check=True, timeout=patient(60))
    root.chmod(0o711)
    mount_tmpfs(daemon.runroot, f"size={RUNROOT_MIB}m,mode=0711")
    Hierarchy.detect().create(CGROUP)
    try:
        import_busybox(daemon)
        yield Disks(daemon)
    finally:
        for name in ("root", "runroot"):
            make_room(Disks(daemon).place(name))
        if daemon.running:
            daemon.client.remove_all()
            daemon.stop()
        for path in (root, daemon.runroot):
            subprocess.run(["umount", "-l", str(path)], check=True, timeout=patient(60))
        Hierarchy.detect().remove(CGROUP)
        assert daemon.teardown() == []


@pytest.fixture
def disks() -> Iterator[Disks]:
    with small_disks() as made:
        made.daemon.start()
        made.client.remove_pod(made.pod("first")[0])  # what the first pod makes stays
        yield made


def fill(place: Path) -> None:
    """From outside, to the last byte."""
    for size in (1 << 20, 4096, 1):
        write_all(place / "filler", size)


def write_all(path: Path, size: int) -> None:
    """Append pieces of this size until there is no room for another."""
    with path.open("ab", buffering=0) as file, contextlib.suppress(OSError):
        while file.write(bytes(size)) == size:
            pass


def make_room(place: Path) -> None:
    (place / "filler").unlink(missing_ok=True)


def files_of(disks: Disks) -> set[str]:
    """Directories and files that are of one pod, container or layer."""
    trees = [disks.daemon.runroot / name for name in ("sandboxes", "containers", "mounts")]
    trees += [disks.root / name for name in ("containers", "layers", "ingest", "cni/results")]
    return {str(path) for tree in trees if tree.exists() for path in tree.iterdir()}


def refusal(call: Callable[[], object]) -> tuple[grpc.StatusCode, str]:
    with pytest.raises(grpc.RpcError) as refused:
        call()
    return refused.value.code(), refused.value.details() or ""


def whole(disks: Disks, name: str) -> bool:
    return (disks.place(name) / "reserve/room").exists()


def goes_on(disks: Disks, counter: str, sleeper: str, ending: str) -> None:
    """Logs, exec, stop and an exit of pods that have nothing to do with the full disk."""
    client = disks.client
    assert client.exec(sleeper, "echo", "alive").stdout == b"alive\n"
    assert client.exec(counter, "echo", "alive").stdout == b"alive\n"
    seen = len(disks.lines("counts", "main"))
    eventually(lambda: len(disks.lines("counts", "main")), lambda now: now > seen + 5, "the log goes on")
    client.exec(ending, "sh", "-c", "kill -USR1 1")
    status = client.wait_exited(ending)
    assert (status.exit_code, status.reason) == (7, "Error")
    client.stop_container(sleeper)
    assert client.container(sleeper).state == pb.CONTAINER_EXITED


TRAP = ["sh", "-c", "trap 'exit 7' USR1; while :; do sleep 0.1; done"]


def test_what_a_container_writes_to_its_pods_files_stays_in_its_pod(disks: Disks) -> None:
    client, runroot = disks.client, disks.daemon.runroot
    counts, sleeps = disks.pod("counts"), disks.pod("sleeps")
    counter, ending = disks.run(counts, "main", COUNT), disks.run(counts, "ends", TRAP)
    sleeper = disks.run(sleeps, "main", ["sleep", "100000"])
    free = os.statvfs(runroot).f_bavail
    pod = disks.pod("fills")
    config = container_config("main", IMAGE, ["sleep", "100000"])
    config.linux.security_context.run_as_user.value = 4711  # a passwd is made for it
    config.linux.security_context.run_as_group.value = 0
    other = container_config("root", IMAGE, ["sleep", "100000"])
    containers = [client.create_container(pod[0], one, pod[1]) for one in (config, other)]
    for container in containers:
        client.start_container(container)
    for path in ("/etc/hostname", "/etc/resolv.conf", "/dev/shm/x"):
        done = client.exec(containers[1], "sh", "-c", f"cat /dev/zero > {path}", timeout_s=60)
        assert b"No space left" in done.stderr, path
    pid = client.pid_of(containers[0])
    write_all(PROC / f"{pid}/root/etc/passwd", 4096)
    taken = (free - os.statvfs(runroot).f_bavail) * os.statvfs(runroot).f_frsize
    assert taken < 1 << 20, "of the daemon's own disk only what any pod takes"
    goes_on(disks, counter, sleeper, ending)
    disks.run(sleeps, "another", ["sleep", "100000"])
    client.remove_all()


@pytest.mark.parametrize("full", ["root", "runroot"])
def test_a_disk_that_is_filled_from_outside_stops_nobody_and_can_be_freed(disks: Disks, full: str) -> None:
    client, place = disks.client, disks.place(full)
    before = take_counts(disks.daemon)
    counts, sleeps = disks.pod("counts"), disks.pod("sleeps")
    counter, ending = disks.run(counts, "main", COUNT), disks.run(counts, "ends", TRAP)
    sleeper = disks.run(sleeps, "main", ["sleep", "100000"])
    waiting = disks.create(sleeps, "waits", ["sleep", "100000"])
    assert whole(disks, full)
    fill(place)
    made = files_of(disks)
    code, words = refusal(lambda: disks.create(sleeps, "more", ["sleep", "1"]))
    assert (code, str(place) in words, "make room" in words) == (EXHAUSTED, True, True), words
    if full == "root":
        code, words = refusal(lambda: disks.pod("more"))
        assert (code, str(place) in words) == (EXHAUSTED, True), words
    assert files_of(disks) == made, "a call that failed leaves nothing"
    client.start_container(waiting)
    goes_on(disks, counter, sleeper, ending)
    client.remove_container(sleeper)
    fill(place)
    client.image.RemoveImage(pb.RemoveImageRequest(image=pb.ImageSpec(image=IMAGE)), timeout=patient(60))
    client.remove_pod(sleeps[0])
    for _ in range(2):  # with the reserve, and when that is gone too
        fill(place)
        disks.daemon.kill()
        disks.daemon.start()
        assert not whole(disks, full)
    fill(place)
    assert f"{place} is full" in disks.troubles()
    assert {one.id: one.state for one in client.containers()} == {
        counter: pb.CONTAINER_RUNNING,
        ending: pb.CONTAINER_EXITED,
    }
    assert client.exec(counter, "echo", "alive").stdout == b"alive\n"
    make_room(place)
    eventually(lambda: whole(disks, full), bool, "the reserve is made again")
    assert str(place) + " is full" not in disks.troubles()
    import_busybox(disks.daemon)
    again = disks.run(disks.pod("again"), "main", ["sleep", "100000"])
    assert client.exec(again, "echo", "alive").stdout == b"alive\n"
    client.stop_container(counter)
    assert disks.lines("counts", "main") == list(range(len(disks.lines("counts", "main"))))
    client.remove_all()
    assert [line for line in left_over(before, disks.daemon) if "/reserve/" not in line] == []
    assert "Traceback" not in disks.daemon.log()


def create_and_remove(disks: Disks, pod: tuple[str, pb.PodSandboxConfig]) -> grpc.StatusCode:
    try:
        disks.client.remove_container(disks.create(pod, "more", ["sleep", "1"]))
    except grpc.RpcError as error:
        return error.code()
    return grpc.StatusCode.OK


def test_a_root_disk_that_a_container_fills_is_freed_by_its_removal(disks: Disks) -> None:
    client = disks.client
    counts, sleeps = disks.pod("counts"), disks.pod("sleeps")
    counter, ending = disks.run(counts, "main", COUNT), disks.run(counts, "ends", TRAP)
    sleeper = disks.run(sleeps, "main", ["sleep", "100000"])
    fills = disks.pod("fills")
    # It goes on to take whatever becomes free.
    filler = disks.run(fills, "main", ["sh", "-c", "while :; do cat /dev/zero >> /full; sleep 0.01; done"])
    eventually(lambda: os.statvfs(disks.root).f_bavail, lambda free: free == 0, "the disk is full")
    # The file system gives back what it had reserved in excess: full is what the filler has met for a while.
    eventually(
        lambda: create_and_remove(disks, sleeps), lambda code: code is EXHAUSTED, "creating is refused"
    )
    goes_on(disks, counter, sleeper, ending)
    client.remove_container(ending)
    client.image.RemoveImage(pb.RemoveImageRequest(image=pb.ImageSpec(image=IMAGE)), timeout=patient(60))
    client.remove_container(filler)
    import_busybox(disks.daemon)
    assert client.exec(disks.run(fills, "after", ["sleep", "100000"]), "echo", "room").stdout == b"room\n"
    client.remove_all()


def test_a_first_start_on_a_full_run_serves_and_says_what_it_cannot_do() -> None:
    with small_disks() as disks:
        fill(disks.daemon.runroot)
        disks.daemon.start()
        assert disks.client.containers() == []
        code, words = refusal(lambda: disks.create(disks.pod("one"), "main", ["sleep", "100000"]))
        assert (code, str(disks.daemon.runroot) in words) == (EXHAUSTED, True), words
        assert "is full" in disks.troubles()
        make_room(disks.daemon.runroot)
        disks.client.remove_all()
        disks.run(disks.pod("one"), "main", ["sleep", "100000"])
        disks.daemon.restart()
        assert len(disks.client.containers()) == 1
