"""Bring the evidence of one manifest: by look-aside, extension of the registry, tags and referrers.

Only what a ruling wants is asked for. What is not there is no evidence, with a remark of where it was looked
for; what cannot be asked fails the pull. Nothing is believed here: blobs are checked against their digests,
counts and bytes are bounded, and the rest is the judgement's.
"""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

from storage.bounded_json import BadJson, bounded_json
from storage.digest import Digest, InvalidDigest
from storage.manifest import Descriptor
from storage.reference import Reference
from storage.registry.client import Document, Served
from storage.registry.errors import ManifestUnknown, Unauthorized, UnexpectedAnswer
from storage.signatures.evidence import (
    BLOB_LIMIT,
    COUNT_LIMIT,
    Attachment,
    Bundle,
    Evidence,
    Signature,
    UnknownForm,
    from_lookaside,
)
from storage.signatures.lookaside import Lookasides, address
from storage.signatures.policy import Ruling
from storage.signatures.requirements import BundleSigned, SignedBy, SigstoreSigned
from storage.signatures.strict import Malformed, base64_bytes

TOTAL_BYTES = 32 << 20  # of all evidence of one image
_DOCUMENT_LIMIT = 4 << 20
_VALUES = 100_000
_PAGES = 8
_ABSENT = (ManifestUnknown, Unauthorized, UnexpectedAnswer)
_OCI_MANIFEST = "application/vnd.oci.image.manifest.v1+json"
_OCI_INDEX = "application/vnd.oci.image.index.v1+json"
_ATTACHED = "application/vnd.dev.cosign.simplesigning.v1+json"
_BUNDLE = "application/vnd.dev.sigstore.bundle"
_EXTENSION = "X-Registry-Supports-Signatures"
_NEXT = re.compile(r'<([^<>]{1,4096})>\s*;\s*rel="?next"?', re.IGNORECASE)


class Client(Protocol):
    """What is used of storage.registry.client.Client."""

    async def manifest(self, reference: Reference | Digest) -> Served: ...

    async def small_blob(self, descriptor: Descriptor, limit: int) -> bytes: ...

    async def document(self, path: str, accept: str, limit: int) -> Document: ...


class Files(Protocol):
    """Where look-asides are read from (storage/signatures/lookaside_files.py)."""

    async def read(self, url: str, limit: int) -> bytes | None: ...


@dataclass
class _Found:
    """What was brought so far, within its bounds."""

    signatures: list[Signature] = field(default_factory=list)
    remarks: list[str] = field(default_factory=list)
    left_bytes: int = TOTAL_BYTES

    def add(self, signature: Signature, size: int) -> bool:
        """Take it, unless that would be too much of all."""
        if size > self.left_bytes:
            self.remarks.append(f"what goes beyond {TOTAL_BYTES >> 20} MiB of signatures was not looked at")
            return False
        self.left_bytes -= size
        self.signatures.append(signature)
        return True


