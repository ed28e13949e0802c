import pytest
from websockets.client import ClientProtocol
from websockets.frames import Frame, Opcode
from websockets.protocol import State
from websockets.uri import parse_uri

from cri.streaming.frame_budget import FRAMES_PER_TURN, FrameBudget
from cri.streaming.http_head import Head, Refused
from cri.streaming.websocket import Closed, Piece, WebSocket

KEY = ("sec-websocket-key", "dGhlIHNhbXBsZSBub25jZQ==")
HANDSHAKE = (
    ("connection", "Upgrade"),
    ("upgrade", "websocket"),
    KEY,
    ("sec-websocket-version", "13"),
    ("sec-websocket-protocol", "SPDY/3.1+portforward.k8s.io"),
)


def open_client() -> ClientProtocol:
    return ClientProtocol(parse_uri("ws://node/"), state=State.OPEN)


def sent(client: ClientProtocol) -> bytes:
    return b"".join(client.data_to_send())


def test_the_handshake_is_answered_with_the_protocol_that_was_chosen() -> None:
    headers = dict(WebSocket().accept(Head("GET", "/", HANDSHAKE), "SPDY/3.1+portforward.k8s.io"))
    assert headers["Sec-WebSocket-Accept"] == "s3pPLMBiTxaQ9kYGzzhZRbK+xOo="  # the example of RFC 6455
    assert headers["Sec-WebSocket-Protocol"] == "SPDY/3.1+portforward.k8s.io"
    assert "Sec-WebSocket-Protocol" not in dict(WebSocket().accept(Head("GET", "/", HANDSHAKE), None))


@pytest.mark.parametrize(
    ("method", "headers", "status"),
    [
        ("POST", HANDSHAKE, 405),
        ("GET", tuple(pair for pair in HANDSHAKE if pair != KEY), 400),
        ("GET", (*HANDSHAKE[:3], ("sec-websocket-version", "8")), 400),
    ],
)
def test_a_wrong_handshake_is_refused(method: str, headers: tuple[tuple[str, str], ...], status: int) -> None:
    with pytest.raises(Refused) as caught:
        WebSocket().accept(Head(method, "/", headers), None)
    assert caught.value.status == status


def conversation() -> bytes:
    client = open_client()
    client.send_binary(b"\0one")
    client.send_text(b"0two")
    client.send_binary(b"thr", fin=False)
    client.send_ping(b"alive?")
    client.send_continuation(b"", fin=False)
    client.send_continuation(b"ee", fin=True)
    client.send_close(1000)
    return sent(client)


BYTES = conversation()


@pytest.mark.parametrize("cut", range(len(BYTES) + 1))
def test_messages_are_whole_however_their_frames_are_cut(cut: int) -> None:
    server = WebSocket()
    *pieces, closed = server.receive(BYTES[:cut]) + server.receive(BYTES[cut:])
    assert closed == Closed(1000, "")
    assert messages(pieces) == [b"\0one", b"0two", b"three"]


def messages(pieces: list[Piece | Closed]) -> list[bytes]:
    """Whole again."""
    whole, data = [], b""
    for piece in pieces:
        assert isinstance(piece, Piece)
        data += piece.data
        if piece.ended:
            whole.append(data)
            data = b""
    assert data == b""
    return whole


def test_a_piece_is_handed_on_before_its_frame_is_complete() -> None:
    client = open_client()
    client.send_binary(b"abcdefgh")
    frame = sent(client)
    server = WebSocket()
    assert server.receive(frame[:-5]) == [Piece(b"abc", ended=False)]
    assert server.receive(frame[-5:]) == [Piece(b"defgh")]


def test_an_endless_frame_makes_nobody_hold_anything() -> None:
    server = WebSocket()
    assert server.receive(b"\x82\xff" + (32 << 20).to_bytes(8) + b"\0\0\0\0") == []
    for _ in range(32):
        assert server.receive(bytes(1 << 20))
        assert len(server._buffer) == 0


