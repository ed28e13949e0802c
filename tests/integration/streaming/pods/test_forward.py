"""Port-forward into real pods: their loopback, IPv4 and IPv6, their own network or the node's."""

import asyncio
import json
import os
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import pytest

from api.runtime.v1 import api_pb2 as pb
from host.namespaces import in_namespace
from tests.harness.client import TIMEOUT_S, Client
from tests.harness.processes import PROC
from tests.integration.streaming.clients import PATIENCE_S, SpdyClient, TunnelClient
from tests.integration.streaming.pods.conftest import Pod, Pods
from tests.integration.streaming.pods.observe import Served
from tests.integration.streaming.pods.remote import SPDY, TRANSPORTS
from tests.integration.streaming.test_forward import Handler, echo, forward

pytestmark = pytest.mark.root

PROTOCOL = "portforward.k8s.io"
V4, V6 = (socket.AF_INET, "127.0.0.1"), (socket.AF_INET6, "::1")
NUMBER = 100


@pytest.fixture(params=TRANSPORTS)
def transport(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def network_of(client: Client, pod: Pod) -> Path:
    """The network namespace of a pod, by its container's process."""
    request = pb.ContainerStatusRequest(container_id=pod.container, verbose=True)
    info = client.runtime.ContainerStatus(request, timeout=TIMEOUT_S).info
    return PROC / f"{json.loads(info['info'])['pid']}/ns/net"


@asynccontextmanager
async def listening(
    client: Client, pod: Pod, *addresses: tuple[socket.AddressFamily, str], handler: Handler = echo
) -> AsyncIterator[str]:
    """A server in the pod, on one port of these addresses; yields the port. Else it echoes, then says bye."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(OSError):
            await handler(reader, writer)
        writer.close()

    sockets = in_namespace(network_of(client, pod), lambda: _bound(addresses))
    servers = [await asyncio.start_server(serve, sock=each) for each in sockets]
    try:
        yield str(sockets[0].getsockname()[1])
    finally:
        for server in servers:
            server.close()
            await server.wait_closed()


def _bound(addresses: tuple[tuple[socket.AddressFamily, str], ...]) -> list[socket.socket]:
    sockets: list[socket.socket] = []
    for family, address in addresses:
        port = sockets[0].getsockname()[1] if sockets else 0
        sockets.append(socket.create_server((address, port), family=family))
    return sockets


async def forwarding(client: Client, pod: Pod, transport: str) -> SpdyClient:
    request = pb.PortForwardRequest(pod_sandbox_id=pod.id)
    url = client.runtime.PortForward(request, timeout=TIMEOUT_S).url
    if transport == SPDY:
        return await SpdyClient.upgrade(url, PROTOCOL)
    return await TunnelClient.tunnel(url, f"SPDY/3.1+{PROTOCOL}")


async def says(remote: SpdyClient, port: str, text: bytes, key: str = "0") -> bytes:
    """What comes back for ``text`` and the end of what is sent."""
    error, data = await forward(remote, port, key)
    await remote.send(data, text)
    await remote.send(data, end=True)
    await remote.until(lambda: {error, data} <= remote.ended)
    assert remote.data[error] == b""
    return bytes(remote.data[data])


@pytest.mark.parametrize("addresses", [(V4,), (V6,), (V4, V6)], ids=["IPv4", "IPv6 only", "both"])
@pytest.mark.parametrize("host_network", [False, True], ids=["own network", "node's network"])
async def test_bytes_pass_and_either_side_may_end_first(
    pods: Pods,
    client: Client,
    transport: str,
    host_network: bool,
    addresses: tuple[tuple[socket.AddressFamily, str], ...],
) -> None:
    pod = pods.run(host_network=host_network)
    async with listening(client, pod, *addresses) as port:
        remote = await forwarding(client, pod, transport)
        sent = os.urandom(3_000_000)
        assert await says(remote, port, sent) == sent + b"bye"
        await remote.close()


async def test_a_pod_that_ends_first_still_reads(pods: Pods, client: Client, transport: str) -> None:
    heard: asyncio.Future[bytes] = asyncio.get_running_loop().create_future()

    async def greet(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"hello")
        writer.write_eof()
        heard.set_result(await reader.read())

    pod = pods.run()
    async with listening(client, pod, V4, handler=greet) as port:
        remote = await forwarding(client, pod, transport)
        error, data = await forward(remote, port)
        await remote.until(lambda: data in remote.ended)
        assert remote.data[data] == b"hello"
        await remote.send(data, b"and more")
        await remote.send(data, end=True)
        async with asyncio.timeout(PATIENCE_S):
            assert await heard == b"and more"
        assert remote.data[error] == b""
        await remote.close()


async def test_a_refused_port_is_an_error_on_its_stream_alone(
    pods: Pods, client: Client, transport: str
) -> None:
    pod = pods.run()
    remote = await forwarding(client, pod, transport)
    async with listening(client, pod, V4) as port:
        _, open_stream = await forward(remote, port, "0")
        error, data = await forward(remote, "1", "1")
        await remote.until(lambda: {error, data} <= remote.ended)
        told = remote.data[error].decode()
        assert "port 1" in told
        assert "127.0.0.1: Connection refused" in told
        assert "::1: Connection refused" in told
        await remote.send(open_stream, b"still", end=True)
        await remote.until(lambda: open_stream in remote.ended)
        assert remote.data[open_stream] == b"stillbye"
        assert await says(remote, port, b"new", "2") == b"newbye"
    await remote.close()


async def test_a_pod_does_not_reach_the_ports_of_the_node(pods: Pods, client: Client) -> None:
    with socket.create_server(("127.0.0.1", 0)) as of_the_node:
        pod = pods.run()
        remote = await forwarding(client, pod, SPDY)
        error, data = await forward(remote, str(of_the_node.getsockname()[1]))
        await remote.until(lambda: {error, data} <= remote.ended)
        assert b"Connection refused" in remote.data[error]
        await remote.close()


async def test_a_hundred_connections_of_one_client(
    pods: Pods, client: Client, served: Served, transport: str
) -> None:
    pod = pods.run()
    before = served.descriptors()
    async with listening(client, pod, V4) as port:
        remote = await forwarding(client, pod, transport)
        texts = [os.urandom(10_000) for _ in range(NUMBER)]
        streams = [(await forward(remote, port, str(n)))[1] for n in range(NUMBER)]
        for stream, text in zip(streams, texts, strict=True):
            await remote.send(stream, text)
        await remote.until(lambda: all(len(remote.data[stream]) == 10_000 for stream in streams))
        assert served.descriptors()["streaming"] >= before["streaming"] + NUMBER  # all at once, that is
        for stream in streams:
            await remote.send(stream, end=True)
        await remote.until(lambda: set(streams) <= remote.ended)
        assert [bytes(remote.data[stream]) for stream in streams] == [text + b"bye" for text in texts]
        await remote.close()
    served.until_no_more_than(before)


async def test_a_hundred_clients_of_one_connection(
    pods: Pods, client: Client, served: Served, transport: str
) -> None:
    pod = pods.run()
    before = served.descriptors()
    async with listening(client, pod, V4) as port:
        remotes = [await forwarding(client, pod, transport) for _ in range(NUMBER)]
        texts = [b"%d" % n for n in range(NUMBER)]
        answers = await asyncio.gather(
            *(says(remote, port, text) for remote, text in zip(remotes, texts, strict=True))
        )
        assert answers == [text + b"bye" for text in texts]
        for remote in remotes[::2]:
            await remote.close()
        for remote in remotes[1::2]:
            await remote.vanish()
    served.until_no_more_than(before)
