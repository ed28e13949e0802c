import asyncio
import os
import socket
import struct
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import pytest

from cri.streaming.backend import PortForwardRequest
from cri.streaming.server import StreamingServer
from tests.harness.processes import descriptor_count
from tests.integration.streaming.clients import PATIENCE_S, SpdyClient, TunnelClient
from tests.integration.streaming.local_backend import LocalBackend

PROTOCOL = "portforward.k8s.io"
Handler = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


async def echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Send back what comes, then ``bye``: only a half-close lets a client see both."""
    while data := await reader.read(1 << 16):
        writer.write(data)
        await writer.drain()
    writer.write(b"bye")


@asynccontextmanager
async def pod(handler: Handler) -> AsyncIterator[str]:
    """A listening pod; yields its port."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            await handler(reader, writer)
        except (OSError, asyncio.CancelledError):
            pass  # the test has seen what it wanted
        writer.close()

    listener = await asyncio.start_server(serve, "127.0.0.1", 0)
    async with listener:
        yield str(listener.sockets[0].getsockname()[1])


async def forward(client: SpdyClient, port: str, request: str = "0") -> tuple[int, int]:
    error = await client.open(streamType="error", port=port, requestID=request, end=True)
    return error, await client.open(streamType="data", port=port, requestID=request)


@pytest.fixture(params=["spdy", "tunnel"])
async def client(request: pytest.FixtureRequest, server: StreamingServer) -> AsyncIterator[SpdyClient]:
    url = server.port_forward_url(PortForwardRequest.checked("pod"))
    if request.param == "spdy":
        client = await SpdyClient.upgrade(url, PROTOCOL)
    else:
        client = await TunnelClient.tunnel(url, f"SPDY/3.1+{PROTOCOL}")
    yield client
    await client.close()


async def test_bytes_and_both_half_closes_pass(client: SpdyClient, backend: LocalBackend) -> None:
    async with pod(echo) as port:
        error, data = await forward(client, port)
        sent = os.urandom(1_000_000)
        await client.send(data, sent)
        await client.send(data, b"", end=True)
        await client.until(lambda: {error, data} <= client.ended)
        assert client.data[data] == sent + b"bye"
        assert client.data[error] == b""
        assert backend.dialled == [("pod", int(port))]


async def test_a_pod_that_ends_first_still_reads(client: SpdyClient) -> None:
    heard = asyncio.get_running_loop().create_future()

    async def greet(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"hello")
        writer.write_eof()
        heard.set_result(await reader.read())

    async with pod(greet) as port:
        error, data = await forward(client, port)
        await client.until(lambda: {error, data} <= client.ended)
        await client.send(data, b"late", end=True)
        async with asyncio.timeout(PATIENCE_S):
            assert await heard == b"late"


async def test_a_refused_port_is_told_and_the_others_go_on(client: SpdyClient) -> None:
    async with pod(echo) as port:
        _, good = await forward(client, port, "0")
        error, bad = await forward(client, "1", "1")
        await client.until(lambda: {error, bad} <= client.ended)
        assert b"error forwarding port 1:" in client.data[error]
        await client.send(good, b"still here", end=True)
        await client.until(lambda: good in client.ended)
        assert client.data[good] == b"still herebye"


async def test_a_pod_that_breaks_the_connection_is_told(client: SpdyClient) -> None:
    async def slam(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(1)
        peer = writer.get_extra_info("socket")
        peer.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        writer.transport.abort()

    async with pod(slam) as port:
        error, data = await forward(client, port)
        await client.send(data, bytes(100_000))
        await client.until(lambda: {error, data} <= client.ended)
        assert b"error forwarding port" in client.data[error]


async def test_a_reset_stream_closes_the_pods_connection(client: SpdyClient) -> None:
    ended = asyncio.Event()

    async def wait(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"x")
        await reader.read()
        ended.set()

    async with pod(wait) as port:
        _, data = await forward(client, port)
        await client.until(lambda: bool(client.data[data]))
        await client.reset_stream(data)
        async with asyncio.timeout(PATIENCE_S):
            await ended.wait()


async def test_a_lonely_stream_is_failed_in_time(client: SpdyClient) -> None:
    error = await client.open(streamType="error", port="80", requestID="0")
    await client.until(lambda: error in client.ended)
    assert b"did not come in time" in client.data[error]


async def test_a_stream_without_a_port_is_refused_alone(client: SpdyClient) -> None:
    bad = await client.open(streamType="data", requestID="7")
    await client.until(lambda: bad in client.reset)
    async with pod(echo) as port:
        _, data = await forward(client, port)
        await client.send(data, b"on", end=True)
        await client.until(lambda: data in client.ended)


async def test_a_connection_that_takes_nothing_is_given_up_for_the_others(client: SpdyClient) -> None:
    taken = asyncio.Event()

    async def deaf(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        taken.set()
        writer.transport.pause_reading()  # type: ignore[attr-defined]  # asyncio's type is the write half
        await asyncio.sleep(PATIENCE_S)

    async with pod(deaf) as stuck, pod(echo) as port:
        error, data = await forward(client, stuck, "0")
        _, good = await forward(client, port, "1")
        await taken.wait()
        flood = asyncio.ensure_future(client.send(data, bytes(32_000_000)))
        await client.until(lambda: error in client.ended)
        assert b"takes no data" in client.data[error]
        await flood
        await client.send(good, b"on", end=True)
        await client.until(lambda: good in client.ended)
        assert client.data[good] == b"onbye"


async def test_a_hundred_connections_at_once_leave_nothing(
    client: SpdyClient, server: StreamingServer
) -> None:
    before = descriptor_count()
    async with pod(echo) as port:
        streams = [(await forward(client, port, str(n)))[1] for n in range(100)]
        for number, stream in enumerate(streams):
            await client.send(stream, b"%d" % number, end=True)
        await client.until(lambda: set(streams) <= client.ended)
        assert [bytes(client.data[stream]) for stream in streams] == [b"%dbye" % n for n in range(100)]
        await client.close()
        async with asyncio.timeout(PATIENCE_S):
            while server.connections or descriptor_count() > before:
                await asyncio.sleep(0.01)


async def test_a_client_that_leaves_closes_the_pods_connections(
    client: SpdyClient, server: StreamingServer
) -> None:
    ended = asyncio.Event()

    async def wait(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"x")
        await reader.read()
        ended.set()

    async with pod(wait) as port:
        _, data = await forward(client, port)
        await client.until(lambda: bool(client.data[data]))
        await client.close()
        async with asyncio.timeout(PATIENCE_S):
            await ended.wait()


async def test_a_client_that_breaks_spdy_loses_its_connection_alone(server: StreamingServer) -> None:
    first = await SpdyClient.upgrade(server.port_forward_url(PortForwardRequest("pod")), PROTOCOL)
    second = await SpdyClient.upgrade(server.port_forward_url(PortForwardRequest("pod")), PROTOCOL)
    await first.send_raw(b"\x80\x03\x00\x01\x00\xff\xff\xff endless headers")
    await first.until(lambda: first.closed)
    ping = await second.ping()
    await second.until(lambda: second.pongs == [ping])
    await first.close()
    await second.close()
