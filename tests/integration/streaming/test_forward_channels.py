import asyncio
import os
import socket

import pytest

from cri.streaming.backend import PortForwardRequest
from cri.streaming.server import StreamingServer
from tests.harness.processes import descriptor_count
from tests.integration.streaming.clients import PATIENCE_S, RawWebSocket, refusal
from tests.integration.streaming.test_forward import pod
from tests.integration.streaming.test_server import WEBSOCKET

V4 = "v4.channel.k8s.io"


async def greet(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Answer one line, and be done."""
    writer.write(b"hello " + await reader.readline())


async def forwarding(server: StreamingServer, *ports: str, protocol: str | None = V4) -> RawWebSocket:
    """A client of these ports; it has heard of each on both channels."""
    request = PortForwardRequest.checked("pod", [int(port) for port in ports])
    client = await RawWebSocket.upgrade(server.port_forward_url(request), protocol)
    for number, port in enumerate(ports):
        for channel in (2 * number, 2 * number + 1):
            assert await client.message() == bytes((channel,)) + int(port).to_bytes(2, "little")
    return client


@pytest.mark.parametrize("protocol", [V4, None])
async def test_the_end_of_the_pods_connection_closes(server: StreamingServer, protocol: str | None) -> None:
    async with pod(greet) as port:
        client = await forwarding(server, port, protocol=protocol)
        await client.send(b"\x00wor")
        await client.send(b"\x00ld\n")
        assert b"".join(part[1:] for part in await client.messages()) == b"hello world\n"
        assert client.close_code == 1000
        await client.close()


async def test_several_ports_are_forwarded_side_by_side(server: StreamingServer) -> None:
    async with pod(greet) as first, pod(greet) as second:
        client = await forwarding(server, first, second)
        await client.send(b"\x02two\n")
        assert await client.message() == b"\x02hello two\n"
        await client.send(b"\x00one\n")
        assert await client.messages() == [b"\x00hello one\n"]
        assert client.close_code == 1000
        await client.close()


async def test_much_passes_both_ways(server: StreamingServer) -> None:
    sent = os.urandom(3_000_000)

    async def back(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(await reader.readexactly(len(sent)))
        await writer.drain()

    async with pod(back) as port:
        client = await forwarding(server, port)
        for start in range(0, len(sent), 100_000):
            await client.send(b"\x00" + sent[start : start + 100_000])
        assert b"".join(part[1:] for part in await client.messages()) == sent
        await client.close()


async def test_a_port_where_nobody_listens_is_told_on_the_error_channel(server: StreamingServer) -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        client = await forwarding(server, str(unused.getsockname()[1]))
        [said] = await client.messages()
    assert said.startswith(b"\x01error forwarding port")
    await client.close()


async def test_a_client_that_leaves_closes_the_pods_connection(server: StreamingServer) -> None:
    before = descriptor_count()
    ended = asyncio.Event()

    async def wait(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"x")
        await reader.read()
        ended.set()

    async with pod(wait) as port:
        client = await forwarding(server, port)
        assert await client.message() == b"\x00x"
        await client.send_close()
        async with asyncio.timeout(PATIENCE_S):
            await ended.wait()
            await client.close()
    async with asyncio.timeout(PATIENCE_S):
        while server.connections or descriptor_count() > before:
            await asyncio.sleep(0.01)


async def test_a_request_without_ports_cannot_be_forwarded_by_channels(server: StreamingServer) -> None:
    url = server.port_forward_url(PortForwardRequest.checked("pod"))
    status, text = await refusal(url, "GET", *WEBSOCKET, f"Sec-WebSocket-Protocol: {V4}")
    assert status == 400
    assert "name between 1 and 127 ports" in text
