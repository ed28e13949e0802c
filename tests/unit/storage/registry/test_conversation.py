"""storage/registry/conversation: what each host of a pull is given, and whose words are told."""

import asyncio
import base64
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from storage.digest import Digest
from storage.reference import Reference
from storage.registry.auth import Credentials
from storage.registry.client import Client
from storage.registry.conversation import retry_after_s
from storage.registry.errors import (
    PullStalled,
    RegistryError,
    TooManyRequests,
    Unauthorized,
    UnexpectedAnswer,
)
from storage.registry.options import ClientOptions
from storage.registry.registries_conf import PullSource

MANIFEST = b'{"schemaVersion": 2}'
PASSWORD = Credentials("user", "secret")
IDENTITY = Credentials(identity_token="refresh-secret")
REGISTRY_TOKEN = Credentials(registry_token="registry-secret")
ALL = (PASSWORD, IDENTITY, REGISTRY_TOKEN)
SECRETS = ("user:secret", "refresh-secret", "registry-secret", "token-secret")
Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


@dataclass
class Host:
    """A server that answers by one handler and keeps what it was sent."""

    handler: Handler | None = None
    seen: list[str] = field(default_factory=list)
    server: TestServer = field(init=False)

    async def start(self) -> None:
        application = web.Application()
        application.router.add_route("*", "/{rest:.*}", self._serve)
        self.server = TestServer(application)
        await self.server.start_server()

    async def _serve(self, request: web.Request) -> web.StreamResponse:
        sent = request.headers.get("Authorization", "")
        if sent.startswith("Basic "):
            sent = base64.b64decode(sent[6:]).decode()
        self.seen.append(f"{request.method} {request.path_qs} {sent} {(await request.read()).decode()}")
        if request.path == "/v2/":
            return web.json_response({})
        assert self.handler is not None
        return await self.handler(request)

    @property
    def name(self) -> str:
        return f"{self.server.host}:{self.server.port}"

    @property
    def url(self) -> str:
        return f"http://{self.name}"

    def secrets(self) -> list[str]:
        """What this host was given of what nobody but the right one should have."""
        return [secret for line in self.seen for secret in SECRETS if secret in line]


@pytest.fixture
async def own() -> AsyncIterator[Host]:
    host = Host()
    await host.start()
    yield host
    await host.server.close()


@pytest.fixture
async def other() -> AsyncIterator[Host]:
    host = Host()
    await host.start()
    yield host
    await host.server.close()


async def pull(own: Host, *listed: Host, credentials: Credentials | None = None, attempts: int = 1) -> bytes:
    """The manifest of team/app:v1 at ``own``; ``listed`` are insecure as it is."""
    names = {host.name for host in listed}
    source = PullSource(own.name, "team/app", insecure=True, is_mirror=False)
    options = ClientOptions(attempts=attempts, backoff_s=0.01, stall_timeout_s=5)
    async with Client(source, credentials, options, lambda name: name in names) as client:
        return (await client.manifest(Reference.parse("registry.test/team/app:v1"))).data


def answers(status: int, body: bytes = b"", **headers: str) -> Handler:
    async def handler(_: web.Request) -> web.Response:
        return web.Response(
            status=status, body=body, headers={key.replace("_", "-"): text for key, text in headers.items()}
        )

    return handler


def gate(realm: Callable[[], str]) -> Handler:
    """A registry that serves the manifest for its token."""

    async def handler(request: web.Request) -> web.StreamResponse:
        if request.headers.get("Authorization") in ("Bearer token-secret", "Bearer registry-secret"):
            return web.Response(body=MANIFEST)
        return web.Response(status=401, headers={"WWW-Authenticate": f'Bearer realm="{realm()}",service="s"'})

    return handler


TOKEN = answers(200, b'{"token": "token-secret"}')


@pytest.mark.parametrize("credentials", ALL, ids=["password", "identity", "registry"])
async def test_a_redirects_target_is_given_nothing_whatever_it_asks_for(
    own: Host, other: Host, credentials: Credentials
) -> None:
    own.handler = answers(307, Location=f"{other.url}/store")
    for challenge in (
        f'Bearer realm="{other.url}/token"',
        f'Bearer realm="{own.url}/token"',
        "Basic realm=x",
    ):
        other.handler = answers(401, WWW_Authenticate=challenge)
        with pytest.raises(Unauthorized, match=f"{other.name}, to which the registry points"):
            await pull(own, other, credentials=credentials)
    assert other.secrets() == own.secrets() == []


