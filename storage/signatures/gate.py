"""The gate that images pass: at the pull, with what the registry has, and again when they are used.

At the pull the manifest that was chosen for this machine is judged, before its config and layers are fetched,
and what spoke for it is kept. When a container is made, what is kept is judged again by the policy that holds
then, without a network: a policy that became stricter holds for images that are here.
"""

import asyncio
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from api.errors import PodwrightError
from api.ids import ImageId
from storage.digest import Digest
from storage.manifest import Manifest, parse_manifest
from storage.options import Options
from storage.reference import Reference
from storage.registry.registries_conf import PullSource
from storage.signatures.errors import SignatureValidationFailed
from storage.signatures.evidence import Evidence
from storage.signatures.judge import Case, judge
from storage.signatures.kept import Kept, Record
from storage.signatures.lookaside import Lookasides
from storage.signatures.policy import Policy

if TYPE_CHECKING:
    from storage.signatures.fetch import Client


@dataclass(frozen=True, slots=True)
class Place:
    """Where a manifest came from: the conversation with its registry, and how the store behaves."""

    client: "Client"
    source: PullSource
    options: Options


class Gate:
    """Of the store below ``root``."""

    def __init__(self, root: Path) -> None:
        self._kept = Kept(root)

    async def admit(self, policy: Policy, asked: Reference, manifest: bytes, place: Place) -> Evidence:
        """What speaks for a manifest that a registry served, when the policy lets it in.

        Raises:
            SignatureValidationFailed: it does not.
            BadPolicy, TrustUnavailable, LookasideUnavailable, RegistryError: it cannot be told.
        """
        ruling = policy.ruling(asked)
        if not ruling.wants_signatures:
            return await judge(ruling, Case(asked, manifest, Evidence()))
        from storage.signatures.fetch import Fetch
        from storage.signatures.lookaside_files import LookasideFiles

        lookasides = await asyncio.to_thread(Lookasides.load, place.options.registries_d)
        physical = Reference(place.source.host, place.source.repository, asked.tag, asked.digest)
        files = LookasideFiles(place.options.client)
        fetch = Fetch(place.client, physical, Digest.of(manifest), lookasides, files)
        return await judge(ruling, Case(asked, manifest, await fetch.evidence(ruling)))

    async def keep(self, image_id: str, manifest: bytes, evidence: Evidence) -> None:
        """Keep with an image what spoke for it; on disk when this returns."""
        if evidence.signatures:
            await asyncio.to_thread(self._kept.keep, ImageId(image_id), Record(manifest, evidence))

    async def require(self, policy: Policy, asked: Reference, image_id: ImageId) -> None:
        """Return when the policy lets an image be used that is here, by what was kept with it.

        Raises:
            SignatureValidationFailed: it does not.
            TrustUnavailable: it cannot be told.
        """
        ruling = policy.ruling(asked)
        records = await asyncio.to_thread(self._kept.records, image_id) if ruling.wants_signatures else []
        records = [record for record in records if _is_of(record, image_id)]
        failures: list[SignatureValidationFailed] = []
        for record in records or [_NOTHING]:
            try:
                await judge(ruling, Case(asked, record.manifest, record.evidence))
                return
            except SignatureValidationFailed as error:
                failures.append(error)
        raise failures[0]

    def forget(self, image_id: ImageId) -> None:
        """An image is gone. Blocking."""
        self._kept.forget(image_id)


_NOTHING = Record(b"", Evidence(remarks=("none was kept with the image: pull it again",)))


def _is_of(record: Record, image_id: ImageId) -> bool:
    """Whether a manifest is one of the image: it names its config, by whose digest the image goes."""
    try:
        found = parse_manifest(record.manifest)
    except PodwrightError:
        return False
    return isinstance(found, Manifest) and str(found.config.digest) == image_id
