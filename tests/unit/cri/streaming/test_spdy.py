import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cri.streaming import spdy_frames as frames
from cri.streaming.frame_budget import FRAMES_PER_TURN, FrameBudget
from cri.streaming.spdy import Connection, Limits
from cri.streaming.spdy_events import (
    ConnectionFailed,
    DataReceived,
    Event,
    GoAwayReceived,
    HeadersReceived,
    PongReceived,
    StreamAccepted,
    StreamOpened,
    StreamReset,
)
from cri.streaming.spdy_frames import FrameType, GoAwayStatus, ResetStatus
from cri.streaming.spdy_headers import Deflater
from tests.unit.cri.streaming.pairs import deliver, joined

STDIN = {"streamtype": ("stdin",)}


def pair() -> tuple[Connection, Connection]:
    return Connection(client=True), Connection()


def opened() -> tuple[Connection, Connection, int]:
    """Both ends with one stream of the client's, accepted."""
    client, server = pair()
    stream_id, data = client.open_stream(STDIN)
    server.receive(data)
    client.receive(server.reply(stream_id))
    return client, server, stream_id


def conversation() -> tuple[bytes, list[Event]]:
    """Every kind of frame a client sends, and what a server makes of it."""
    client = Connection(client=True)
    first, one = client.open_stream(STDIN)
    second, two = client.open_stream({"streamtype": ("error",)}, end=True)
    sent = [
        one,
        two,
        client.send_data(first, b"hello"),
        client.send_headers(first, {"more": ("a", "b")}),
        client.ping()[1],
        frames.control(FrameType.SETTINGS, bytes(12)),
        frames.control(FrameType.WINDOW_UPDATE, struct.pack(">II", first, 9)),
        client.send_data(first, b"", end=False),
        client.send_data(first, b" world", end=True),
        frames.rst_stream(second, ResetStatus.CANCEL),
        client.goaway(),
    ]
    events: list[Event] = [
        StreamOpened(first, STDIN),
        StreamOpened(second, {"streamtype": ("error",)}, True),
        DataReceived(first, b"hello"),
        HeadersReceived(first, {"more": ("a", "b")}),
        DataReceived(first, b" world", True),
        StreamReset(second, ResetStatus.CANCEL),
        GoAwayReceived(0, GoAwayStatus.OK),
    ]
    return b"".join(sent), events


BYTES, EVENTS = conversation()


@pytest.mark.parametrize("cut", range(len(BYTES) + 1))
def test_every_frame_may_arrive_in_two_pieces(cut: int) -> None:
    server = Connection()
    assert joined(server.receive(BYTES[:cut]) + server.receive(BYTES[cut:])) == EVENTS
    assert server.data_to_send() == frames.ping(1)


def test_every_frame_may_arrive_byte_by_byte() -> None:
    server = Connection()
    events = [event for at in range(len(BYTES)) for event in server.receive(BYTES[at : at + 1])]
    assert joined(events) == EVENTS


def test_a_large_frame_is_handed_on_as_it_comes() -> None:
    client, server, stream_id = opened()
    frame = client.send_data(stream_id, bytes(1 << 20), end=True)
    assert server.receive(frame[:1008]) == [DataReceived(stream_id, bytes(1000))]
    assert server.receive(frame[1008:]) == [DataReceived(stream_id, bytes((1 << 20) - 1000), True)]


# ---- both ends against each other


def test_client_opens_server_accepts_and_both_talk() -> None:
    client, server, stream_id = opened()
    assert deliver(client, server, client.send_data(stream_id, b"ask", end=True)) == [
        DataReceived(stream_id, b"ask", True)
    ]
    assert deliver(server, client, server.send_data(stream_id, b"answer", end=True)) == [
        DataReceived(stream_id, b"answer", True)
    ]


def test_server_may_open_streams_with_even_numbers() -> None:
    client, server = pair()
    stream_id, data = server.open_stream(STDIN)
    assert stream_id == 2
    assert deliver(server, client, data) == [StreamOpened(2, STDIN)]
    assert deliver(client, server, client.reply(2, {"ok": ("1",)}, end=True)) == [
        StreamAccepted(2, {"ok": ("1",)}, True)
    ]


def test_ping_is_answered_and_the_answer_recognized() -> None:
    for asker, answerer in (pair(), pair()[::-1]):
        ping_id, data = asker.ping()
        assert deliver(asker, answerer, data) == []
        assert deliver(answerer, asker) == [PongReceived(ping_id)]
        assert asker.data_to_send() == b""


def test_half_closed_stream_still_carries_the_other_half() -> None:
    client, server, stream_id = opened()
    server.receive(client.send_data(stream_id, b"", end=True))
    for piece in (b"1", b"2"):
        assert deliver(server, client, server.send_data(stream_id, piece)) == [DataReceived(stream_id, piece)]


def test_nothing_is_sent_after_our_end() -> None:
    client, _, stream_id = opened()
    client.send_data(stream_id, b"", end=True)
    assert client.send_data(stream_id, b"late") == b""
    assert client.send_headers(stream_id, STDIN) == b""


