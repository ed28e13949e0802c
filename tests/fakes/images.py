"""Images whose layers and rows are files of the World."""

import asyncio
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from api.ids import ImageId
from storage.catalogue import Image
from storage.images import FilesystemUsage
from storage.options import Options
from storage.progress import Watch
from storage.registry.auth import Credentials
from storage.registry.registries_conf import Registries
from storage.rootfs_rows import ImageNotFound
from tests.fakes.world import World


class FakeImages:
    """See cri.parts.Images; a pull brings one of ``known``, which all registries together have.

    In the real order: layers before the row that lists them, the row away before its layers; opened anew,
    layers that no row lists are swept.
    """

    def __init__(self, world: World, known: Sequence[Image]) -> None:
        self.leftovers: dict[Path, OSError] = {}
        self.registries_problem: Exception | None = None
        self._world = world
        self._known = list(known)
        for name in set(world.names("layers")) - set(world.names("images")):
            world.take("layers", name)

    def list(self) -> Sequence[Image]:
        here = self._world.names("images")
        return [image for image in self._known if image.id in here]

    def find(self, text: str) -> Image | None:
        return next((image for image in self.list() if text in _names(image)), None)

    async def require_signed(self, image: Image, asked: str, namespace: str = "") -> None:
        """No policy is configured."""

    async def pull(
        self,
        reference: str,
        credentials: Credentials | None = None,
        *,
        auth_files: Sequence[Path] | None = None,
        namespace: str = "",
        watch: Callable[[], Watch] | None = None,
    ) -> Image:
        seen = watch() if watch is not None else None
        try:
            image = await self._pull(reference)
        except BaseException as error:
            if seen is not None:
                seen.ended(error)
            raise
        if seen is not None:
            seen.ended(None)
        return image

    async def _pull(self, reference: str) -> Image:
        await asyncio.sleep(0)
        if (found := self.find(reference)) is not None:
            return found
        found = next((image for image in self._known if reference in _names(image)), None)
        if found is None:
            raise ImageNotFound(f"no registry has {reference}")
        self._world.make("layers", found.id)
        await asyncio.sleep(0)
        self._world.make("images", found.id)
        return found

    async def remove(self, text: str) -> None:
        await asyncio.sleep(0)
        if (found := self.find(text)) is not None:
            self._world.take("images", found.id)
            await asyncio.sleep(0)
            self._world.take("layers", found.id)

    def fs_info(self) -> FilesystemUsage:
        return FilesystemUsage(Path("/"), 0, 0, time.time_ns())

    def reconfigure(self, options: Options) -> None:
        """Nothing of it concerns images that are here."""

    def problems(self) -> tuple[str, ...]:
        return ()

    def discard(self, leftover: Path) -> None:
        self.leftovers.pop(leftover)

    def config_document(self, image_id: ImageId) -> Mapping[str, object] | None:
        return {"os": "linux"} if image_id in self._world.names("images") else None

    async def load_registries(self) -> Registries:
        return Registries()


def _names(image: Image) -> tuple[str, ...]:
    return (image.id, *image.repo_tags, *image.repo_digests)
