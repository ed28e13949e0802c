"""Pods on the node's runtime, and what tests ask of them."""

import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from api.runtime.v1 import api_pb2 as pb
from tests.critest.images import E2E
from tests.harness.client import Client, container_config, eventually, pod_config
from tests.harness.patience import patient

IMAGE = f"{E2E}/busybox:1.29-2"
LOGS = Path("/var/log/pods")
# Faster than any restart, slow enough for an emulated processor under twenty of them.
COUNTING = ("sh", "-c", "n=0; while true; do n=$((n + 1)); echo $n; sleep 0.2; done")

FAREWELL = "asked to end"
POLITE = (
    "sh",
    "-c",
    f"trap 'echo {FAREWELL}; exit 0' TERM; n=0; while true; do echo $((n += 1)); sleep 0.2; done",
)


@dataclass(frozen=True, slots=True)
class Running:
    """A pod with one container."""

    client: Client
    pod: str
    container: str
    log: Path

    @property
    def status(self) -> pb.ContainerStatus:
        return self.client.container(self.container)

    @property
    def pid(self) -> int:
        """Of the container's first process, as the node sees it."""
        (scope,) = Path("/sys/fs/cgroup").rglob(f"*{self.container}*.scope")
        processes = [int(line) for path in scope.rglob("cgroup.procs") for line in path.read_text().split()]
        return min(processes)

    def lines(self) -> list[str]:
        """What it has written, without the log's stamps; a line being written is left out."""
        text = self.log.read_text()
        return [line.split(" ", 3)[3] for line in text[: text.rfind("\n") + 1].splitlines()]

    def reaches(self, number: int) -> None:
        """Wait until its log has this many lines."""
        eventually(
            lambda: len(self.lines()),
            lambda seen: seen >= number,
            f"{self.log} has {number} lines",
            patient(60),
        )

    def goes_on(self) -> None:
        """Wait until its log has some lines more."""
        self.reaches(len(self.lines()) + 5)


class Pods:
    """Makes pods and removes them."""

    def __init__(self, client: Client) -> None:
        self._client = client
        self._made: list[str] = []

    def run(
        self,
        name: str,
        command: Sequence[str] = COUNTING,
        *,
        parent: str = "",
        resources: pb.LinuxContainerResources | None = None,
        security: pb.LinuxContainerSecurityContext | None = None,
    ) -> Running:
        """Start a pod with one container; its image is pulled from the node's registry if it is not there."""
        logs = LOGS / name
        config = pod_config(name, log_directory=logs, cgroup_parent=parent)
        wanted = container_config("main", IMAGE, command)
        if resources is not None:
            wanted.linux.resources.CopyFrom(resources)
        if security is not None:
            wanted.linux.security_context.MergeFrom(security)
        if not self._client.image.ImageStatus(pb.ImageStatusRequest(image=wanted.image)).HasField("image"):
            self._client.pull(IMAGE)
        pod = self._client.run_pod(config)
        self._made.append(pod)
        container = self._client.create_container(pod, wanted, config)
        self._client.start_container(container)
        return Running(self._client, pod, container, logs / wanted.log_path)

    def remove(self) -> None:
        """Stop and remove what was made, logs too."""
        while self._made:
            pod = self._made.pop()
            status = self._client.pod(pod)
            self._client.stop_pod(pod)
            self._client.remove_pod(pod)
            shutil.rmtree(LOGS / status.metadata.name, ignore_errors=True)


def gaps(lines: Sequence[str]) -> list[str]:
    """Where numbered lines do not go on by one: lines lost, repeated or begun anew."""
    numbers = [int(line) for line in lines]
    expected = range(1, len(numbers) + 1)
    return [
        f"{seen} in place of {want}" for seen, want in zip(numbers, expected, strict=True) if seen != want
    ][:5]
