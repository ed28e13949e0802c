"""A client of the OCI distribution API (distribution-spec v1.1), pull side only.

One ``Client`` speaks to one place (host and repository) for the length of one pull. It verifies what is
small, retries what may pass (5xx, 429, cut connections) and continues a cut blob where it stopped; whom it
asks and what each is given is storage/registry/conversation.py's.
"""

import logging
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import aclosing
from dataclasses import dataclass
from functools import partial
from types import TracebackType
from typing import Self

import aiohttp
from multidict import CIMultiDict

from storage.digest import Digest, DigestMismatch
from storage.manifest import ACCEPT, MANIFEST_LIMIT, Descriptor
from storage.reference import Reference
from storage.registry.auth import Credentials
from storage.registry.conversation import Conversation
from storage.registry.errors import UnexpectedAnswer
from storage.registry.http import read_bounded
from storage.registry.options import ClientOptions
from storage.registry.pieces import Pieces
from storage.registry.registries_conf import PullSource

log = logging.getLogger(__name__)

# What a connection must have brought before its end counts as an accident and not as an attempt: this, or
# the thirty-second part of a small blob.
_PROGRESS_BYTES = 64 << 10
_PARTS = 32


@dataclass(frozen=True, slots=True)
class Served:
    """A manifest or index as the registry served it, its digest computed here."""

    data: bytes
    digest: Digest


@dataclass(frozen=True, slots=True)
class Document:
    """A small answer, as it came, and its headers."""

    data: bytes
    headers: Mapping[str, str]


class Client:
    """A conversation with one registry about one repository; an async context manager.

    ``listed`` tells whether a host (host[:port]) is one of those that the configuration calls insecure.
    """

    def __init__(
        self,
        source: PullSource,
        credentials: Credentials | None,
        options: ClientOptions,
        listed: Callable[[str], bool] = lambda _: False,
    ) -> None:
        self._source = source
        self._options = options
        self._conversation = Conversation(source, credentials, options, listed)

    async def __aenter__(self) -> Self:
        await self._conversation.__aenter__()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._conversation.__aexit__(kind, error, trace)

    async def manifest(self, reference: Reference | Digest) -> Served:
        """The manifest of a tag or digest; a digest that was asked for is verified.

        Raises:
            RegistryError: one of the classes of storage/registry/errors.py.
            DigestMismatch: what came is not what was asked for.
        """
        wanted = reference.digest if isinstance(reference, Reference) else reference
        tag = (reference.tag or "latest") if isinstance(reference, Reference) else ""
        name = str(wanted) if wanted else tag
        path = f"/v2/{self._source.repository}/manifests/{name}"
        data = await self._read_whole(path, {"Accept": ", ".join(ACCEPT)}, MANIFEST_LIMIT)
        digest = Digest.of(data)
        if wanted is not None and digest != wanted:
            raise DigestMismatch(f"manifest of {self._place()}", str(wanted), str(digest))
        return Served(data, digest)

    async def document(self, path: str, accept: str, limit: int) -> Document:
        """Whatever the registry has at a path of its own, of at most ``limit`` bytes; unverified.

        Raises:
            RegistryError: as ``manifest``.
        """
        headers: dict[str, str] = {}
        data = await self._read_whole(path, {"Accept": accept}, limit, headers)
        return Document(data, CIMultiDict(headers))

    async def small_blob(self, descriptor: Descriptor, limit: int) -> bytes:
        """A whole verified blob, such as an image config."""
        path = f"/v2/{self._source.repository}/blobs/{descriptor.digest}"
        data = await self._read_whole(path, {}, min(limit, descriptor.size))
        digest = Digest.of(data)
        if digest != descriptor.digest:
            raise DigestMismatch(f"blob of {self._place()}", str(descriptor.digest), str(digest))
        return data

    async def blob(self, descriptor: Descriptor) -> AsyncIterator[bytes]:
        """The bytes of a blob, unverified, in chunks; a cut connection is taken up where it ended.

        A large one comes over several connections if the registry can do that (storage/registry/pieces.py).
        Ends early when the registry has fewer bytes than the descriptor says; more are an error. Connections
        that end, or become too slow, before they brought much count as attempts, of which there are a few.
        """
        path = f"/v2/{self._source.repository}/blobs/{descriptor.digest}"
        position = 0
        failures = 0
        if self._options.connections > 1 and descriptor.size >= self._options.pieces_from_bytes:
            pieces = Pieces(partial(self._conversation.get, path), descriptor.size, self._options)
            async with aclosing(pieces.chunks()) as chunks:
                async for chunk in chunks:
                    position += len(chunk)
                    yield chunk
            if position == descriptor.size:
                return
        while True:
            before = position
            try:
                async with self._conversation.get(path, _range(position)) as reply:
                    skip = position if reply.status == 200 else 0
                    async for chunk in reply.chunks():
                        fresh = chunk[skip:] if skip else chunk
                        skip -= min(skip, len(chunk))
                        position += len(fresh)
                        if position > descriptor.size:
                            text = f"blob {descriptor.digest} is longer than {descriptor.size} bytes"
                            raise UnexpectedAnswer(text, self._conversation.answer())
                        if fresh:
                            yield fresh
                return
            except (aiohttp.ClientError, ConnectionError, TimeoutError) as error:
                if position == descriptor.size:
                    return
                enough = min(_PROGRESS_BYTES, max(1, descriptor.size // _PARTS))
                failures = 1 if position - before >= enough else failures + 1
                if failures >= self._options.attempts:
                    raise self._conversation.given_up(error) from error
                log.info(
                    "blob interrupted digest=%s position=%d error=%r", descriptor.digest, position, error
                )
                await self._conversation.back_off(failures)

    async def _read_whole(
        self, path: str, headers: Mapping[str, str], limit: int, answered: dict[str, str] | None = None
    ) -> bytes:
        """A body of at most ``limit`` bytes; the answer's headers are added to ``answered``.

        A host that refuses the connection, or has no address, is not asked again: saying so at once
        serves the kubelet's own back-off.
        """
        for attempt in range(1, self._options.attempts + 1):
            try:
                async with self._conversation.get(path, headers) as reply:
                    data = await read_bounded(reply.chunks(), limit)
                    if data is None:
                        text = f"more than {limit} bytes for {path}"
                        raise UnexpectedAnswer(text, self._conversation.answer())
                    if answered is not None:
                        answered.update(reply.headers)
                    return data
            except aiohttp.ClientConnectorError as error:
                raise self._conversation.given_up(error) from error
            except (aiohttp.ClientError, ConnectionError, TimeoutError) as error:
                if attempt == self._options.attempts:
                    raise self._conversation.given_up(error) from error
                await self._conversation.back_off(attempt)
        raise AssertionError("unreachable: the last attempt returns or raises")

    def _place(self) -> str:
        return f"{self._source.host}/{self._source.repository}"


def _range(position: int) -> dict[str, str]:
    return {"Range": f"bytes={position}-"} if position else {}