@pytest.mark.parametrize("credentials", [PASSWORD, IDENTITY], ids=["password", "identity"])
async def test_a_realm_that_the_registry_names_gets_its_credentials_and_a_token_is_for_the_registry(
    own: Host, other: Host, credentials: Credentials
) -> None:
    own.handler, other.handler = gate(lambda: f"{other.url}/token"), TOKEN
    assert await pull(own, other, credentials=credentials) == MANIFEST
    assert other.secrets() == ["user:secret" if credentials is PASSWORD else "refresh-secret"]
    assert own.secrets() == ["token-secret"]


@pytest.mark.parametrize("credentials", [PASSWORD, IDENTITY], ids=["password", "identity"])
async def test_a_realm_by_http_must_be_listed_itself(
    own: Host, other: Host, credentials: Credentials
) -> None:
    own.handler, other.handler = gate(lambda: f"{other.url}/token"), TOKEN
    with pytest.raises(UnexpectedAnswer, match=f"token realm to http://{other.name}, which is not https"):
        await pull(own, credentials=credentials)
    assert other.seen == []


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
@pytest.mark.parametrize("credentials", [PASSWORD, IDENTITY], ids=["password", "identity"])
async def test_a_token_server_that_points_elsewhere_is_followed_without_credentials(
    own: Host, other: Host, credentials: Credentials, status: int
) -> None:
    registry = gate(lambda: f"{own.url}/token")

    async def handler(request: web.Request) -> web.StreamResponse:
        if request.path == "/token":
            return web.Response(status=status, headers={"Location": f"{other.url}/moved"})
        return await registry(request)

    own.handler, other.handler = handler, TOKEN
    assert await pull(own, other, credentials=credentials) == MANIFEST
    assert other.secrets() == []
    assert len(other.seen) == 1


@pytest.mark.parametrize("credentials", [PASSWORD, IDENTITY], ids=["password", "identity"])
async def test_a_token_server_that_moved_within_its_origin_keeps_them(
    own: Host, credentials: Credentials
) -> None:
    registry = gate(lambda: f"{own.url}/token")

    async def handler(request: web.Request) -> web.StreamResponse:
        if request.path == "/token":
            return web.Response(status=301, headers={"Location": "/token/"})
        return await (TOKEN if request.path == "/token/" else registry)(request)

    own.handler = handler
    assert await pull(own, credentials=credentials) == MANIFEST
    [asked] = [line for line in own.seen if "/token/" in line]
    assert ("user:secret" if credentials is PASSWORD else "refresh-secret") in asked


async def test_a_chain_that_left_the_registry_does_not_come_back_with_its_token(
    own: Host, other: Host
) -> None:
    """Who is elsewhere shall not choose what is asked in the registry's name."""
    registry = gate(lambda: f"{own.url}/token")

    async def handler(request: web.Request) -> web.StreamResponse:
        if request.path == "/token":
            return await TOKEN(request)
        if request.path == "/v2/private":
            return web.Response(body=b"{}")
        answer = await registry(request)
        return answers_moved if answer.status == 200 else answer

    answers_moved = web.Response(status=307, headers={"Location": f"{other.url}/x"})
    own.handler, other.handler = handler, answers(307, Location=f"{own.url}/v2/private")
    await pull(own, other, credentials=PASSWORD)
    [asked] = [line for line in own.seen if "/v2/private" in line]
    assert "token-secret" not in asked
    assert other.secrets() == []


async def test_user_and_password_in_an_address_are_not_passed_on(own: Host, other: Host) -> None:
    own.handler = answers(307, Location=f"http://user:secret@{other.name}/store")
    other.handler = answers(200, MANIFEST)
    assert await pull(own, other) == MANIFEST
    assert other.secrets() == []


@pytest.mark.parametrize("status", [400, 401, 403, 404, 429, 500, 503])
async def test_only_the_registrys_own_words_are_told(own: Host, other: Host, status: int) -> None:
    words = b'{"errors": [{"code": "DENIED", "message": "INTERNAL-SECRET"}]}'
    own.handler = answers(status, words)
    with pytest.raises(RegistryError, match="INTERNAL-SECRET"):
        await pull(own)
    for handler in (answers(307, Location=f"{other.url}/x"), gate(lambda: f"{other.url}/token")):
        own.handler, other.handler = handler, answers(status, words)
        with pytest.raises(RegistryError) as caught:
            await pull(own, other, credentials=PASSWORD)
        assert "INTERNAL-SECRET" not in str(caught.value)
        assert other.name in str(caught.value)


