"""The inspection socket's manners: root alone, bounded, one answer a connection."""

import asyncio
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from http import HTTPStatus
from pathlib import Path

import pytest

from cri.inspect import http
from cri.inspect.http import Answer, Clients
from cri.streaming.http_head import Head, Refused


async def answer(head: Head) -> Answer:
    if head.path == "/bug":
        raise KeyError("secret")
    if head.path == "/no":
        raise Refused(HTTPStatus.CONFLICT, "not now")
    return Answer.of_text(head.path)


@asynccontextmanager
async def served(path: Path) -> AsyncIterator[Path]:
    server = await asyncio.start_unix_server(Clients(answer).serve, path)
    async with server:
        yield path


@pytest.fixture(autouse=True)
def as_root(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(http, "peer_of", lambda _: (1, 0))


async def talk(path: Path, said: bytes) -> bytes:
    reader, writer = await asyncio.open_unix_connection(path)
    writer.write(said)
    writer.write_eof()
    found = await reader.read()
    writer.close()
    return found


def request(target: str, method: str = "GET") -> bytes:
    return f"{method} {target} HTTP/1.1\r\nHost: x\r\n\r\n".encode()


async def test_a_request_gets_an_answer_and_the_connection_ends(tmp_path: Path) -> None:
    async with served(tmp_path / "s") as path:
        found = await talk(path, request("/hello"))
        assert found.startswith(b"HTTP/1.1 200 OK\r\n")
        assert found.endswith(b"Content-Length: 6\r\nConnection: close\r\n\r\n/hello")
        assert (await talk(path, request("/hello", "HEAD"))).endswith(b"\r\n\r\n")


@pytest.mark.parametrize(
    ("target", "status", "words"),
    [
        ("/no", b"409 Conflict", b"not now"),
        ("/bug", b"500 Internal Server Error", b"the daemon's log says"),
    ],
)
async def test_a_refusal_and_a_bug_are_answers_too(
    tmp_path: Path, target: str, status: bytes, words: bytes
) -> None:
    async with served(tmp_path / "s") as path:
        found = await talk(path, request(target))
    assert found.startswith(b"HTTP/1.1 " + status)
    assert words in found
    assert b"secret" not in found


@pytest.mark.parametrize(
    "said",
    [b"", b"\0\1\2\r\n\r\n", b"GET / HTTP/1.1\r\n" + b"a" * 99999],
)
async def test_what_is_no_request_is_the_clients_loss(tmp_path: Path, said: bytes) -> None:
    async with served(tmp_path / "s") as path:
        found = await talk(path, said)
        assert not found.startswith(b"HTTP/1.1 200")
        assert b"200 OK" in await talk(path, request("/"))


async def test_who_is_not_root_hears_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(http, "peer_of", lambda _: (os.getpid(), 65534))
    async with served(tmp_path / "s") as path:
        found = await talk(path, request("/hello"))
    assert found.startswith(b"HTTP/1.1 403 Forbidden")
    assert b"/hello" not in found


async def test_those_who_say_nothing_make_room_for_the_next(tmp_path: Path) -> None:
    async with served(tmp_path / "s") as path:
        mute = [await asyncio.open_unix_connection(path) for _ in range(http.MOST_CLIENTS)]
        assert b"200 OK" in await talk(path, request("/"))
        assert await mute[0][0].read() == b""
        for _, writer in mute:
            writer.close()


async def test_a_client_that_says_nothing_is_not_waited_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(http, "CLIENT_TIMEOUT_S", 0.01)
    async with served(tmp_path / "s") as path:
        reader, writer = await asyncio.open_unix_connection(path)
        assert await reader.read() == b""
        writer.close()
