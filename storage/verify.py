"""Whether layers still are what they were: by the digest of each tree, recorded beside it.

    <root>/layers/<chain id hex>/tree.saved   the tree's digest (storage/sealed.py), written when it was first
                                              looked at; to be read twice at a pull would cost each pull time

A layer that differs from its record, or cannot be read, is rotten. ``drop`` takes away what it belongs to and
nothing else: the images that have it, so that whoever needs one pulls it again; the layer itself too, unless
a container has it mounted: then it moves to quarantine/, and a pull brings a whole one.
"""

import asyncio
import contextlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import StrEnum

from host.files import read_bounded, write_atomic
from storage.catalogue import Catalogue, Image
from storage.database import Database, layers_of_containers
from storage.digest import Digest
from storage.layers import Layers
from storage.sealed import SavedDamaged, hex_digest, sealed, unsealed
from storage.tree_digest import tree_digest

_FILE = "tree.saved"
_FILE_LIMIT = 4096


class State(StrEnum):
    """What was found of a layer."""

    WHOLE = "whole"  # it is what it was
    NEW = "recorded"  # it can be read, and from now on is compared with what it is
    ROTTEN = "rotten"
    GONE = "gone"


@dataclass(frozen=True, slots=True)
class Verdict:
    """A layer's state, and what is wrong with it."""

    chain_id: Digest
    state: State
    reason: str = ""

    @property
    def bad(self) -> bool:
        """Whether an image that has this layer cannot be trusted."""
        return self.state in (State.ROTTEN, State.GONE)


class Verifier:
    """Looks at the layers of a store, and drops what is broken."""

    def __init__(self, database: Database, catalogue: Catalogue, layers: Layers) -> None:
        self._database = database
        self._catalogue = catalogue
        self._layers = layers

    def verify(self, chain_id: Digest) -> Verdict:
        """Read all of a layer. Blocking, for as long as the disk takes."""
        try:
            if self._layers.is_gone(chain_id):
                return Verdict(chain_id, State.GONE, "it is not there, or not whole")
            [tree] = self._layers.lower([chain_id])
            found = tree_digest(tree)
        except OSError as error:
            return Verdict(chain_id, State.ROTTEN, f"it cannot be read: {error}")
        return self._compare(chain_id, found)

    def _compare(self, chain_id: Digest, found: str) -> Verdict:
        path = self._layers.place(chain_id) / _FILE
        try:
            recorded = hex_digest(unsealed(read_bounded(path, _FILE_LIMIT)).get("tree"))
        except FileNotFoundError:
            write_atomic(path, sealed({"tree": found}))
            return Verdict(chain_id, State.NEW)
        except (SavedDamaged, OSError, ValueError) as error:
            return Verdict(chain_id, State.ROTTEN, f"its record {path.name} is damaged: {error}")
        if found != recorded:
            return Verdict(chain_id, State.ROTTEN, "its files are not those that were recorded")
        return Verdict(chain_id, State.WHOLE)

    async def drop(self, verdicts: Iterable[Verdict]) -> list[Image]:
        """Take away rotten layers and the images that have one; these images."""
        bad = {verdict.chain_id for verdict in verdicts if verdict.bad}
        images = [image for image in self._catalogue.images() if bad & set(image.layers)]
        for image in images:
            await asyncio.to_thread(self._catalogue.remove, image)
        await asyncio.to_thread(self._set_aside, bad)
        await self._layers.collect({layer for image in images for layer in image.layers})
        return images

    def _set_aside(self, bad: Iterable[Digest]) -> None:
        """No pull shall take for whole what a container keeps."""
        with self._database.transaction() as connection:
            kept = layers_of_containers(connection)
        for chain_id in bad:
            if chain_id.hex in kept:
                with contextlib.suppress(FileNotFoundError):
                    self._layers.set_aside(self._layers.place(chain_id))


def layers_of(images: Sequence[Image]) -> list[Digest]:
    """The layers of these images, each once."""
    return list(dict.fromkeys(layer for image in images for layer in image.layers))


def names_of(image: Image) -> str:
    """What to pull again."""
    return " ".join(image.repo_tags or image.repo_digests) or image.id
