"""Root file systems without mounts: a row and a file for each, made and removed in the real order."""

import asyncio
from collections.abc import Collection
from pathlib import Path
from typing import Any

from api.ids import ContainerId
from storage.catalogue import Image
from storage.image_volumes import ImageVolumes
from storage.overlay import RootfsNotFound
from storage.rootfs_rows import RootfsExists
from tests.fakes.world import World


class FakeRootfs:
    """See cri.parts.Rootfs."""

    def __init__(self, world: World) -> None:
        self._world = world

    @property
    def image_volumes(self) -> ImageVolumes:
        volumes: Any = None  # no test mounts one
        return volumes  # type: ignore[no-any-return]

    async def prepare(self, container_id: ContainerId, image: Image, userns: Path | None = None) -> Path:
        await asyncio.sleep(0)
        if self._world.file("rootfs", container_id).exists():
            raise RootfsExists(f"container {container_id} has a root file system already")
        self._world.make("rootfs", container_id, image.id)
        self._world.make("mounts", container_id)
        return self._world.directory  # what is mounted there has no accounts

    async def remove(self, container_id: ContainerId) -> None:
        await asyncio.sleep(0)
        self._world.take("mounts", container_id)
        self._world.take("rootfs", container_id)

    def known(self) -> set[ContainerId]:
        return {ContainerId(name) for name in self._world.names("rootfs")}

    async def restore(self, unused: Collection[str] = ()) -> dict[Path, OSError]:
        await asyncio.sleep(0)
        known = self.known()
        for name in self._world.names("mounts"):
            if name not in known:
                self._world.take("mounts", name)
        for name in known - set(unused):
            if not self._world.file("mounts", name).exists():
                self._world.make("mounts", name)
        return {}

    def discard(self, place: Path) -> None:
        """Nothing is ever left over."""

    async def usage(self, container_id: ContainerId) -> tuple[int, int]:
        if not self._world.file("rootfs", container_id).exists():
            raise RootfsNotFound(f"container {container_id} has no root file system")
        return 0, 0
