"""Requests to one registry and to whom it points: redirects, tokens, retries and refusals.

``Conversation.get`` gives a good answer or raises a RegistryError. storage/registry/origins.py says who may
be asked and given what; it is kept here. Redirects are followed here and not by aiohttp, which would take
credentials out of a URL and pass them on.
"""

import asyncio
import base64
import contextlib
import logging
import math
import random
import re
import ssl
from collections.abc import AsyncIterator, Callable, Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from types import TracebackType
from typing import Self

import aiohttp
from yarl import URL

from storage.reference import DOCKER_HUB
from storage.registry.auth import Credentials
from storage.registry.certificates import has_certificates, tls_context
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
from storage.registry.http import (
    error_message,
    in_words,
    json_object,
    proxy_for,
    read_bounded,
)
from storage.registry.options import ClientOptions
from storage.registry.origins import BadUrl, ForbiddenTarget, Origin, Trust, parse_url
from storage.registry.pace import Pace, TooSlow
from storage.registry.registries_conf import PullSource

log = logging.getLogger(__name__)

CHUNK_BYTES = 1 << 20
_HUB_HOST = "registry-1.docker.io"
_USER_AGENT = "podwright"
_REDIRECTS = 5
_MESSAGE_LIMIT = 64 << 10
_MESSAGE_TIMEOUT_S = 10.0
_TOKEN_ANSWER_LIMIT = 1 << 20
_TOKEN = re.compile(r"[\x21-\x7e]{1,65536}")
_RETRIED = frozenset({408, 500, 502, 503, 504})
_MOVED = frozenset({301, 302, 303, 307, 308})
_SECONDS = re.compile(r"[0-9]{1,18}")


class Reply:
    """An answer, who gave it, and whether the registry itself did."""

    def __init__(self, response: aiohttp.ClientResponse, url: URL, *, own: bool, pace: Pace) -> None:
        self.response = response
        self.url = url
        self.origin = Origin.of(url)
        self.own = own
        self._pace = pace

    @property
    def status(self) -> int:
        return self.response.status

    @property
    def headers(self) -> Mapping[str, str]:
        return self.response.headers

    def chunks(self) -> AsyncIterator[bytes]:
        """The body; one that comes too slowly ends in TooSlow."""
        return self._pace.chunks(self.response.content)


