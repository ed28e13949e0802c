from websockets.client import ClientProtocol
from websockets.frames import Frame, Opcode
from websockets.protocol import State
from websockets.uri import parse_uri

from cri.streaming.tunnel import Tunnel
from cri.streaming.websocket import WebSocket
from tests.unit.cri.streaming.links import FakeLink


def ends() -> tuple[Tunnel, FakeLink, ClientProtocol]:
    link = FakeLink()
    return Tunnel(link, WebSocket()), link, ClientProtocol(parse_uri("ws://n/"), state=State.OPEN)


def sent(client: ClientProtocol) -> bytes:
    return b"".join(client.data_to_send())


async def test_message_borders_mean_nothing() -> None:
    tunnel, link, client = ends()
    client.send_binary(b"one ")
    client.send_binary(b"two ")
    first = sent(client)
    client.send_binary(b"three")
    second = sent(client)
    link.say(first + second[:4])
    link.say(second[4:])
    assert [await tunnel.read(), await tunnel.read()] == [b"one two ", b"three"]


async def test_pings_are_answered_and_empty_messages_are_no_end() -> None:
    tunnel, link, client = ends()
    client.send_ping(b"alive?")
    client.send_binary(b"")
    link.say(sent(client))
    client.send_binary(b"x")
    link.say(sent(client))
    assert await tunnel.read() == b"x"
    client.receive_data(bytes(link.heard))
    assert [frame.opcode for frame in client.events_received() if isinstance(frame, Frame)] == [Opcode.PONG]


async def test_a_close_or_a_lost_link_is_the_end() -> None:
    tunnel, link, client = ends()
    client.send_close(1000)
    link.say(sent(client))
    assert await tunnel.read() == b""
    tunnel, link, client = ends()
    link.say(b"")
    assert await tunnel.read() == b""


async def test_bytes_go_out_as_messages_and_the_end_as_a_close() -> None:
    tunnel, link, client = ends()
    tunnel.write(b"out")
    tunnel.write(b"")
    tunnel.end()
    tunnel.write(b"late")
    client.receive_data(bytes(link.heard))
    frames = [frame for frame in client.events_received() if isinstance(frame, Frame)]
    assert [(frame.opcode, bytes(frame.data)) for frame in frames] == [
        (Opcode.BINARY, b"out"),
        (Opcode.CLOSE, b"\x03\xe8"),
    ]
    assert link.ended
