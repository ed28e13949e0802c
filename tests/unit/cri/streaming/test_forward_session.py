import asyncio
import socket

import pytest

from api.errors import Unavailable
from cri.streaming.forward_session import ForwardSession
from cri.streaming.portforward import PortForward
from cri.streaming.spdy import Connection
from cri.streaming.spdy_events import DataReceived, Event, StreamAccepted
from cri.streaming.timeouts import Timeouts
from tests.unit.cri.streaming.links import FakeLink

TIMEOUTS = Timeouts(stream_creation_s=0.05, linger_s=0.05, departure_check_s=0.01, stall_s=0.02)


class Forwarder:
    """A client, its session, and the pod's ends of what was dialled."""

    def __init__(self) -> None:
        self.link = FakeLink()
        self.client = Connection(client=True)
        self.pods: dict[int, socket.socket] = {}

    def open(self, port: int, request: str) -> tuple[int, int]:
        ids = []
        for kind in ("error", "data"):
            headers = {"streamType": (kind,), "port": (str(port),), "requestID": (request,)}
            stream_id, data = self.client.open_stream(headers)
            self.link.say(data)
            ids.append(stream_id)
        return ids[0], ids[1]

    async def dial(self, port: int) -> socket.socket:
        if port == 1:
            raise Unavailable("nobody listens")
        ours, self.pods[port] = socket.socketpair()
        ours.setblocking(False)
        self.pods[port].setblocking(False)
        return ours

    def run(self) -> "asyncio.Task[None]":
        return asyncio.create_task(ForwardSession(self.link, PortForward(), self.dial, TIMEOUTS).run())

    def hear(self) -> list[Event]:
        heard = bytes(self.link.heard)
        self.link.heard.clear()
        return [event for event in self.client.receive(heard) if not isinstance(event, StreamAccepted)]


@pytest.fixture
async def forwarder() -> Forwarder:
    return Forwarder()


async def turns() -> None:
    for _ in range(30):
        await asyncio.sleep(0)


async def test_each_connection_is_dialled_and_copied_by_itself(forwarder: Forwarder) -> None:
    running = forwarder.run()
    streams = {port: forwarder.open(port, str(port))[1] for port in (80, 81)}
    loop = asyncio.get_running_loop()
    for port, stream in streams.items():
        forwarder.link.say(forwarder.client.send_data(stream, b"to %d" % port))
    await turns()
    for port, stream in streams.items():
        assert await loop.sock_recv(forwarder.pods[port], 10) == b"to %d" % port
        await loop.sock_sendall(forwarder.pods[port], b"from %d" % port)
        await turns()
        assert forwarder.hear() == [DataReceived(stream, b"from %d" % port)]
    forwarder.link.say(b"")
    await running
    for pod in forwarder.pods.values():
        assert await loop.sock_recv(pod, 10) == b""
        pod.close()


async def test_a_port_that_cannot_be_dialled_is_told(forwarder: Forwarder) -> None:
    running = forwarder.run()
    error, data = forwarder.open(1, "0")
    await turns()
    assert forwarder.hear() == [
        DataReceived(error, b"error forwarding port 1: nobody listens", True),
        DataReceived(data, b"", True),
    ]
    forwarder.link.say(b"")
    await running


async def test_a_client_that_goes_while_the_pod_takes_nothing_ends_the_session(forwarder: Forwarder) -> None:
    running = forwarder.run()
    _, data = forwarder.open(80, "0")
    for _ in range(8):
        forwarder.link.say(forwarder.client.send_data(data, bytes(1 << 18)))
    await turns()
    assert not running.done()
    forwarder.link.gone = True
    forwarder.link.say(b"")
    await running
    forwarder.pods[80].close()


async def test_one_connection_alone_may_wait_for_its_pod(forwarder: Forwarder) -> None:
    running = forwarder.run()
    _, data = forwarder.open(80, "0")
    for _ in range(8):
        forwarder.link.say(forwarder.client.send_data(data, bytes(1 << 18)))
    await asyncio.sleep(5 * TIMEOUTS.stall_s)
    assert forwarder.hear() == []
    received = 0
    while received < 8 << 18:
        received += len(await asyncio.get_running_loop().sock_recv(forwarder.pods[80], 1 << 20))
    forwarder.link.say(b"")
    await running
    forwarder.pods[80].close()