class Fetch:
    """The signatures of one manifest in one place; ``physical`` is the repository there, or a mirror's."""

    def __init__(
        self, client: Client, physical: Reference, digest: Digest, lookasides: Lookasides, files: Files
    ) -> None:
        self._client = client
        self._physical = physical
        self._digest = digest
        self._lookasides = lookasides
        self._files = files
        self._found = _Found()

    async def evidence(self, ruling: Ruling) -> Evidence:
        """All that the ruling could want.

        Raises:
            RegistryError: the registry cannot be asked. LookasideUnavailable: a look-aside cannot.
        """
        beside = ruling.wants(SignedBy) or ruling.wants(SigstoreSigned)
        if beside and not await self._extension():
            await self._lookaside()
        if ruling.wants(SigstoreSigned):
            await self._attachments()
        if ruling.wants(BundleSigned):
            await self._bundles()
        return Evidence(tuple(self._found.signatures), tuple(self._found.remarks))

    # -- simple signing --------------------------------------------------------------------------

    async def _extension(self) -> bool:
        """Signatures by the registry's own extension; False when it says nothing of having it."""
        try:
            ping = await self._client.document("/v2/", "application/json", _DOCUMENT_LIMIT)
        except _ABSENT:
            return False
        if ping.headers.get(_EXTENSION) != "1":
            return False
        path = f"/extensions/v2/{self._physical.repository}/signatures/{self._digest}"
        try:
            answer = await self._client.document(path, "application/json", _DOCUMENT_LIMIT)
        except ManifestUnknown:
            return True
        for number, entry in enumerate(_objects(answer.data, "signatures")):
            if number >= COUNT_LIMIT:
                break
            if entry.get("schemaVersion") == 2 and entry.get("type") == "atomic":
                self._take(_content(entry.get("content")), "the registry's extension")
        return True

    async def _lookaside(self) -> None:
        base = self._lookasides.base(self._physical)
        for number in range(1, COUNT_LIMIT + 1):
            url = address(base, self._physical.repository, self._digest, number)
            data = await self._files.read(url, BLOB_LIMIT)
            if data is None:
                break
            self._take(data, url)
        if number == 1:
            self._found.remarks.append(f"none in the look-aside {base}")

    def _take(self, data: bytes, where: str) -> None:
        try:
            self._found.add(from_lookaside(data), len(data))
        except UnknownForm as error:
            self._found.remarks.append(f"{where}: {error}")

    # -- sigstore, before bundles ----------------------------------------------------------------

    async def _attachments(self) -> None:
        if not self._lookasides.attachments(self._physical):
            self._found.remarks.append(
                f"registries.d does not say use-sigstore-attachments: true for {self._physical.name}"
            )
            return
        tag = f"sha256-{self._digest.hex}.sig"
        layers = await self._layers(Reference(self._physical.registry, self._physical.repository, tag))
        if layers is None:
            self._found.remarks.append(f"the registry has no {tag}")
            return
        for layer in [each for each in layers if each.get("mediaType") == _ATTACHED][:COUNT_LIMIT]:
            annotations = layer.get("annotations")
            texts = annotations if isinstance(annotations, dict) else {}
            kept = {str(key): value for key, value in texts.items() if isinstance(value, str)}
            data = await self._blob(layer)
            size = sum(map(len, (*kept, *kept.values())))
            if data is not None and not self._found.add(Attachment(data, kept), len(data) + size):
                return

    # -- bundles ---------------------------------------------------------------------------------

    async def _bundles(self) -> None:
        """By the referrers API, else by the tag that stands in for it."""
        before = len(self._found.signatures)
        await self._refer(await self._referrers())
        if len(self._found.signatures) == before:
            await self._refer(await self._tagged())
        if len(self._found.signatures) == before:
            self._found.remarks.append("no sigstore bundle refers to it")

    async def _refer(self, descriptors: list[Mapping[str, Any]]) -> None:
        wanted = [each for each in descriptors if _may_be_bundle(each)]
        if len(wanted) > COUNT_LIMIT:
            self._found.remarks.append(f"only {COUNT_LIMIT} of {len(wanted)} referrers were looked at")
        for descriptor in wanted[:COUNT_LIMIT]:
            digest = _digest(descriptor.get("digest"))
            layers = await self._layers(digest) if digest is not None else None
            if layers is None or len(layers) != 1 or not str(layers[0].get("mediaType")).startswith(_BUNDLE):
                continue
            data = await self._blob(layers[0])
            if data is not None and not self._found.add(Bundle(data), len(data)):
                return

    async def _referrers(self) -> list[Mapping[str, Any]]:
        begin = f"/v2/{self._physical.repository}/referrers/"
        path = f"{begin}{self._digest}"
        found: list[Mapping[str, Any]] = []
        for _ in range(_PAGES):
            try:
                answer = await self._client.document(path, _OCI_INDEX, _DOCUMENT_LIMIT)
            except _ABSENT:
                return found
            found += _objects(answer.data, "manifests")
            following = _NEXT.search(answer.headers.get("Link", ""))
            if following is None or not following[1].startswith(begin):
                break
            path = following[1]
        return found

    async def _tagged(self) -> list[Mapping[str, Any]]:
        tag = f"sha256-{self._digest.hex}"
        try:
            served = await self._client.manifest(
                Reference(self._physical.registry, self._physical.repository, tag)
            )
        except _ABSENT:
            return []
        return list(_objects(served.data, "manifests"))

    # -- what both have --------------------------------------------------------------------------

    async def _layers(self, reference: Reference | Digest) -> list[Mapping[str, Any]] | None:
        """The layers of a small manifest; None when it is not there, or is none."""
        try:
            served = await self._client.manifest(reference)
        except ManifestUnknown:
            return None
        document = _object(served.data)
        if document.get("mediaType", _OCI_MANIFEST) != _OCI_MANIFEST:
            return None
        return list(_objects(served.data, "layers"))

    async def _blob(self, layer: Mapping[str, Any]) -> bytes | None:
        digest, size = _digest(layer.get("digest")), layer.get("size")
        if digest is None or not isinstance(size, int) or not 0 <= size <= BLOB_LIMIT:
            self._found.remarks.append("a signature whose descriptor is malformed, or of too many bytes")
            return None
        return await self._client.small_blob(
            Descriptor(str(layer.get("mediaType")), digest, size), BLOB_LIMIT
        )


def _may_be_bundle(descriptor: Mapping[str, Any]) -> bool:
    """Registries may leave the type out, and then the manifest tells it."""
    kind = descriptor.get("artifactType")
    return not kind or str(kind).startswith(_BUNDLE)


def _object(data: bytes) -> Mapping[str, Any]:
    try:
        document = bounded_json(data, "an answer", values=_VALUES)
    except BadJson:
        return {}
    return document if isinstance(document, dict) else {}


def _objects(data: bytes, key: str) -> Iterator[Mapping[str, Any]]:
    values = _object(data).get(key)
    return (each for each in (values if isinstance(values, list) else ()) if isinstance(each, dict))


def _digest(text: object) -> Digest | None:
    try:
        return Digest.parse(str(text))
    except InvalidDigest:
        return None


def _content(text: object) -> bytes:
    try:
        return base64_bytes(str(text), "content")
    except Malformed:
        return b""