def test_reset_closes_both_halves_on_both_ends() -> None:
    client, server, stream_id = opened()
    under_way = client.send_data(stream_id, b"under way")
    reset = server.reset(stream_id)
    assert deliver(client, server, under_way) == []
    assert deliver(server, client, reset) == [StreamReset(stream_id, ResetStatus.CANCEL)]
    assert client.send_data(stream_id, b"late") == b""
    assert server.reset(stream_id) == b""


def test_data_under_way_when_a_stream_is_reset_is_dropped_in_the_middle_of_its_frame() -> None:
    client, server, stream_id = opened()
    frame = client.send_data(stream_id, b"0123456789")
    server.receive(frame[:12])
    server.reset(stream_id)
    assert server.receive(frame[12:]) == []
    assert deliver(client, server, client.ping()[1]) == []
    assert server.data_to_send() == frames.ping(1)


def test_after_goaway_new_streams_are_refused_and_old_ones_go_on() -> None:
    client, server, stream_id = opened()
    assert deliver(server, client, server.goaway()) == [GoAwayReceived(stream_id, GoAwayStatus.OK)]
    late, data = client.open_stream(STDIN)
    assert deliver(client, server, data) == []
    assert deliver(server, client) == [StreamReset(late, ResetStatus.REFUSED_STREAM)]
    assert deliver(client, server, client.send_data(stream_id, b"on")) == [DataReceived(stream_id, b"on")]


def test_streams_beyond_the_limit_are_refused_alone() -> None:
    client, server = Connection(client=True), Connection(limits=Limits(streams=1))
    first, one = client.open_stream(STDIN)
    second, two = client.open_stream(STDIN)
    assert server.receive(one + two) == [StreamOpened(first, STDIN)]
    assert deliver(server, client) == [StreamReset(second, ResetStatus.REFUSED_STREAM)]
    assert deliver(client, server, client.send_data(first, b"x")) == [DataReceived(first, b"x")]


def test_closed_streams_make_room() -> None:
    client, server = Connection(client=True), Connection(limits=Limits(streams=1))
    for _ in range(3):
        stream_id, data = client.open_stream(STDIN, end=True)
        assert server.receive(data) == [StreamOpened(stream_id, STDIN, True)]
        server.send_data(stream_id, b"", end=True)


def test_data_for_a_stream_that_never_was_is_answered_with_a_reset() -> None:
    server = Connection()
    assert server.receive(frames.data(5, b"lost")) == []
    assert server.data_to_send() == frames.rst_stream(5, ResetStatus.INVALID_STREAM)


def test_data_after_the_peers_end_resets_the_stream() -> None:
    client, server, stream_id = opened()
    server.receive(client.send_data(stream_id, b"", end=True))
    assert server.receive(frames.data(stream_id, b"again")) == [
        StreamReset(stream_id, ResetStatus.STREAM_ALREADY_CLOSED)
    ]
    assert server.data_to_send() == frames.rst_stream(stream_id, ResetStatus.STREAM_ALREADY_CLOSED)


# ---- peers that break the protocol

BLOCK = Deflater().pack(STDIN)
BROKEN = {
    "another version": bytes.fromhex("8002 0006 00 000004 00000001"),
    "HTTP": b"\xc7ET / HTTP/1.1\r\n",
    "even stream of a client": frames.syn_stream(2, BLOCK, 0),
    "stream zero": frames.syn_stream(0, BLOCK, 0),
    "oversized control frame": frames.control(FrameType.SETTINGS, b"")[:5] + b"\xff\xff\xff",
    "short SYN_STREAM": frames.control(FrameType.SYN_STREAM, bytes(9)),
    "short PING": frames.control(FrameType.PING, b"\0"),
    "short RST_STREAM": frames.control(FrameType.RST_STREAM, bytes(7)),
    "headers that are no zlib": frames.syn_stream(1, b"no zlib at all", 0),
    "empty header block": frames.syn_stream(1, b"", 0),
}


@pytest.mark.parametrize("data", BROKEN.values(), ids=BROKEN.keys())
def test_a_broken_peer_fails_its_connection(data: bytes) -> None:
    server = Connection()
    events = server.receive(data)
    assert len(events) == 1
    assert isinstance(events[0], ConnectionFailed)
    assert server.data_to_send() == frames.goaway(0, GoAwayStatus.PROTOCOL_ERROR)


def test_what_came_before_the_break_is_delivered_and_nothing_after() -> None:
    client, server = pair()
    stream_id, data = client.open_stream(STDIN)
    events = server.receive(data + BROKEN["short PING"] + client.send_data(stream_id, b"x"))
    assert events[0] == StreamOpened(stream_id, STDIN)
    assert isinstance(events[1], ConnectionFailed)
    assert len(events) == 2
    assert server.receive(client.send_data(stream_id, b"x")) == []


