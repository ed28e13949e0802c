"""One pull: name to places, places to manifest, manifest to layers, layers to an image in the store."""

import logging
from functools import partial

from storage.catalogue import Image
from storage.digest import Digest
from storage.entering import Arrival, Entering
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
from storage.progress import Layer, Watch
from storage.pulls import Terms
from storage.reference import Reference
from storage.registry.auth import BadAuthFile, Credentials, HelperEntry, find
from storage.registry.client import Client, Served
from storage.registry.errors import RegistryError
from storage.registry.helpers import CredentialHelperFailed, search
from storage.registry.registries_conf import PullSource
from storage.signatures.gate import Gate, Place
from storage.unpacker import LayerSource

log = logging.getLogger(__name__)


class Pull:
    """A pull on the terms that held when it began."""

    def __init__(self, entering: Entering, gate: Gate, terms: Terms) -> None:
        self._entering = entering
        self._gate = gate
        self._terms = terms
        self._options = terms.options
        self._registries = terms.registries
        self._auth_files = [*terms.auth_files]

    async def run(self, watch: Watch) -> Image:
        """Pull from the first place that has the image; the last place's error is raised."""
        reference = Reference.parse(self._terms.reference)
        failures: list[Exception] = []
        for candidate in self._registries.resolve(reference.with_default_tag()):
            self._terms.policy.check(candidate)
            for source in self._registries.sources(candidate):
                try:
                    return await self._pull_from(source, candidate, watch)
                except (RegistryError, CredentialHelperFailed) as error:
                    log.info("source failed reference=%s host=%s error=%s", candidate, source.host, error)
                    failures.append(error)
        raise _combined(failures)

    async def _pull_from(self, source: PullSource, reference: Reference, watch: Watch) -> Image:
        credentials = await self._credentials_for(source, reference)
        async with Client(source, credentials, self._options.client, self._registries.is_insecure) as client:
            with watch.step(f"manifest from {source.host}"):
                served = await client.manifest(reference)
                chosen, manifest = await self._choose(client, served)
            with watch.step("policy"):
                await self._admit(reference, chosen, manifest, Place(client, source, self._options))
            tags = [reference] if reference.digest is None else []
            digests = [_by_digest(reference, digest) for digest in (served.digest, chosen.digest)]
            names = [*tags, *digests]
            known = await self._entering.unchanged(
                manifest.config.digest, chosen.data, names, self._options.platform
            )
            if known is not None:
                return known
            with watch.step(f"config from {source.host}"):
                config = await client.small_blob(manifest.config, CONFIG_LIMIT)
            require_platform(parse_config(config).platform, self._options.platform)
            sources = _layer_sources(client, manifest, config, source.host)
            watch.layers([source.progress for source in sources if source.progress is not None])
            arrival = Arrival(config, chosen.data, sources, tags, digests)
            with watch.step(f"{len(sources)} layers from {source.host}"):
                return await self._entering.add(arrival, parallel=self._options.layers_per_pull)

    async def _admit(self, reference: Reference, chosen: Served, manifest: Manifest, place: Place) -> None:
        """Go on only when the policy lets the manifest in; what spoke for it is kept from now on."""
        evidence = await self._gate.admit(self._terms.policy, reference, chosen.data, place)
        await self._gate.keep(str(manifest.config.digest), chosen.data, evidence)

    async def _choose(self, client: Client, served: Served) -> tuple[Served, Manifest]:
        """The manifest for this machine, through a few levels of index."""
        for _ in range(INDEX_DEPTH + 1):
            document = parse_manifest(served.data)
            if isinstance(document, Manifest):
                return served, document
            served = await client.manifest(choose(document, self._options.platform).digest)
        raise BadManifest(f"more than {INDEX_DEPTH} indexes inside one another")

    async def _credentials_for(self, source: PullSource, reference: Reference) -> Credentials | None:
        """The request's are for the registry in the reference; auth files go by where that really is."""
        given = self._terms.credentials
        if given and not source.is_mirror and source.host == reference.registry:
            # A pod's author names the image, and not always the registry that these are for.
            return given if given.are_for(reference.registry) else None
        if (own := self._terms.own_auth) is not None:
            found = find(own.data, source.host, source.repository, own.source)
            if isinstance(found, HelperEntry) and found.needed:
                # It would hand what the node's helpers know to whoever may write the namespace's secrets.
                raise BadAuthFile(f"{own.source}: a namespace's file cannot name credential helpers")
            return found if isinstance(found, Credentials) else None
        timeout_s = self._options.client.helper_timeout_s
        helpers = self._registries.helpers
        return await search(helpers, self._auth_files, source.host, source.repository, timeout_s)


def _layer_sources(client: Client, manifest: Manifest, config: bytes, owner: str) -> list[LayerSource]:
    diff_ids = parse_config(config).diff_ids
    if len(diff_ids) != len(manifest.layers):
        raise BadManifest(f"the manifest has {len(manifest.layers)} layers, its config {len(diff_ids)}")
    return [
        LayerSource(
            diff_id,
            layer.digest,
            layer.size,
            partial(client.blob, layer),
            owner,
            Layer(str(layer.digest), layer.size),
        )
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
