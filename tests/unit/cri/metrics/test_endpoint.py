"""cri/metrics/endpoint: what a scraper gets over TCP, TLS and a Unix socket."""

import asyncio
import contextlib
import math
import ssl
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path

import pytest

from conf.schema import MetricsTable
from conf.values import Port
from cri.metrics.endpoint import MOST_CLIENTS, Endpoint, MetricsNotServed
from tests.unit.cri.streaming.certificates import self_signed

TABLE = MetricsTable(metrics_port=Port(0))


@asynccontextmanager
async def serving(table: MetricsTable) -> AsyncIterator[Endpoint]:
    endpoint = await Endpoint.open(table, "VersionTLS12", lambda: b"metric 1\n")
    try:
        yield endpoint
    finally:
        await endpoint.close()


async def ask(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, request: bytes) -> bytes:
    writer.write(request)
    await writer.drain()
    answer = await reader.read()
    writer.close()
    return answer


GET = b"GET /metrics?x=1 HTTP/1.1\r\nHost: n\r\n\r\n"


async def test_metrics_are_the_body_of_the_answer() -> None:
    async with serving(TABLE) as endpoint:
        answer = await ask(*await asyncio.open_connection("127.0.0.1", endpoint.port), GET)
    head, _, body = answer.partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 200 ")
    assert b"Content-Type: text/plain; version=0.0.4" in head
    assert b"Content-Length: 9" in head
    assert body == b"metric 1\n"


@pytest.mark.parametrize(
    ("request_bytes", "status"),
    [
        (b"GET /other HTTP/1.1\r\nHost: n\r\n\r\n", b"404"),
        (b"DELETE /metrics HTTP/1.1\r\nHost: n\r\n\r\n", b"405"),
        (b"nonsense\r\n\r\n", b"400"),
        (b"HEAD /metrics HTTP/1.1\r\nHost: n\r\n\r\n", b"200"),
    ],
)
async def test_anything_else_is_answered_without_metrics(request_bytes: bytes, status: bytes) -> None:
    async with serving(TABLE) as endpoint:
        answer = await ask(*await asyncio.open_connection("127.0.0.1", endpoint.port), request_bytes)
    assert answer.split()[1] == status
    assert b"metric 1" not in answer


async def test_a_client_that_hangs_up_disturbs_nobody() -> None:
    async with serving(TABLE) as endpoint:
        _, writer = await asyncio.open_connection("127.0.0.1", endpoint.port)
        writer.write(b"GET /met")
        writer.close()
        answer = await ask(*await asyncio.open_connection("127.0.0.1", endpoint.port), GET)
    assert answer.endswith(b"metric 1\n")


async def test_a_unix_socket_serves_too_and_takes_the_place_of_a_stale_one(tmp_path: Path) -> None:
    path = tmp_path / "metrics.sock"
    path.touch()
    async with serving(replace(TABLE, metrics_socket=path)):
        assert path.stat().st_mode & 0o777 == 0o660
        answer = await ask(*await asyncio.open_unix_connection(path), GET)
    assert answer.endswith(b"metric 1\n")


async def test_a_port_in_use_is_named_with_the_way_out() -> None:
    async with serving(TABLE) as endpoint:
        taken = replace(TABLE, metrics_port=Port(endpoint.port))
        with pytest.raises(MetricsNotServed, match=rf"port {endpoint.port}: .*in use.*metrics_port"):
            await Endpoint.open(taken, "VersionTLS12", lambda: b"")


async def test_a_certificate_that_cannot_be_used_is_named(tmp_path: Path) -> None:
    table = replace(TABLE, metrics_cert=tmp_path / "no.crt", metrics_key=tmp_path / "no.key")
    with pytest.raises(MetricsNotServed, match=r"metrics_cert .*no\.crt"):
        await Endpoint.open(table, "VersionTLS12", lambda: b"")


async def test_with_a_certificate_only_tls_is_spoken(tmp_path: Path) -> None:
    pair = self_signed(tmp_path, "node")
    table = replace(TABLE, metrics_cert=pair.certificate, metrics_key=pair.key)
    context = ssl.create_default_context(cafile=str(pair.certificate))
    async with serving(table) as endpoint:
        streams = await asyncio.open_connection("127.0.0.1", endpoint.port, ssl=context)
        assert (await ask(*streams, GET)).endswith(b"metric 1\n")
        answer = b""
        with contextlib.suppress(ConnectionError):
            answer = await ask(*await asyncio.open_connection("127.0.0.1", endpoint.port), GET)
        assert b"metric 1" not in answer


async def test_clients_that_say_nothing_go_for_the_next() -> None:
    async with serving(TABLE) as endpoint:
        idle = [await asyncio.open_connection("127.0.0.1", endpoint.port) for _ in range(MOST_CLIENTS + 20)]
        answer = await ask(*await asyncio.open_connection("127.0.0.1", endpoint.port), GET)
        assert b" 200 " in answer
        with contextlib.suppress(OSError):
            assert await idle[0][0].read() == b""  # the oldest
        for _, writer in idle:
            writer.transport.abort()
            with contextlib.suppress(OSError):
                await writer.wait_closed()


async def test_a_page_that_takes_long_is_used_again() -> None:
    made = [0]

    def page() -> bytes:
        made[0] += 1
        time.sleep(0.05)
        return b"metric 1\n"

    endpoint = await Endpoint.open(TABLE, "VersionTLS12", page)
    endpoint._page_good_until_s = math.inf
    endpoint._page = b"metric 0\n"
    assert b"metric 0" in await ask(*await asyncio.open_connection("127.0.0.1", endpoint.port), GET)
    assert made == [0]
    endpoint._page_good_until_s = -math.inf
    before_s = time.monotonic()
    assert b"metric 1" in await ask(*await asyncio.open_connection("127.0.0.1", endpoint.port), GET)
    assert made == [1]
    assert endpoint._page_good_until_s >= before_s + 0.5
    await endpoint.close()
