import pytest
from websockets.client import ClientProtocol
from websockets.frames import Frame, Opcode
from websockets.protocol import State
from websockets.uri import parse_uri

from cri.streaming.channels import Channels, Said
from cri.streaming.websocket import Closed, WebSocket

BINARY, BASE64 = "v4.channel.k8s.io", "v4.base64.channel.k8s.io"


def client_of(*messages: bytes) -> bytes:
    """What a client sends that says these."""
    client = ClientProtocol(parse_uri("ws://node/"), state=State.OPEN)
    for message in messages:
        client.send_binary(message)
    return b"".join(client.data_to_send())


@pytest.mark.parametrize(
    ("protocol", "message", "said"),
    [
        (None, b"\x02ab", Said(2, b"ab")),
        (BINARY, b"\xff\x00", Said(255, b"\0")),
        (BINARY, b"\x00", Said(0, b"")),
        (BASE64, b"2YWI=", Said(2, b"ab")),
        (BASE64, b"/AA==", Said(255, b"\0")),
        (BASE64, b":YWI=", Said(10, b"ab")),
    ],
)
def test_a_message_begins_with_its_channel(protocol: str | None, message: bytes, said: Said) -> None:
    assert Channels(WebSocket(), protocol).receive(client_of(message)) == [said]


@pytest.mark.parametrize("cut", range(1, 40))
@pytest.mark.parametrize(("protocol", "message"), [(BINARY, b"\2abcdefghij"), (BASE64, b"2YWJjZGVmZ2hpag==")])
def test_a_message_is_heard_piece_by_piece(protocol: str, message: bytes, cut: int) -> None:
    sent = client_of(message, message)
    channels = Channels(WebSocket(), protocol)
    said = [*channels.receive(sent[:cut]), *channels.receive(sent[cut:])]
    assert all(isinstance(each, Said) and each.channel == 2 for each in said)
    assert b"".join(each.data for each in said if isinstance(each, Said)) == b"abcdefghij" * 2


@pytest.mark.parametrize("message", [b"0YW", b"0Y", b"0YQ==YQ==", b"0YWI=YWI="])
@pytest.mark.parametrize("cut", range(6, 14))
def test_base64_is_whole_within_its_message(message: bytes, cut: int) -> None:
    sent = client_of(message)
    channels = Channels(WebSocket(), BASE64)
    *_, last = [*channels.receive(sent[:cut]), *channels.receive(sent[cut:])]
    assert last == Closed(1007, "a message is not base64")


def test_an_empty_message_is_on_no_channel() -> None:
    assert Channels(WebSocket(), BINARY).receive(client_of(b"", b"\1x")) == [Said(1, b"x")]


def test_what_follows_a_message_that_is_not_base64_is_not_heard() -> None:
    channels = Channels(WebSocket(), BASE64)
    assert channels.receive(client_of(b"0YWI=", b"0***", b"0YWI=")) == [
        Said(0, b"ab"),
        Closed(1007, "a message is not base64"),
    ]
    assert b"a message is not base64" in channels.data_to_send()


@pytest.mark.parametrize(
    ("protocol", "opcode", "message"),
    [(BINARY, Opcode.BINARY, b"\x0aab"), (BASE64, Opcode.TEXT, b":YWI=")],
)
def test_sending_in_pieces_or_whole_is_the_same(protocol: str, opcode: Opcode, message: bytes) -> None:
    for sent in (
        Channels(WebSocket(), protocol).send(10, b"ab"),
        b"".join(Channels(WebSocket(), protocol).send_pieces(10, b"ab")),
    ):
        client = ClientProtocol(parse_uri("ws://node/"), state=State.OPEN)
        client.receive_data(sent)
        (frame,) = client.events_received()
        assert isinstance(frame, Frame)
        assert (frame.opcode, bytes(frame.data)) == (opcode, message)
