"""A daemon for the chaos: with a registry of images, a cgroup of its own, and counts of what is there."""

import contextlib
import io
import os
import random
import re
import secrets
import shutil
import signal
import subprocess
import tarfile
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Self

import grpc

from api.runtime.v1 import api_pb2 as pb
from cri.paths import Paths
from host.cgroups import Hierarchy
from tests.harness.client import Client, pod_config
from tests.harness.counts import Counts
from tests.harness.daemon import Daemon, Settings
from tests.harness.images import Entry, Image, Layer, digest_of
from tests.harness.patience import patient
from tests.harness.processes import command_line, everyone
from tests.harness.registry import Registry
from tests.harness.runs import scratch
from tools.demo import busybox_image

IMAGE = "localhost/test/busybox:1"
IMAGES = 6
START_S = patient(120)
_SETTLE_S = patient(20)
_OURS = re.compile(
    r"^process: .*( serve --config|oci\.monitor|podwright-|cri\.streaming\.process\.main)"
    r"|^file: .*((sqlite|\.db)-(wal|shm)|/keeper\.sock)$"
)

# Of daemons; in our process namespace there are none of others.
_HELPERS = ("podwright-logs", "podwright-keeper", "storage.unpack", "userns_helper")


class Place:
    """``with Place() as place``: the daemon is up, its network has been used once, and counts are taken."""

    def __init__(self) -> None:
        self._registry_files = Path(tempfile.mkdtemp(prefix="registry-", dir=scratch()))
        self.registry = Registry(self._registry_files)
        self.registry.start()  # which chooses its port
        tables = {"crio.image": {"insecure_registries": [self.registry.address]}}
        self.daemon = Daemon(Settings(bridge="pw-chaos0", subnet="10.94.0.0/16", tables=tables))
        self.cgroup = f"/podwright-chaos-{secrets.token_hex(4)}"
        self.images = [IMAGE, *(f"{self.registry.address}/im{number}:1" for number in range(IMAGES))]
        self.before = Counts({})
        self.forced: list[str] = []

    def __enter__(self) -> Self:
        try:
            self._open()
        except BaseException:
            self._close()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self._close()

    @property
    def client(self) -> Client:
        return self.daemon.client

    @property
    def logs(self) -> Path:
        return self.daemon.state / "log"

    def _open(self) -> None:
        for number, image in enumerate(_images()):
            self.registry.push(image, f"im{number}:1")
        archive = self.daemon.state / "busybox.tar"
        busybox_image().write_docker_archive(archive, IMAGE)
        command = self.daemon.command("image import", str(archive))
        subprocess.run(command, check=True, timeout=patient(60), capture_output=True)
        archive.unlink()
        Hierarchy.detect().create(self.cgroup)
        self.daemon.start(START_S)
        self._use_once()
        self.before = self.counts()

    def _use_once(self) -> None:
        """What the first use makes stays: the bridge, the firewall's table, directories."""
        config = self.pod_config("first")
        config.port_mappings.add(host_port=19999, container_port=80)
        self.client.remove_pod(self.client.run_pod(config))
        for name in self.images[1:]:
            self.client.pull(name)
        self.remove_images()

    def _close(self) -> None:
        self.forced = self.daemon.teardown()
        self.registry.stop()
        shutil.rmtree(self._registry_files, ignore_errors=True)
        with contextlib.suppress(OSError):
            Hierarchy.detect().remove(self.cgroup)

    def pod_config(self, name: str) -> pb.PodSandboxConfig:
        """A pod of this place."""
        return pod_config(name, log_directory=self.logs / name, cgroup_parent=self.cgroup)

    def end_processes(self) -> None:
        """Kill what is of the daemon, by its command line; containers are their cgroups' business."""
        marks = (str(self.daemon.runroot), str(self.daemon.state), *_HELPERS)
        for pid, line in processes():
            if any(mark in line for mark in marks):
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)

    def monitor(self) -> int | None:
        """The pid of the daemon's monitor."""
        return self._process("oci.monitor.main")

    def keeper(self) -> int | None:
        """That of the monitor's keeper; there is one once there was a container."""
        return self._process("podwright-keeper")

    def _process(self, name: str) -> int | None:
        directory = str(self.daemon.runroot)
        return next((pid for pid, line in processes() if name in line and directory in line), None)

    def clear(self) -> list[str]:
        """Remove every pod and every image but the first; what is still there and was not before."""
        failures = self._removed()
        self.remove_images()
        return failures + self._left()

    def _removed(self) -> list[str]:
        """The kubelet asks until it is done; more than some failures in a row are too many."""
        failures: list[str] = []
        for _ in range(10):
            try:
                self.client.remove_all()
            except grpc.RpcError as error:
                failures.append(f"removal: {error.code().name}: {(error.details() or '')[:300]}")
                time.sleep(patient(0.5))
                continue
            return []
        return failures

    def remove_images(self) -> None:
        for image in self.client.image.ListImages(pb.ListImagesRequest(), timeout=patient(60)).images:
            if IMAGE not in image.repo_tags:
                request = pb.RemoveImageRequest(image=pb.ImageSpec(image=image.id))
                self.client.image.RemoveImage(request, timeout=patient(60))

    def _left(self) -> list[str]:
        """Looks again for a while: what has ended is not always gone at once."""
        end = time.monotonic() + _SETTLE_S
        while True:
            left = [line for line in self.before.left_over(self.counts()) if not _OURS.search(line)]
            if not left or time.monotonic() > end:
                return left
            time.sleep(0.2)

    def counts(self) -> Counts:
        state = self.daemon.state
        directories = [
            self.daemon.runroot,
            state / "root",
            state / "ipam",
            Paths(self.daemon.runroot).reachable,
        ]
        return Counts.take(directories, cgroups=re.compile(self.cgroup))


def _images() -> Iterator[Image]:
    """Busybox with a layer that all of them share, and one of their own."""
    base = busybox_image()
    for entries in _own_entries():
        layers = (Layer.of(entries[:1]), Layer.of(entries[1:]))
        yield Image([*base.layers, *layers], base.config)


def _own_entries() -> Iterator[list[Entry]]:
    """Of each image, beside busybox: the shared file first."""
    dice = random.Random(1)
    shared = Entry("shared", dice.randbytes(400_000), 0o644)
    for number in range(IMAGES):
        names = [f"own{number}/f{file}" for file in range(20)]
        yield [shared, *(Entry(name, dice.randbytes(20_000), 0o644) for name in names)]


def files_of_images() -> Iterator[dict[str, str]]:
    """Digests of all regular files by path, of each image of a place, the first being busybox alone."""
    base = _digests_of_layers(busybox_image())
    yield base
    for entries in _own_entries():
        yield base | {f"/{one.path}": digest_of(one.data or b"") for one in entries}


def _digests_of_layers(image: Image) -> dict[str, str]:
    found: dict[str, str] = {}
    for layer in image.layers:
        with tarfile.open(fileobj=io.BytesIO(layer.blob), mode="r:gz") as tar:
            for member in tar:
                content = tar.extractfile(member) if member.isreg() or member.islnk() else None
                if content is not None:
                    found[f"/{member.name}"] = digest_of(content.read())
    return found


def processes() -> Iterator[tuple[int, str]]:
    """Pid and command line of what lives in our process namespace; zombies have none."""
    for pid in everyone():
        line = command_line(pid)
        if line and pid != os.getpid():
            yield pid, line
