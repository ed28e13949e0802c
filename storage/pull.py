"""One pull: name to places, places to manifest, manifest to layers, layers to an image in the store."""

import asyncio
import logging
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from storage.catalogue import Image
from storage.digest import Digest
from storage.manifest import (
    CONFIG_LIMIT,
    INDEX_DEPTH,
    BadManifest,
    Manifest,
    choose,
    parse_config,
    parse_manifest,
    require_platform,
)
from storage.policy import Policy
from storage.reference import Reference
from storage.registry.auth import Credentials, lookup
from storage.registry.client import Client, Served
from storage.registry.errors import RegistryError
from storage.registry.registries_conf import PullSource, Registries
from storage.unpacker import LayerSource

if TYPE_CHECKING:
    from storage.images import Images

log = logging.getLogger(__name__)


class Pull:
    """A pull with the configuration that held when it began."""

    def __init__(
        self,
        images: "Images",
        registries: Registries,
        policy: Policy,
        credentials: Credentials | None,
        auth_files: list[Path],
    ) -> None:
        self._images = images
        self._registries = registries
        self._policy = policy
        self._credentials = credentials
        self._auth_files = auth_files
        self._client_options = images.options.client

    async def run(self, reference: Reference) -> Image:
        """Pull from the first place that has the image; the last place's error is raised."""
        failures: list[Exception] = []
        for candidate in self._registries.resolve(reference.with_default_tag()):
            self._policy.check(candidate)
            for source in self._registries.sources(candidate):
                try:
                    return await self._pull_from(source, candidate)
                except RegistryError as error:
                    log.info("source failed reference=%s host=%s error=%s", candidate, source.host, error)
                    failures.append(error)
        raise _combined(failures)

    async def _pull_from(self, source: PullSource, reference: Reference) -> Image:
        credentials = await self._credentials_for(source, reference)
        async with Client(source, credentials, self._client_options, self._registries.is_insecure) as client:
            served = await client.manifest(reference)
            chosen, manifest = await self._choose(client, served)
            tags = [reference] if reference.digest is None else []
            digests = [_by_digest(reference, digest) for digest in (served.digest, chosen.digest)]
            known = await self._images.unchanged(manifest.config.digest, chosen.data, [*tags, *digests])
            if known is not None:
                return known
            config = await client.small_blob(manifest.config, CONFIG_LIMIT)
            require_platform(parse_config(config).platform, self._images.options.platform)
            sources = _layer_sources(client, manifest, config, source.host)
            return await self._images.add(config, chosen.data, sources, tags=tags, digests=digests)

    async def _choose(self, client: Client, served: Served) -> tuple[Served, Manifest]:
        """The manifest for this machine, through a few levels of index."""
        for _ in range(INDEX_DEPTH + 1):
            document = parse_manifest(served.data)
            if isinstance(document, Manifest):
                return served, document
            served = await client.manifest(choose(document, self._images.options.platform).digest)
        raise BadManifest(f"more than {INDEX_DEPTH} indexes inside one another")

    async def _credentials_for(self, source: PullSource, reference: Reference) -> Credentials | None:
        """The request's are for the registry in the reference; auth files go by where that really is."""
        given = self._credentials
        if given and not source.is_mirror and source.host == reference.registry:
            # A pod's author names the image, and not always the registry that these are for.
            return given if given.are_for(reference.registry) else None
        return await asyncio.to_thread(lookup, self._auth_files, source.host, source.repository)


def _layer_sources(client: Client, manifest: Manifest, config: bytes, owner: str) -> list[LayerSource]:
    diff_ids = parse_config(config).diff_ids
    if len(diff_ids) != len(manifest.layers):
        raise BadManifest(f"the manifest has {len(manifest.layers)} layers, its config {len(diff_ids)}")
    return [
        LayerSource(diff_id, layer.digest, layer.size, partial(client.blob, layer), owner)
        for diff_id, layer in zip(diff_ids, manifest.layers, strict=True)
    ]


def _by_digest(reference: Reference, digest: Digest) -> Reference:
    return Reference(reference.registry, reference.repository, None, digest)


def _combined(failures: list[Exception]) -> Exception:
    """The last failure; the words of the earlier ones are added to its own."""
    last = failures[-1]
    if len(failures) > 1:
        others = "; ".join(str(failure) for failure in failures[:-1])
        last.args = (f"{last} (tried before: {others})", *last.args[1:])
    return last