class Conversation:
    """With one registry about one repository; an async context manager.

    ``listed`` tells whether a host (host[:port]) is one of those that the configuration calls insecure.
    """

    def __init__(
        self,
        source: PullSource,
        credentials: Credentials | None,
        options: ClientOptions,
        listed: Callable[[str], bool],
    ) -> None:
        self._source = source
        self._credentials = credentials or Credentials()
        self._options = options
        self._host = _HUB_HOST if source.host == DOCKER_HUB else source.host
        self._trust = Trust(self._host, source.insecure, listed)
        self._scheme = "https"
        self._settled = not source.insecure
        self._authorization = ""
        self._tls: dict[tuple[str, bool], ssl.SSLContext] = {}
        self._session: aiohttp.ClientSession | None = None

    async def __aenter__(self) -> Self:
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

    # -- requests --------------------------------------------------------------------------------

    @contextlib.asynccontextmanager
    async def get(self, path: str, headers: Mapping[str, str]) -> AsyncIterator[Reply]:
        """A good answer (200, 206); waits and repeats while the registry says that it is busy.

        Raises:
            RegistryError: any other answer.
            aiohttp.ClientError, ConnectionError, TimeoutError: no answer; ``given_up`` words them.
        """
        if not self._settled:
            await self._settle()
        challenged = False
        attempt = 0
        while True:
            reply = await self._follow(self._own_url(path), headers)
            async with reply.response:
                if reply.status in (200, 206):
                    yield reply
                    return
                if reply.status == 401 and reply.own and not challenged:
                    challenged = True
                    await self._authorize(reply)
                    continue
                attempt += 1
                pause = retry_after_s(reply.headers.get("Retry-After", ""))
                if not self._may_repeat(reply.status, pause) or attempt >= self._options.attempts:
                    raise await self._refusal(reply)
            await self.back_off(attempt, pause)

    def _own_url(self, path: str) -> URL:
        try:
            return parse_url(f"{self._scheme}://{self._host}{path}")
        except BadUrl as error:
            raise UnexpectedAnswer(str(error), self.answer()) from error

    async def _follow(self, url: URL, headers: Mapping[str, str]) -> Reply:
        """GET with redirects. The token goes to the registry's own origin, and no more once that was left:
        who is elsewhere shall not choose what is asked in its name."""
        target, own = url, True
        authorized = {**headers, "Authorization": self._authorization} if self._authorization else headers
        for _ in range(_REDIRECTS + 1):
            reply = await self._ask("GET", target, own=own, headers=authorized if own else headers)
            following = await self._redirect(reply, target, "redirect")
            if following is None:
                return reply
            own = own and Origin.of(following) == Origin.of(url)
            target = following
        raise UnexpectedAnswer(f"more than {_REDIRECTS} redirects", self.answer())

    async def _redirect(self, reply: Reply, asked: URL, what: str) -> URL | None:
        """Where an answer sends, checked; None when it does not. The answer is released then."""
        location = reply.headers.get("Location", "")
        if reply.status not in _MOVED or not location:
            return None
        reply.response.release()
        return self._checked(location, asked, what)

    def _checked(self, text: str, base: URL | None, what: str) -> URL:
        """A URL that a registry names.

        Raises:
            UnexpectedAnswer: it is none, or a pull does not go there.
        """
        try:
            url = parse_url(text, base)
            self._trust.check(url, what)
        except BadUrl as error:
            raise UnexpectedAnswer(f"{what}: {error}", self.answer()) from error
        except ForbiddenTarget as error:
            raise UnexpectedAnswer(str(error), self.answer()) from error
        return url

    async def _ask(
        self,
        method: str,
        target: URL,
        *,
        own: bool,
        headers: Mapping[str, str],
        form: Mapping[str, str] | None = None,
    ) -> Reply:
        """One request and the head of its answer, which has a time of its own: it may come in drops."""
        assert self._session is not None, "used outside its context"
        tls = await self._tls_for(Origin.of(target))
        stall_s = self._options.stall_timeout_s
        try:
            async with asyncio.timeout(stall_s + self._options.connect_timeout_s if stall_s else None):
                response = await self._session.request(
                    method,
                    target,
                    headers=headers,
                    data=form,
                    allow_redirects=False,
                    ssl=tls,
                    proxy=proxy_for(target),
                )
        except aiohttp.ClientConnectorError:
            raise  # that of a certificate is a ValueError, too
        except (ValueError, aiohttp.TooManyRedirects) as error:
            # aiohttp's own refusals of what a URL or header may have in it; InvalidURL is a ValueError too.
            raise UnexpectedAnswer(f"cannot be asked: {error}", self.answer()) from error
        return Reply(response, target, own=own, pace=Pace(self._options.minimum_rate, stall_s))

    async def _tls_for(self, origin: Origin) -> ssl.SSLContext:
        """Verified by the roots, by what certs.d has for the registry, and for the host itself."""
        own = self._trust.is_own(origin)
        name = self._source.host if own else origin.names[-1]
        verify = not self._trust.is_insecure(origin)
        if (name, verify) not in self._tls:
            self._tls[name, verify] = await asyncio.to_thread(self._make_tls, name, verify)
        return self._tls[name, verify]

    def _make_tls(self, name: str, verify: bool) -> ssl.SSLContext:
        registry, places = self._source.host, self._options.certs_dirs
        plain = ("", verify)
        if not has_certificates(name, places) and not has_certificates(registry, places):
            if plain not in self._tls:  # reading the system's roots takes longer than a request
                self._tls[plain] = tls_context("", (), verify=verify)
            return self._tls[plain]
        return tls_context(name, places, verify=verify, trusted_for=registry)

    async def _settle(self) -> None:
        """Find out whether an insecure host speaks TLS, or in the clear."""
        last: Exception = ConnectionError("not tried")
        for scheme in ("https", "http"):
            self._scheme = scheme
            try:
                reply = await self._ask("GET", self._own_url("/v2/"), own=True, headers={})
                async with reply.response:
                    self._settled = True
                    return
            except (aiohttp.ClientError, ConnectionError, TimeoutError) as error:
                last = error
        raise self.given_up(last) from last

    # -- authentication --------------------------------------------------------------------------

    async def _authorize(self, reply: Reply) -> None:
        """Set ``_authorization`` for the challenge of a 401 of the registry itself.

        Raises:
            Unauthorized: no challenge that can be answered.
        """
        if self._credentials.registry_token:
            self._authorization = f"Bearer {self._credentials.registry_token}"
            return
        for challenge in _challenges(reply.response):
            if challenge.scheme == "bearer":
                self._authorization = f"Bearer {await self._fetch_token(challenge)}"
                return
            if challenge.scheme == "basic" and self._credentials.username:
                self._authorization = self._basic()
                return
        raise await self._refusal(reply)

    def _basic(self) -> str:
        pair = f"{self._credentials.username}:{self._credentials.password}"
        return f"Basic {base64.b64encode(pair.encode()).decode()}"

    async def _fetch_token(self, challenge: Challenge) -> str:
        realm = self._checked(challenge.get("realm"), None, "token realm")
        if realm.scheme == "http" and self._scheme == "https":
            raise UnexpectedAnswer("token realm by http of a registry that speaks https", self.answer())
        query = {"scope": challenge.get("scope") or f"repository:{self._source.repository}:pull"}
        if service := challenge.get("service"):
            query["service"] = service
        reply = await self._ask_for_token(realm, query)
        async with reply.response:
            if reply.status != 200:
                raise await self._refusal(reply)
            data = await read_bounded(reply.chunks(), _TOKEN_ANSWER_LIMIT)
        document = json_object(data)
        token = document.get("token") or document.get("access_token")
        if not isinstance(token, str) or not _TOKEN.fullmatch(token):
            raise UnexpectedAnswer("the token server gave no token", self.answer())
        return token

    async def _ask_for_token(self, realm: URL, query: dict[str, str]) -> Reply:
        """The token server's answer; it is followed elsewhere, but without credentials."""
        identity = self._credentials.identity_token
        form = {
            **query,
            "grant_type": "refresh_token",
            "refresh_token": identity,
            "client_id": _USER_AGENT,
        }
        basic = {"Authorization": self._basic()} if self._credentials.username else {}
        target, own = realm if identity else realm.update_query(query), True
        for _ in range(_REDIRECTS + 1):
            said = Origin.of(target) == Origin.of(self._own_url("/")) and own
            if own and identity:
                reply = await self._ask("POST", target, own=said, headers={}, form=form)
            else:
                reply = await self._ask("GET", target, own=said, headers=basic if own else {})
            following = await self._redirect(reply, target, "redirect of the token server")
            if following is None:
                return reply
            if own and Origin.of(following) != Origin.of(realm):
                own = False
                following = following.update_query(query) if identity else following
            target = following
        raise UnexpectedAnswer(f"more than {_REDIRECTS} redirects of the token server", self.answer())

    # -- failures --------------------------------------------------------------------------------

    def _may_repeat(self, status: int, asked_s: float | None) -> bool:
        """A limited rate is waited for only when the registry says how long, and that is bearable."""
        if status == 429:
            return asked_s is not None and asked_s <= self._options.backoff_limit_s
        return status in _RETRIED

    async def back_off(self, attempt: int, asked_s: float | None = None) -> None:
        """Wait before the next attempt, longer each time, or as the registry asks within bounds."""
        pause = min(self._options.backoff_s * 2 ** (attempt - 1), self._options.backoff_limit_s)
        pause *= random.uniform(0.75, 1.25)
        await asyncio.sleep(max(pause, min(asked_s or 0.0, self._options.backoff_limit_s)))

    async def _refusal(self, reply: Reply) -> RegistryError:
        """The error for an answer. Only the registry's own words are in it: whatever else it can make us
        ask, inside the node's networks too, shall not be read in an event of a pod."""
        answer = self.answer(reply.status, await self._words(reply))
        if reply.status in (401, 403):
            return Unauthorized("access denied", answer)
        if reply.status == 404:
            what = what_was_asked(reply.url) if reply.own else "what was asked"
            return ManifestUnknown(f"{what} not found", answer)
        if reply.status == 429:
            return TooManyRequests(_rate_limited(retry_after_s(reply.headers.get("Retry-After", ""))), answer)
        if reply.status >= 500:
            return RegistryUnavailable("server error", answer)
        return UnexpectedAnswer("unexpected answer", answer)

    async def _words(self, reply: Reply) -> str:
        if not reply.own:
            return f"from {reply.origin.names[-1]}, to which the registry points"
        try:
            async with asyncio.timeout(_MESSAGE_TIMEOUT_S):
                return error_message(await read_bounded(reply.chunks(), _MESSAGE_LIMIT) or b"")
        except (aiohttp.ClientError, ConnectionError, TimeoutError):
            return ""  # the status says enough

    def given_up(self, error: Exception) -> RegistryError:
        """The error for a conversation that was cut, refused or too slow."""
        if isinstance(error, TooSlow):
            return PullStalled(str(error), self.answer())
        if isinstance(error, TimeoutError) and not isinstance(error, aiohttp.ConnectionTimeoutError):
            seconds = self._options.stall_timeout_s
            return PullStalled(f"nothing received for {seconds:g} s", self.answer())
        return RegistryUnavailable(in_words(error), self.answer())

    def answer(self, status: int = 0, message: str = "") -> Answer:
        """Where an error comes from."""
        return Answer(self._source.host, self._source.repository, status, message)


