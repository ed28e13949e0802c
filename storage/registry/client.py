"""A client of the OCI distribution API (distribution-spec v1.1), pull side only.

One ``Client`` speaks to one place (host and repository) for the length of one pull. It follows redirects
itself, so that credentials never go to another origin, retries what may pass (5xx, cut connections)
and continues a cut blob where it stopped.
"""

import asyncio
import base64
import contextlib
import logging
import random
import ssl
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from types import TracebackType
from typing import Self

import aiohttp
from yarl import URL

from storage.digest import Digest, DigestMismatch
from storage.manifest import ACCEPT, MANIFEST_LIMIT, Descriptor
from storage.reference import DOCKER_HUB, Reference
from storage.registry.auth import Credentials
from storage.registry.challenge import Challenge, parse_challenges
from storage.registry.errors import (
    Answer,
    ManifestUnknown,
    PullStalled,
    RegistryError,
    RegistryUnavailable,
    TooManyRequests,
    Unauthorized,
    UnexpectedAnswer,
)
from storage.registry.http import error_message, in_words, json_object, proxy_for, read_bounded, tls_context
from storage.registry.options import ClientOptions
from storage.registry.registries_conf import PullSource

log = logging.getLogger(__name__)

CHUNK_BYTES = 1 << 20
_HUB_HOST = "registry-1.docker.io"
_USER_AGENT = "podwright"
_REDIRECTS = 5
_MESSAGE_LIMIT = 64 << 10
_TOKEN_LIMIT = 1 << 20
_RETRIED = frozenset({408, 500, 502, 503, 504})


@dataclass(frozen=True, slots=True)
class Served:
    """A manifest or index as the registry served it, its digest computed here."""

    data: bytes
    media_type: str
    digest: Digest


