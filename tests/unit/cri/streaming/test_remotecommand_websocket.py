import json

import pytest
from websockets.client import ClientProtocol
from websockets.frames import Frame, Opcode
from websockets.protocol import State
from websockets.uri import parse_uri

from cri.streaming.backend import Streams
from cri.streaming.remotecommand import (
    WEBSOCKET_PROTOCOLS,
    Channel,
    ClientLeft,
    Event,
    Ready,
    Resized,
    StdinEnded,
    StdinReceived,
)
from cri.streaming.remotecommand_websocket import WebSocketCommand
from cri.streaming.resize import Size
from cri.streaming.status import Exited
from cri.streaming.websocket import WebSocket

ALL = Streams(stdin=True, stdout=True, stderr=True)
TERMINAL = Streams(stdin=True, stdout=True, tty=True)


class Peer:
    """A client's WebSocket and the command that it talks to."""

    def __init__(self, protocol: str | None, streams: Streams = ALL) -> None:
        self.client = ClientProtocol(parse_uri("ws://node/"), state=State.OPEN)
        self.command = WebSocketCommand(WebSocket(), streams, protocol)
        assert self.command.receive(b"") == [Ready()]

    def say(self, message: bytes) -> list[Event]:
        self.client.send_binary(message)
        return self.command.receive(b"".join(self.client.data_to_send()))

    def hear(self, data: bytes) -> list[tuple[Opcode, bytes]]:
        self.client.receive_data(data)
        frames = [frame for frame in self.client.events_received() if isinstance(frame, Frame)]
        return [(frame.opcode, bytes(frame.data)) for frame in frames if frame.opcode is not Opcode.CLOSE]


@pytest.mark.parametrize("protocol", [None, *(name for name in WEBSOCKET_PROTOCOLS if "base64" not in name)])
def test_binary_messages_begin_with_the_channel(protocol: str | None) -> None:
    peer = Peer(protocol)
    assert peer.say(b"\0in") == [StdinReceived(b"in")]
    assert peer.hear(b"".join(peer.command.send_output(Channel.STDOUT, b"out"))) == [
        (Opcode.BINARY, b"\1out")
    ]
    assert peer.hear(b"".join(peer.command.send_output(Channel.STDERR, b"err"))) == [
        (Opcode.BINARY, b"\2err")
    ]


@pytest.mark.parametrize("protocol", [name for name in WEBSOCKET_PROTOCOLS if "base64" in name])
def test_base64_messages_are_text_and_begin_with_a_digit(protocol: str) -> None:
    peer = Peer(protocol)
    assert peer.say(b"0aW4=") == [StdinReceived(b"in")]
    assert peer.hear(b"".join(peer.command.send_output(Channel.STDOUT, b"out"))) == [(Opcode.TEXT, b"1b3V0")]


def test_terminal_sizes_come_on_channel_4() -> None:
    assert Peer("v4.channel.k8s.io", TERMINAL).say(b'\4{"Width":80,"Height":24}') == [Resized(Size(80, 24))]
    assert Peer("v4.channel.k8s.io", ALL).say(b'\4{"Width":80,"Height":24}') == []


@pytest.mark.parametrize(
    ("protocol", "close"), [("v5.channel.k8s.io", b"\xff\0"), ("v5.base64.channel.k8s.io", b"/AA==")]
)
def test_version_5_closes_stdin(protocol: str, close: bytes) -> None:
    peer = Peer(protocol)
    assert peer.say(close) == [StdinEnded()]
    assert peer.say(close) == []
    assert peer.say(b"\0late" if close[0] == 255 else b"0bGF0ZQ==") == []


def test_version_4_has_no_close() -> None:
    assert Peer("v4.channel.k8s.io").say(b"\xff\0") == []


@pytest.mark.parametrize("message", [b"", b"\0", b"\1out", b"\3status", b"\7x", b"\xff", b"\xff\1"])
def test_messages_without_meaning_are_skipped(message: bytes) -> None:
    peer = Peer("v5.channel.k8s.io")
    assert peer.say(message) == []
    assert peer.say(b"\0in") == [StdinReceived(b"in")]


def test_stdin_that_was_not_asked_for_is_skipped() -> None:
    assert Peer("v4.channel.k8s.io", Streams(stdout=True)).say(b"\0in") == []


def test_a_message_that_is_not_base64_ends_the_session() -> None:
    peer = Peer("v4.base64.channel.k8s.io")
    assert peer.say(b"0***") == [ClientLeft("closed with code 1007 a message is not base64")]
    peer.hear(peer.command.data_to_send())
    assert peer.client.close_rcvd is not None
    assert peer.client.close_rcvd.code == 1007


@pytest.mark.parametrize(
    ("streams", "channel"),
    [(ALL, 1), (Streams(stderr=True), 2), (Streams(stdin=True), 3)],
)
def test_the_greeting_is_empty_on_the_lowest_output(streams: Streams, channel: int) -> None:
    peer = Peer("v4.channel.k8s.io", streams)
    assert peer.hear(peer.command.greeting()) == [(Opcode.BINARY, bytes([channel]))]


@pytest.mark.parametrize("protocol", ["v4.channel.k8s.io", "v5.channel.k8s.io"])
def test_the_status_is_followed_by_a_normal_close(protocol: str) -> None:
    peer = Peer(protocol)
    [(_, message)] = peer.hear(peer.command.finish(Exited(0)))
    assert message[:1] == b"\3"
    assert json.loads(message[1:]) == {"metadata": {}, "status": "Success"}
    assert peer.client.close_rcvd is not None
    assert peer.client.close_rcvd.code == 1000


def test_before_version_4_success_is_silence() -> None:
    peer = Peer("channel.k8s.io")
    assert peer.hear(peer.command.finish(Exited(0))) == []
    assert peer.client.close_rcvd is not None
    assert peer.client.close_rcvd.code == 1000


def test_a_close_means_the_client_has_left() -> None:
    peer = Peer("v4.channel.k8s.io")
    peer.client.send_close(1000, "bye")
    assert peer.command.receive(b"".join(peer.client.data_to_send())) == [
        ClientLeft("closed with code 1000 bye")
    ]
