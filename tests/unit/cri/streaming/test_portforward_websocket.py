import pytest
from websockets.client import ClientProtocol
from websockets.frames import Frame, Opcode
from websockets.protocol import State
from websockets.uri import parse_uri

from cri.streaming.portforward import Event, Left, Received, Requested
from cri.streaming.portforward_websocket import WebSocketForward
from cri.streaming.websocket import WebSocket


class Peer:
    """A client's WebSocket and the port-forward that it talks to."""

    def __init__(self, *ports: int, protocol: str = "v4.channel.k8s.io") -> None:
        self.client = ClientProtocol(parse_uri("ws://node/"), state=State.OPEN)
        self.server = WebSocketForward(WebSocket(), ports, protocol)
        self.begun = self.server.receive(b"")

    def say(self, message: bytes) -> list[Event]:
        self.client.send_binary(message)
        return self.server.receive(b"".join(self.client.data_to_send()))

    def hear(self, data: bytes) -> list[bytes]:
        self.client.receive_data(data)
        frames = [frame for frame in self.client.events_received() if isinstance(frame, Frame)]
        return [bytes(frame.data) for frame in frames if frame.opcode is not Opcode.CLOSE]

    def closed(self) -> int | None:
        """The code of the server's close."""
        return self.client.close_rcvd.code if self.client.close_rcvd else None


def test_all_ports_are_requested_at_once() -> None:
    peer = Peer(80, 8080)
    assert peer.begun == [Requested("0", 80), Requested("1", 8080)]
    assert peer.server.receive(b"") == []
    assert peer.server.incomplete() == frozenset()


def test_each_channel_begins_with_its_port() -> None:
    peer = Peer(80, 8080)
    assert peer.hear(peer.server.greeting()) == [
        b"\x00\x50\x00",
        b"\x01\x50\x00",
        b"\x02\x90\x1f",
        b"\x03\x90\x1f",
    ]


def test_bytes_pass_on_the_channel_of_their_port() -> None:
    peer = Peer(80, 8080)
    assert peer.say(b"\x02to the second") == [Received("1", b"to the second")]
    assert peer.hear(peer.server.send("0", b"of the first")) == [b"\x00of the first"]


def test_the_base64_form_speaks_in_characters() -> None:
    peer = Peer(80, protocol="v4.base64.channel.k8s.io")
    assert peer.say(b"0YWI=") == [Received("0", b"ab")]
    assert peer.hear(peer.server.send("0", b"ab")) == [b"0YWI="]


@pytest.mark.parametrize("message", [b"", b"\x00", b"\x01to the error channel", b"\x02beyond", b"\xffend"])
def test_messages_without_meaning_are_skipped(message: bytes) -> None:
    assert Peer(80).say(message) == []


def test_the_last_connection_that_is_over_closes() -> None:
    peer = Peer(80, 8080)
    assert peer.hear(peer.server.end("0")) == []
    assert peer.hear(peer.server.finish("0")) == []
    assert peer.closed() is None
    assert peer.say(b"\x00late") == []
    assert peer.hear(peer.server.send("0", b"late")) == []
    assert peer.hear(peer.server.finish("1")) == []
    assert peer.closed() == 1000
    assert peer.server.finish("1") == b""


def test_a_failure_is_told_on_the_error_channel() -> None:
    peer = Peer(80)
    assert peer.hear(peer.server.fail("0", "refused")) == [b"\x01refused"]
    assert peer.closed() == 1000
    assert peer.server.fail("0", "twice") == b""


def test_a_close_means_the_client_has_left() -> None:
    peer = Peer(80)
    peer.client.send_close(1000, "bye")
    assert peer.server.receive(b"".join(peer.client.data_to_send())) == [Left("closed with code 1000 bye")]