def test_stream_numbers_may_not_go_back() -> None:
    client, server = pair()
    _, one = client.open_stream(STDIN)
    server.receive(one)
    assert isinstance(server.receive(frames.syn_stream(1, Deflater().pack(STDIN), 0))[0], ConnectionFailed)


def test_an_endless_control_frame_is_refused_by_its_head() -> None:
    server = Connection(limits=Limits(control_frame_bytes=100))
    head = frames.control(FrameType.HEADERS, bytes(101))[: frames.HEADER_BYTES]
    assert isinstance(server.receive(head)[0], ConnectionFailed)


def test_unknown_control_frames_are_skipped() -> None:
    assert Connection().receive(frames.control(FrameType.SETTINGS, bytes(20))) == []
    unknown = bytes.fromhex("8003 00ff 00 000003") + b"abc"
    server = Connection()
    assert server.receive(unknown + frames.ping(1)) == []
    assert server.data_to_send() == frames.ping(1)


# ---- properties

OPERATIONS = st.lists(
    st.tuples(st.sampled_from(["open", "data", "end", "ping"]), st.integers(0, 5), st.binary(max_size=60)),
    max_size=25,
)


@given(OPERATIONS, st.lists(st.integers(1, 40), max_size=60))
def test_what_one_end_says_the_other_hears_wherever_it_is_cut(
    operations: list[tuple[str, int, bytes]], cuts: list[int]
) -> None:
    client, server = pair()
    wire, expected, streams = bytearray(), {}, list[int]()
    for kind, number, payload in operations:
        if kind == "open" or not streams:
            stream_id, data = client.open_stream({"n": (str(number),)})
            streams.append(stream_id)
            expected[stream_id] = b""
        elif kind == "ping":
            data = client.ping()[1]
        else:
            stream_id = streams[number % len(streams)]
            data = client.send_data(stream_id, payload, end=kind == "end")
            expected[stream_id] += payload if data else b""
        wire += data
    heard: dict[int, bytes] = {}
    rest = bytes(wire)
    for cut in [*cuts, len(rest)]:
        for event in server.receive(rest[:cut]):
            assert not isinstance(event, ConnectionFailed)
            if isinstance(event, StreamOpened):
                heard[event.stream_id] = b""
            elif isinstance(event, DataReceived):
                heard[event.stream_id] += event.data
        rest = rest[cut:]
    assert heard == expected


@given(st.binary(max_size=300), st.booleans())
def test_any_bytes_give_events_and_at_most_one_failure_at_the_end(data: bytes, client: bool) -> None:
    connection = Connection(client=client)
    events = connection.receive(data)
    failures = [event for event in events if isinstance(event, ConnectionFailed)]
    assert failures == events[-1:] or not failures


@pytest.mark.parametrize("length", [0, 1, 100_000, frames.MAX_PAYLOAD_BYTES, frames.MAX_PAYLOAD_BYTES + 1])
def test_data_in_pieces_is_read_as_one(length: int) -> None:
    client, server, stream_id = opened()
    data = bytes(length)
    events = client.receive(b"".join(server.send_pieces(stream_id, data)))
    got = [event for event in events if isinstance(event, DataReceived)]
    assert b"".join(event.data for event in got) == data
    assert not any(event.ended for event in got)


def test_a_stream_that_has_ended_sends_no_pieces() -> None:
    _, server, stream_id = opened()
    server.send_data(stream_id, b"", end=True)
    assert not server.send_pieces(stream_id, b"late")


SETTINGS, EMPTY_DATA = b"\x80\x03\x00\x04\x00\x00\x00\x00", b"\x00\x00\x00\x01\x00\x00\x00\x00"
PING, RESET = b"\x80\x03\x00\x06\x00\x00\x00\x04\x00\x00\x00\x01", frames.rst_stream(1, 5)


@pytest.mark.parametrize(
    "frame", [SETTINGS, EMPTY_DATA, PING, RESET, frames.control(FrameType.GOAWAY, bytes(8))]
)
def test_a_flood_is_read_turn_by_turn_and_is_a_protocol_error(frame: bytes) -> None:
    server = Connection(budget=FrameBudget(lambda: 0.0, burst=1000, per_second=1))
    _, opened = Connection(client=True).open_stream({"a": ("b",)})
    events, turns = server.receive(opened + frame * 1100), 1
    while server.unread:
        assert len(events) <= FRAMES_PER_TURN
        events = server.receive(b"")
        turns += 1
    assert isinstance(events[-1], ConnectionFailed)
    assert turns >= 1000 // FRAMES_PER_TURN
    assert server.data_to_send().endswith(frames.goaway(1, GoAwayStatus.PROTOCOL_ERROR))


def test_large_headers_use_more_of_the_budget() -> None:
    server = Connection(budget=FrameBudget(lambda: 0.0, burst=100, per_second=1))
    client = Connection(client=True)
    taken = 0
    for number in range(100):
        _, data = client.open_stream({"a": (f"{number}" + "x" * 10_000,)})
        if any(isinstance(event, ConnectionFailed) for event in server.receive(data)):
            break
        taken += 1
    assert taken == 10