@pytest.mark.parametrize(
    ("said", "code"),
    [
        (b"\x82\xff" + (1 << 62).to_bytes(8) + b"\0\0\0\0", 1009),
        (b"\x80\x80\0\0\0\0", 1002),  # goes on without a message
        (b"\x02\x81\0\0\0\0x" + b"\x82\x81\0\0\0\0x", 1002),  # begins within another
        (b"\x09\x80\0\0\0\0", 1002),  # a ping in parts
        (b"\x89\xfe\x00\x7e\0\0\0\0", 1002),  # a long ping
        (b"\xc2\x81\0\0\0\0x", 1002),  # a reserved bit
        (b"\x83\x80\0\0\0\0", 1002),  # no such opcode
        (b"\x8b\x80\0\0\0\0", 1002),
        (b"\x88\x81\0\0\0\0x", 1002),  # half a close code
        (b"\x88\x83\0\0\0\0\x03\xe8\xff", 1002),  # a reason that is no text
    ],
)
def test_what_no_client_says_is_answered_with_its_code(said: bytes, code: int) -> None:
    server, client = WebSocket(), open_client()
    *_, closed = server.receive(said)
    assert isinstance(closed, Closed)
    assert closed.code == code
    client.receive_data(server.data_to_send())
    assert client.close_rcvd is not None
    assert client.close_rcvd.code == code
    assert server.receive(said) == []


PING, EMPTY = b"\x89\x80\0\0\0\0", b"\x00\x80\0\0\0\0"


@pytest.mark.parametrize(("start", "frame"), [(b"", PING), (b"\x02\x80\0\0\0\0", EMPTY)])
def test_a_flood_is_read_turn_by_turn_and_cut_off_with_a_policy_violation(start: bytes, frame: bytes) -> None:
    now = [0.0]
    server = WebSocket(budget=FrameBudget(lambda: now[0], burst=1000, per_second=10))
    events = server.receive(start + frame * 1100)
    turns = 1
    while server.unread:
        assert events == []
        assert len(server.data_to_send()) <= FRAMES_PER_TURN * 2
        events = server.receive(b"")
        turns += 1
    assert [event.code for event in events if isinstance(event, Closed)] == [1008]
    assert turns >= 1000 // FRAMES_PER_TURN


def test_frames_at_a_clients_own_pace_never_use_the_budget_up() -> None:
    now = [0.0]
    server = WebSocket(budget=FrameBudget(lambda: now[0], burst=10, per_second=1))
    for _ in range(1000):
        assert server.receive(PING) == []
        now[0] += 5.0


def test_pings_are_answered_and_closes_returned() -> None:
    server, client = WebSocket(), open_client()
    client.send_ping(b"alive?")
    server.receive(sent(client))
    client.receive_data(server.data_to_send())
    assert [frame.opcode for frame in client.events_received() if isinstance(frame, Frame)] == [Opcode.PONG]
    client.send_close(1000)
    assert server.receive(sent(client)) == [Closed(1000, "")]
    client.receive_data(server.data_to_send())
    assert client.close_rcvd is not None


def test_the_client_reads_what_the_server_sends_until_it_closes() -> None:
    server, client = WebSocket(), open_client()
    client.receive_data(server.send(b"\1out") + server.send(b"1b3V0", text=True) + server.close())
    frames = [frame for frame in client.events_received() if isinstance(frame, Frame)]
    assert [(frame.opcode, frame.data) for frame in frames[:2]] == [
        (Opcode.BINARY, b"\1out"),
        (Opcode.TEXT, b"1b3V0"),
    ]
    assert client.close_rcvd is not None
    assert client.close_rcvd.code == 1000
    assert server.send(b"late") == b""
    assert server.close() == b""


def test_a_message_beyond_the_limit_closes() -> None:
    server, client = WebSocket(largest_message_bytes=10), open_client()
    client.send_binary(bytes(11))
    assert [event.code for event in server.receive(sent(client)) if isinstance(event, Closed)] == [1009]
    assert server.data_to_send()


def test_an_unmasked_frame_is_a_protocol_error() -> None:
    server = WebSocket()
    assert [event.code for event in server.receive(b"\x82\x01x") if isinstance(event, Closed)] == [1002]
    assert server.receive(b"\x82\x01x") == []


@pytest.mark.parametrize("length", [1, 125, 126, 0xFFFF, 0x10000])
def test_messages_in_pieces_are_read_as_one(length: int) -> None:
    server, client = WebSocket(), open_client()
    data = bytes(length - 1)
    client.receive_data(b"".join(server.send_pieces(b"\1", data)))
    (frame,) = client.events_received()
    assert isinstance(frame, Frame)
    assert (frame.opcode, frame.fin, bytes(frame.data)) == (Opcode.BINARY, True, b"\1" + data)


def test_a_closed_socket_sends_no_pieces() -> None:
    server = WebSocket()
    server.close()
    assert not server.send_pieces(b"\1", b"late")
