"""Images that are simply there."""

import time
from collections.abc import Sequence
from pathlib import Path

from storage.catalogue import Image
from storage.images import FilesystemUsage, Options
from storage.overlay import ImageNotFound
from storage.registry.auth import Credentials
from storage.registry.registries_conf import Registries


class FakeImages:
    """See cri.parts.Images; a pull brings one of ``elsewhere``."""

    def __init__(self, here: Sequence[Image], elsewhere: Sequence[Image] = ()) -> None:
        self.leftovers: dict[Path, OSError] = {}
        self.registries_problem: Exception | None = None
        self._here = list(here)
        self._elsewhere = list(elsewhere)

    def list(self) -> Sequence[Image]:
        return list(self._here)

    def find(self, text: str) -> Image | None:
        return next((image for image in self._here if text in _names(image)), None)

    async def pull(self, reference: str, credentials: Credentials | None = None) -> Image:
        found = self.find(reference)
        if found is None:
            found = next((image for image in self._elsewhere if reference in _names(image)), None)
            if found is None:
                raise ImageNotFound(f"no registry has {reference}")
            self._here.append(found)
        return found

    async def remove(self, text: str) -> None:
        self._here = [image for image in self._here if text not in _names(image)]

    def fs_info(self) -> FilesystemUsage:
        return FilesystemUsage(Path("/"), 0, 0, time.time_ns())

    def reconfigure(self, options: Options) -> None:
        """Nothing of it concerns images that are here."""

    def problems(self) -> tuple[str, ...]:
        return ()

    def discard(self, leftover: Path) -> None:
        self.leftovers.pop(leftover)

    async def load_registries(self) -> Registries:
        return Registries()


def _names(image: Image) -> tuple[str, ...]:
    return (image.id, *image.repo_tags, *image.repo_digests)