class Client:
    """A conversation with one registry about one repository; an async context manager."""

    def __init__(self, source: PullSource, credentials: Credentials | None, options: ClientOptions) -> None:
        self._source = source
        self._credentials = credentials or Credentials()
        self._options = options
        self._host = _HUB_HOST if source.host == DOCKER_HUB else source.host
        self._scheme = "https"
        self._settled = not source.insecure
        self._authorization = ""
        self._tls: ssl.SSLContext | bool = True
        self._session: aiohttp.ClientSession | None = None

    async def __aenter__(self) -> Self:
        self._tls = await asyncio.to_thread(
            tls_context, self._source.host, self._options.certs_dirs, verify=not self._source.insecure
        )
        timeout = aiohttp.ClientTimeout(
            total=None,
            sock_connect=self._options.connect_timeout_s,
            sock_read=self._options.stall_timeout_s or None,
        )
        self._session = aiohttp.ClientSession(
            timeout=timeout,
            read_bufsize=CHUNK_BYTES,
            # Digests are of the bytes as they are: nothing may be compressed on the way.
            headers={"User-Agent": _USER_AGENT, "Accept-Encoding": "identity"},
            auto_decompress=False,
            cookie_jar=aiohttp.DummyCookieJar(),
        )
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._session is not None:
            await self._session.close()

    # -- what a pull asks for --------------------------------------------------------------------

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
        data, headers = await self._read_whole(path, {"Accept": ", ".join(ACCEPT)}, MANIFEST_LIMIT)
        digest = Digest.of(data)
        if wanted is not None and digest != wanted:
            raise DigestMismatch(f"manifest of {self._place()}", str(wanted), str(digest))
        return Served(data, headers.get("Content-Type", ""), digest)

    async def small_blob(self, descriptor: Descriptor, limit: int) -> bytes:
        """A whole verified blob, such as an image config."""
        path = f"/v2/{self._source.repository}/blobs/{descriptor.digest}"
        data, _ = await self._read_whole(path, {}, min(limit, descriptor.size))
        digest = Digest.of(data)
        if digest != descriptor.digest:
            raise DigestMismatch(f"blob of {self._place()}", str(descriptor.digest), str(digest))
        return data

    async def blob(self, descriptor: Descriptor) -> AsyncIterator[bytes]:
        """The bytes of a blob, unverified, in chunks; a cut connection is taken up where it ended.

        Ends early when the registry has fewer bytes than the descriptor says; more are an error.
        """
        path = f"/v2/{self._source.repository}/blobs/{descriptor.digest}"
        position = 0
        failures = 0
        while True:
            before = position
            try:
                async with self._get(path, _range(position)) as response:
                    skip = position if response.status == 200 else 0
                    async for chunk in response.content.iter_any():
                        fresh = chunk[skip:]
                        skip -= min(skip, len(chunk))
                        position += len(fresh)
                        if position > descriptor.size:
                            text = f"blob {descriptor.digest} is longer than {descriptor.size} bytes"
                            raise UnexpectedAnswer(text, self._answer())
                        if fresh:
                            yield fresh
                return
            except (aiohttp.ClientError, ConnectionError, TimeoutError) as error:
                if position == descriptor.size:
                    return
                failures = 1 if position > before else failures + 1
                if failures >= self._options.attempts:
                    raise self._given_up(error) from error
                log.info(
                    "blob interrupted digest=%s position=%d error=%r", descriptor.digest, position, error
                )
                await self._back_off(failures)

    # -- requests --------------------------------------------------------------------------------

    async def _read_whole(
        self, path: str, headers: Mapping[str, str], limit: int
    ) -> tuple[bytes, Mapping[str, str]]:
        """A body of at most ``limit`` bytes and its headers.

        A host that refuses the connection, or has no address, is not asked again: saying so at once
        serves the kubelet's own back-off.
        """
        for attempt in range(1, self._options.attempts + 1):
            try:
                async with self._get(path, headers) as response:
                    data = await read_bounded(response, limit)
                    if data is None:
                        raise UnexpectedAnswer(f"more than {limit} bytes for {path}", self._answer())
                    return data, response.headers
            except aiohttp.ClientConnectorError as error:
                raise self._given_up(error) from error
            except (aiohttp.ClientError, ConnectionError, TimeoutError) as error:
                if attempt == self._options.attempts:
                    raise self._given_up(error) from error
                await self._back_off(attempt)
        raise AssertionError("unreachable: the last attempt returns or raises")

    @contextlib.asynccontextmanager
    async def _get(self, path: str, headers: Mapping[str, str]) -> AsyncIterator[aiohttp.ClientResponse]:
        """A good answer (200, 206); waits and repeats while the registry says that it is busy."""
        if not self._settled:
            await self._settle()
        challenged = False
        attempt = 0
        while True:
            response = await self._follow(f"{self._scheme}://{self._host}{path}", headers)
            async with response:
                if response.status in (200, 206):
                    yield response
                    return
                if response.status == 401 and not challenged:
                    challenged = True
                    await self._authorize(response)
                    continue
                attempt += 1
                if response.status not in _RETRIED or attempt >= self._options.attempts:
                    raise await self._refusal(response)
                pause = response.headers.get("Retry-After", "")
            await self._back_off(attempt, pause)

    async def _follow(self, url: str, headers: Mapping[str, str]) -> aiohttp.ClientResponse:
        """GET with redirects; the Authorization header goes to the registry's own origin only."""
        target = URL(url)
        origin = target.origin()
        for _ in range(_REDIRECTS + 1):
            own = dict(headers)
            if self._authorization and target.origin() == origin:
                own["Authorization"] = self._authorization
            response = await self._request(target, own)
            location = response.headers.get("Location", "")
            if response.status not in (301, 302, 303, 307, 308) or not location:
                return response
            response.release()
            target = target.join(URL(location))
            if target.scheme != "https" and not self._source.insecure:
                raise UnexpectedAnswer(f"redirect to {target.scheme}, which is not https", self._answer())
        raise UnexpectedAnswer(f"more than {_REDIRECTS} redirects", self._answer())

    async def _request(self, target: URL, headers: Mapping[str, str]) -> aiohttp.ClientResponse:
        assert self._session is not None, "used outside its context"
        return await self._session.get(
            target, headers=headers, allow_redirects=False, ssl=self._tls, proxy=proxy_for(target)
        )

    async def _settle(self) -> None:
        """Find out whether an insecure host speaks TLS, or in the clear."""
        last: Exception = ConnectionError("not tried")
        for scheme in ("https", "http"):
            try:
                async with await self._request(URL(f"{scheme}://{self._host}/v2/"), {}):
                    self._scheme, self._settled = scheme, True
                    return
            except (aiohttp.ClientError, ConnectionError, TimeoutError) as error:
                last = error
        raise self._given_up(last) from last

    # -- authentication --------------------------------------------------------------------------

    async def _authorize(self, response: aiohttp.ClientResponse) -> None:
        """Set ``_authorization`` for the challenge of a 401.

        Raises:
            Unauthorized: no challenge that can be answered.
        """
        if self._credentials.registry_token:
            self._authorization = f"Bearer {self._credentials.registry_token}"
            return
        for challenge in _challenges(response):
            if challenge.scheme == "bearer":
                self._authorization = f"Bearer {await self._fetch_token(challenge)}"
                return
            if challenge.scheme == "basic" and self._credentials.username:
                self._authorization = self._basic()
                return
        raise await self._refusal(response)

    def _basic(self) -> str:
        pair = f"{self._credentials.username}:{self._credentials.password}"
        return f"Basic {base64.b64encode(pair.encode()).decode()}"

    async def _fetch_token(self, challenge: Challenge) -> str:
        realm = URL(challenge.get("realm"))
        if realm.scheme not in ("https", "http") or (realm.scheme == "http" and self._scheme == "https"):
            raise UnexpectedAnswer(f"token realm {str(realm)!r} is not https", self._answer())
        query = {"scope": challenge.get("scope") or f"repository:{self._source.repository}:pull"}
        if service := challenge.get("service"):
            query["service"] = service
        response = await self._ask_for_token(realm, query)
        async with response:
            if response.status != 200:
                raise await self._refusal(response)
            data = await read_bounded(response, _TOKEN_LIMIT)
        document = json_object(data)
        token = document.get("token") or document.get("access_token")
        if not isinstance(token, str):
            raise UnexpectedAnswer("the token server gave no token", self._answer())
        return token

    async def _ask_for_token(self, realm: URL, query: dict[str, str]) -> aiohttp.ClientResponse:
        assert self._session is not None, "used outside its context"
        proxy = proxy_for(realm)
        if self._credentials.identity_token:
            form = {
                **query,
                "grant_type": "refresh_token",
                "refresh_token": self._credentials.identity_token,
                "client_id": _USER_AGENT,
            }
            return await self._session.post(
                realm, data=form, allow_redirects=False, ssl=self._tls, proxy=proxy
            )
        headers = {"Authorization": self._basic()} if self._credentials.username else {}
        return await self._session.get(
            realm.update_query(query), headers=headers, allow_redirects=False, ssl=self._tls, proxy=proxy
        )

    # -- failures --------------------------------------------------------------------------------

    async def _back_off(self, attempt: int, retry_after: str = "") -> None:
        pause = min(self._options.backoff_s * 2 ** (attempt - 1), self._options.backoff_limit_s)
        if retry_after.isdigit():
            pause = min(max(pause, float(retry_after)), self._options.backoff_limit_s)
        await asyncio.sleep(pause * random.uniform(0.75, 1.25))

    async def _refusal(self, response: aiohttp.ClientResponse) -> RegistryError:
        data = await read_bounded(response, _MESSAGE_LIMIT)
        answer = self._answer(response.status, error_message(data or b""))
        if response.status in (401, 403):
            return Unauthorized("access denied", answer)
        if response.status == 404:
            return ManifestUnknown(f"{what_was_asked(response.url)} not found", answer)
        if response.status == 429:
            return TooManyRequests(_rate_limited(response.headers.get("Retry-After", "")), answer)
        if response.status >= 500:
            return RegistryUnavailable("server error", answer)
        return UnexpectedAnswer("unexpected answer", answer)

    def _given_up(self, error: Exception) -> RegistryError:
        if isinstance(error, TimeoutError) and not isinstance(error, aiohttp.ConnectionTimeoutError):
            seconds = self._options.stall_timeout_s
            return PullStalled(f"nothing received for {seconds:g} s", self._answer())
        return RegistryUnavailable(in_words(error), self._answer())

    def _answer(self, status: int = 0, message: str = "") -> Answer:
        return Answer(self._source.host, self._source.repository, status, message)

    def _place(self) -> str:
        return f"{self._source.host}/{self._source.repository}"


def what_was_asked(url: URL) -> str:
    """``manifest 1.2`` or ``blob sha256:…`` of a request's path (distribution-spec, "Endpoints")."""
    kind, _, name = url.path.rpartition("/")
    return f"{kind.rpartition('/')[2].removesuffix('s')} {name}" if name else url.path


def _rate_limited(retry_after: str) -> str:
    when = f" for {int(retry_after)} s" if retry_after.isascii() and retry_after.isdigit() else ""
    return f"the registry takes no more requests{when} (pull with credentials, or from a mirror)"


def _range(position: int) -> dict[str, str]:
    return {"Range": f"bytes={position}-"} if position else {}


def _challenges(response: aiohttp.ClientResponse) -> list[Challenge]:
    return [
        challenge
        for header in response.headers.getall("WWW-Authenticate", [])
        for challenge in parse_challenges(header)
    ]
