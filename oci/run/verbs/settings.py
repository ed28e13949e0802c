"""What every verb works with."""

import os
from typing import NamedTuple

from host.procfs import open_handle
from oci.run.cgroups.types import Cgroup
from oci.run.state import OCI_VERSION, Container, Place, is_alive


class Settings(NamedTuple):
    """``root`` has the states; ``systemd`` has cgroups made by systemd."""

    root: str
    systemd: bool = False

    def place(self, container_id: str) -> Place:
        """The directory of a container."""
        return Place(self.root, container_id)


class Procfs:
    """A private procfs, opened when it is first needed and closed at the end of the block."""

    def __init__(self) -> None:
        self._handle = -1

    def __enter__(self) -> int:
        self._handle = open_handle()
        return self._handle

    def __exit__(self, *_: object) -> None:
        os.close(self._handle)


def cgroup_of(container: Container) -> Cgroup:
    """Where the container's processes are."""
    from oci.run.cgroups.choose import cgroup_from

    return cgroup_from(container.cgroup)


def status_of(place: Place, container: Container) -> str:
    """creating, created, running, paused or stopped (runtime.md, state)."""
    if not container.pid or not is_alive(container):
        return "stopped"
    if place.is_created():
        return "created"
    return "paused" if cgroup_of(container).frozen() else "running"


def state_document(container: Container, status: str) -> dict[str, object]:
    """The state as hooks and seccomp listeners get it (runtime.md, state)."""
    document: dict[str, object] = {
        "ociVersion": OCI_VERSION,
        "id": container.id,
        "status": status,
        "pid": 0 if status == "stopped" else container.pid,
        "bundle": container.bundle,
    }
    if container.annotations:
        document["annotations"] = dict(container.annotations)
    return document
