"""The power of a node is cut in the midst of pulls, creates and removals, and the node boots again.

``python -m tests.crash.power [--cuts N] [--seed S]``, in the namespaces of tests.harness.private. All that
the daemon keeps on disk lies on a file system of its own, ext4 on a loop device. The cut shuts that down
without its log being written (EXT4_IOC_SHUTDOWN, as xfstests cut the power): what had not reached the disk at
that moment is lost. Then every process is killed, and what lives in memory goes: mounts, namespaces, cgroups,
links, the runroot. The boot replays the journal and starts a daemon. What that shows: the order of our writes
and syncs. What it does not: disks that lie about a sync, or tear a sector.

After each boot no pod is listed; every image that is listed has exactly its files, each with its content, for
a container that runs from it, and nothing of what earlier containers wrote; and when images are removed the
disk holds what it held before, in files and in blocks. It prints one JSON object.
"""

import argparse
import contextlib
import fcntl
import json
import os
import random
import shutil
import struct
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import grpc

from api.runtime.v1 import api_pb2 as pb
from cri.paths import Paths
from host.cgroups import Hierarchy
from host.mounts import MNT_DETACH, mountpoints_below, umount
from tests.chaos.clients import Crowd
from tests.chaos.place import START_S, Place, files_of_images, processes
from tests.harness import private
from tests.harness.client import container_config
from tests.harness.patience import patient

CLIENTS = 8
# What changes the disk, and pulls above all.
_WEIGHTS = {
    "PullImage": 30.0,
    "RemoveImage": 6.0,
    "RunPodSandbox": 12.0,
    "CreateContainer": 20.0,
    "StopContainer": 3.0,
    "RemoveContainer": 6.0,
    "RemovePodSandbox": 6.0,
}
_SIZE_BYTES = 512 << 20
_SHUTDOWN = 0x8004587D  # EXT4_IOC_SHUTDOWN
_WITHOUT_LOG = 2
# Of SQLite's files and directories, which grow with what they have held once.
_ROOM_BYTES = 4 << 20
# What every container is given beside its image.
_GIVEN = {"/etc/hosts", "/etc/hostname", "/etc/resolv.conf", "/run/.containerenv"}
_SUMS = "busybox find / -xdev -type f -exec busybox sha256sum {} +"


def _below(directory: Path) -> list[Path]:
    return list(directory.iterdir()) if directory.is_dir() else []


@dataclass
class Result:
    """What was done, and what was wrong."""

    seed: int
    cuts: int = 0
    calls: int = 0
    images: int = 0  # listed after boots, each looked at
    failures: list[str] = field(default_factory=list)


class Node(Place):
    """A daemon whose disk has a plug."""

    def __init__(self) -> None:
        super().__init__()
        # From this version on a network gives back the addresses of pods that nobody remembers.
        [network] = (self.daemon.state / "net.d").iterdir()
        network.write_text(network.read_text().replace('"cniVersion": "1.0.0"', '"cniVersion": "1.1.0"'))
        self._disk = self.daemon.state.with_name(f"{self.daemon.state.name}.img")

    def _open(self) -> None:
        state = self.daemon.state
        with self._disk.open("wb") as file:
            file.truncate(_SIZE_BYTES)
        subprocess.run(["mkfs.ext4", "-q", "-F", self._disk], check=True)
        kept = state.with_name(f"{state.name}.kept")
        shutil.move(state, kept)
        state.mkdir(mode=0o700)
        self._mount()
        shutil.copytree(kept, state, dirs_exist_ok=True)
        shutil.rmtree(kept)
        super()._open()
        os.sync()

    def _close(self) -> None:
        super()._close()
        for path in mountpoints_below(self.daemon.state):
            umount(path, MNT_DETACH)
        shutil.rmtree(self.daemon.state, ignore_errors=True)
        self._disk.unlink(missing_ok=True)

    def _mount(self) -> None:
        # The shorter the interval, the more states reach the disk that a cut can show.
        options = "loop,commit=1"
        subprocess.run(["mount", "-o", options, self._disk, self.daemon.state], check=True)
        self.daemon.state.chmod(0o700)

    def cut(self) -> None:
        """From now on nothing reaches the disk, and all that is in memory is gone."""
        descriptor = os.open(self.daemon.state, os.O_RDONLY)
        try:
            fcntl.ioctl(descriptor, _SHUTDOWN, struct.pack("I", _WITHOUT_LOG))
        finally:
            os.close(descriptor)
        self.daemon.kill()
        self.lose_memory()

    def lose_memory(self) -> None:
        """All that a boot does not find."""
        self.end_processes()
        hierarchy = Hierarchy.detect()
        hierarchy.kill(self.cgroup)
        hierarchy.remove(self.cgroup)
        reachable = Paths(self.daemon.runroot).reachable
        for directory in (self.daemon.runroot, reachable, self.daemon.state):
            for path in mountpoints_below(directory):
                umount(path, MNT_DETACH)
        self._unplug()
        for path in (*self.daemon.runroot.iterdir(), *_below(reachable)):
            shutil.rmtree(path) if path.is_dir() else path.unlink()
        for gone in (["ip", "link", "delete", self.daemon.settings.bridge], ["nft", "flush", "ruleset"]):
            subprocess.run(gone, check=False, capture_output=True)

    def _unplug(self) -> None:
        """Until nobody has the disk mounted, in whatever namespace: else a new mount would be the old one."""
        end = time.monotonic() + patient(60)
        with contextlib.suppress(OSError):
            umount(self.daemon.state, MNT_DETACH)
        while subprocess.run(["losetup", "-j", self._disk], capture_output=True, check=True).stdout:
            if time.monotonic() > end:
                raise TimeoutError(f"somebody still has {self._disk} mounted: {list(processes())}")
            self.end_processes()  # what others started before they were killed themselves
            time.sleep(0.05)

    def boot(self) -> None:
        self._mount()
        Hierarchy.detect().create(self.cgroup)
        self.daemon.start(START_S)

    def check_disk(self) -> None:
        """The file system itself is sound; for the end, when it is not mounted."""
        subprocess.run(["e2fsck", "-fn", self._disk], check=True, capture_output=True)

    def used_bytes(self) -> int:
        os.sync()
        status = os.statvfs(self.daemon.state)
        return (status.f_blocks - status.f_bfree) * status.f_frsize