@pytest.mark.parametrize(
    "answer",
    [b'{"token": "a\\r\\nX-Evil: 1"}', b'{"token": "\\u20ac\\ud800"}', b'{"token": 5}', b"[" * 5000,
     b"", b"{}", b'{"token": "' + b"a" * 70_000 + b'"}'],
)  # fmt: skip
async def test_a_token_that_cannot_stand_in_a_header_is_none(own: Host, answer: bytes) -> None:
    registry = gate(lambda: f"{own.url}/token")

    async def handler(request: web.Request) -> web.StreamResponse:
        return await (answers(200, answer) if request.path == "/token" else registry)(request)

    own.handler = handler
    with pytest.raises(UnexpectedAnswer, match="gave no token"):
        await pull(own)


@pytest.mark.parametrize("where", ["http://[::1", "http://h:99999999/", "file:///etc/shadow", "https://", ""])
async def test_addresses_that_are_none_are_an_unexpected_answer(own: Host, where: str) -> None:
    own.handler = gate(lambda: where)
    with pytest.raises(UnexpectedAnswer):
        await pull(own)
    if where:
        own.handler = answers(302, Location=where)
        with pytest.raises(UnexpectedAnswer):
            await pull(own)


async def test_redirects_end(own: Host) -> None:
    own.handler = answers(302, Location="/again")
    with pytest.raises(UnexpectedAnswer, match="more than 5 redirects"):
        await pull(own)


async def test_an_answer_that_drips_is_given_up(own: Host) -> None:
    async def drip(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse(headers={"Content-Length": "1000000"})
        await response.prepare(request)
        try:
            while True:
                await response.write(b"x")
                await asyncio.sleep(0.01)
        except ConnectionError:
            return response

    own.handler = drip
    source = PullSource(own.name, "team/app", insecure=True, is_mirror=False)
    options = ClientOptions(attempts=2, stall_timeout_s=0.2, minimum_rate=10_000, backoff_s=0.0)
    async with Client(source, None, options) as client:
        with pytest.raises(PullStalled, match="too slow"):
            await client.manifest(Digest("ab" * 32))


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("0", 0.0),
        ("120", 120.0),
        ("Mon, 30 Nov 2026 06:01:30 GMT", 90.0),
        ("Monday, 30-Nov-26 06:01:30 GMT", 90.0),
        ("Mon Nov 30 06:01:30 2026", 90.0),
        ("Mon, 30 Nov 2026 05:00:00 GMT", 0.0),
        *(
            (text, None)
            for text in ("", "-1", "1.5", "soon", "\u00b2", "9" * 400, "Mon, 99 Nov 2026 06:01:30 GMT")
        ),
    ],
)
def test_retry_after_is_seconds_or_a_date(text: str, seconds: float | None) -> None:
    assert retry_after_s(text, datetime(2026, 11, 30, 6, 0, tzinfo=UTC)) == seconds


@pytest.mark.parametrize("asked", ["0", "Mon, 30 Nov 2020 06:01:30 GMT"])
async def test_a_short_limit_of_the_rate_is_waited_for(own: Host, asked: str) -> None:
    limited = answers(429, Retry_After=asked)
    served = answers(200, MANIFEST)
    tried: list[str] = []

    async def handler(request: web.Request) -> web.StreamResponse:
        tried.append(request.path)
        return await (limited if len(tried) == 1 else served)(request)

    own.handler = handler
    assert await pull(own, attempts=2) == MANIFEST
    assert len(tried) == 2


@pytest.mark.parametrize(
    ("asked", "words"),
    [
        ("3600", "no more requests for 3600 s"),
        ("Fri, 31 Dec 9999 23:59:59 GMT", r"for \d+ s"),
        ("", "requests \\("),
    ],
)
async def test_a_long_limit_of_the_rate_is_told_at_once(own: Host, asked: str, words: str) -> None:
    own.handler = answers(429, Retry_After=asked)
    with pytest.raises(TooManyRequests, match=words):
        await pull(own, attempts=2)
    assert len([line for line in own.seen if "/manifests/" in line]) == 1