def what_was_asked(url: URL) -> str:
    """``manifest 1.2`` or ``blob sha256:…`` of a request's path (distribution-spec, "Endpoints")."""
    kind, _, name = url.path.rpartition("/")
    return f"{kind.rpartition('/')[2].removesuffix('s')} {name}" if name else url.path


def retry_after_s(text: str, now: datetime | None = None) -> float | None:
    """Retry-After in seconds from now, of seconds or a date (RFC 9110, 10.2.3); None when it says neither."""
    if _SECONDS.fullmatch(text):
        return float(text)
    try:
        when = parsedate_to_datetime(text[:64])
        if when.tzinfo is None:
            when = when.replace(tzinfo=UTC)
        return max((when - (now or datetime.now(UTC))).total_seconds(), 0.0)
    except (ValueError, OverflowError, TypeError, IndexError):
        return None


def _rate_limited(asked_s: float | None) -> str:
    when = f" for {math.ceil(asked_s)} s" if asked_s is not None else ""
    return f"the registry takes no more requests{when} (pull with credentials, or from a mirror)"


def _challenges(response: aiohttp.ClientResponse) -> list[Challenge]:
    return [
        challenge
        for header in response.headers.getall("WWW-Authenticate", [])
        for challenge in parse_challenges(header)
    ]