class PowerCuts:
    """The cuts, one after the other."""

    def __init__(self, node: Node, seed: int) -> None:
        self.result = Result(seed)
        self._node, self._chance = node, random.Random(f"cuts {seed}")
        self._files = dict(zip(node.images, files_of_images(), strict=True))
        self._used = node.used_bytes()

    def one(self) -> None:
        self._load_and_cut()
        self._node.boot()
        self.result.cuts += 1
        for text in self._findings():
            print(f"FAILURE cut {self.result.cuts}: {text}", file=sys.stderr, flush=True)
            self.result.failures.append(f"cut {self.result.cuts}: {text}")

    def _load_and_cut(self) -> None:
        node = self._node
        for name in self._chance.sample(node.images[1:], 3):
            node.client.pull(name)
        os.sync()  # those are durable when the load begins
        seed = self._chance.randrange(1 << 30)
        crowd = Crowd(
            node.daemon.endpoint, CLIENTS, seed, node.images, node.logs, node.cgroup, weights=_WEIGHTS
        )
        crowd.open()
        time.sleep(self._chance.uniform(1, 6))
        node.cut()
        self.result.failures += crowd.close(patient(150))
        crowd.end()
        self.result.calls += crowd.tally.total()

    def _findings(self) -> Iterator[str]:
        node = self._node
        if listed := [*node.client.pods(), *node.client.containers()]:
            yield f"listed after the boot: {listed}"
        for image in node.client.image.ListImages(pb.ListImagesRequest(), timeout=patient(60)).images:
            self.result.images += 1
            yield from self._image(image)
        yield from (f"left: {line}" for line in node.clear())
        used = node.used_bytes()
        if used > self._used + _ROOM_BYTES:
            yield f"space is lost: {used} bytes are used, and {self._used} were"

    def _image(self, image: pb.Image) -> Iterator[str]:
        known = [name for name in self._files if name in image.repo_tags]
        if len(known) != 1:
            yield f"an image has the names {image.repo_tags}"
            return
        try:
            found = self._seen_inside(known[0])
        except (grpc.RpcError, TimeoutError) as error:
            yield f"{known[0]} does not run: {error}"
            return
        wanted = self._files[known[0]]
        if wrong := sorted(name for name, content in wanted.items() if found.get(name) != content):
            yield f"{known[0]} lacks, or has otherwise, {len(wrong)} of {len(wanted)} files: {wrong[:3]}"
        if strange := sorted(found.keys() - wanted.keys() - _GIVEN):
            yield f"a container of {known[0]} sees {strange[:3]}"

    def _seen_inside(self, name: str) -> Mapping[str, str]:
        """Digests by path, of a new container's root file system, as it says itself."""
        node = self._node
        config = node.pod_config("look")
        pod = node.client.run_pod(config)
        command = ["sh", "-c", f"{_SUMS} && echo all"]
        container = node.client.create_container(pod, container_config("main", name, command), config)
        node.client.start_container(container)
        node.client.wait_exited(container)
        log = (node.logs / "look/main/0.log").read_text()
        node.client.remove_pod(pod)
        lines = [line.split(" ", 3)[3] for line in log.splitlines()]
        (node.logs / "look/main/0.log").unlink()
        if lines[-1:] != ["all"]:
            return {}
        return {path: f"sha256:{digest}" for digest, path in (line.split("  ", 1) for line in lines[:-1])}


def run(node: Node, cuts: int, seed: int) -> Result:
    """So many, and the file system's own check."""
    work = PowerCuts(node, seed)
    for _ in range(cuts):
        work.one()
        print(f"{work.result.cuts} cuts, {len(work.result.failures)} failures", file=sys.stderr, flush=True)
    node.daemon.stop()
    node.lose_memory()
    node.check_disk()
    return work.result


def main() -> None:
    """See the module's docstring."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--cuts", type=int, default=20)
    parser.add_argument("--seed", type=int, default=random.randrange(1 << 16))
    arguments = parser.parse_args()
    private.go_inside("tests.crash.power", sys.argv[1:])
    with Node() as node:
        result = run(node, arguments.cuts, arguments.seed)
    print(json.dumps(vars(result)))
    sys.exit(bool(result.failures))


if __name__ == "__main__":
    main()
