import json

import pytest

from cri.streaming.backend import Streams
from cri.streaming.remotecommand import (
    Channel,
    ClientLeft,
    Event,
    OutputRefused,
    Ready,
    Resized,
    StdinEnded,
    StdinReceived,
)
from cri.streaming.remotecommand_spdy import SpdyCommand
from cri.streaming.resize import Size
from cri.streaming.spdy import Connection
from cri.streaming.spdy_events import DataReceived, GoAwayReceived, StreamAccepted, StreamReset
from cri.streaming.spdy_frames import ResetStatus
from cri.streaming.status import Exited

ALL = Streams(stdin=True, stdout=True, stderr=True)
TERMINAL = Streams(stdin=True, stdout=True, tty=True)


def client_with(*names: str) -> tuple[Connection, dict[str, int], bytes]:
    client, ids, wire = Connection(client=True), {}, b""
    for name in names:
        ids[name], data = client.open_stream({"streamType": (name,)})
        wire += data
    return client, ids, wire


def test_ready_comes_with_the_last_stream_and_every_stream_is_accepted() -> None:
    client, ids, _ = client_with()
    command = SpdyCommand(ALL, 4)
    for name in ("error", "stdin", "stdout", "stderr"):
        ids[name], data = client.open_stream({"streamType": (name,)})
        assert command.receive(data) == ([Ready()] if name == "stderr" else [])
        assert client.receive(command.data_to_send()) == [StreamAccepted(ids[name], {})]


@pytest.mark.parametrize("version", [0, 1, 2])
def test_before_version_3_a_terminal_has_no_resize_stream(version: int) -> None:
    _, _, wire = client_with("error", "stdin", "stdout")
    assert SpdyCommand(TERMINAL, version).receive(wire) == [Ready()]


@pytest.mark.parametrize("version", [3, 4, 5])
def test_from_version_3_on_a_terminal_waits_for_its_resize_stream(version: int) -> None:
    client, ids, wire = client_with("error", "stdin", "stdout", "resize")
    command = SpdyCommand(TERMINAL, version)
    assert command.receive(wire) == [Ready()]
    sent = client.send_data(ids["resize"], b'{"Width":80,"Height":24}\n')
    assert command.receive(sent) == [Resized(Size(80, 24))]


def test_stdin_and_its_end_arrive_even_before_all_streams() -> None:
    client, ids, wire = client_with("stdin")
    command = SpdyCommand(ALL, 4)
    assert command.receive(wire + client.send_data(ids["stdin"], b"in")) == [StdinReceived(b"in")]
    assert command.receive(client.send_data(ids["stdin"], b"!", end=True)) == [
        StdinReceived(b"!"),
        StdinEnded(),
    ]


def test_a_stdin_that_is_opened_ended_or_reset_is_over() -> None:
    client = Connection(client=True)
    _, data = client.open_stream({"streamType": ("stdin",)}, end=True)
    assert SpdyCommand(ALL, 4).receive(data) == [StdinEnded()]
    client, ids, wire = client_with("stdin")
    assert SpdyCommand(ALL, 4).receive(wire + client.reset(ids["stdin"])) == [StdinEnded()]


@pytest.mark.parametrize("name", ["stdin", "resize", "data", "", "STDOUT"])
def test_a_stream_that_was_not_asked_for_is_refused_alone(name: str) -> None:
    client, ids, wire = client_with(name, "error", "stdout")
    command = SpdyCommand(Streams(stdout=True), 4)
    assert command.receive(wire) == [Ready()]
    assert StreamReset(ids[name], ResetStatus.REFUSED_STREAM) in client.receive(command.data_to_send())


def test_a_second_stream_of_one_kind_is_refused() -> None:
    client, _, wire = client_with("stdout")
    second, data = client.open_stream({"streamType": ("stdout",)})
    command = SpdyCommand(ALL, 4)
    assert command.receive(wire + data) == []
    assert StreamReset(second, ResetStatus.REFUSED_STREAM) in client.receive(command.data_to_send())


def test_a_client_may_refuse_an_output_and_stay() -> None:
    client, ids, wire = client_with("error", "stdin", "stdout", "stderr")
    command = SpdyCommand(ALL, 4)
    command.receive(wire)
    events: list[Event] = [OutputRefused(Channel.STDOUT)]
    assert command.receive(client.reset(ids["stdout"])) == events
    assert not command.send_output(Channel.STDOUT, b"x")
    assert command.send_output(Channel.STDERR, b"x")


def test_output_status_and_ends_reach_the_client_in_this_order() -> None:
    client, ids, wire = client_with("error", "stdin", "stdout", "stderr")
    command = SpdyCommand(ALL, 4)
    command.receive(wire)
    sent = command.data_to_send() + b"".join(command.send_output(Channel.STDOUT, b"out"))
    sent += b"".join(command.send_output(Channel.STDERR, b"err")) + command.finish(Exited(7))
    events = [event for event in client.receive(sent) if not isinstance(event, StreamAccepted)]
    status = next(
        event.data for event in events if isinstance(event, DataReceived) and event.stream_id == ids["error"]
    )
    assert json.loads(status)["details"]["causes"] == [{"reason": "ExitCode", "message": "7"}]
    assert events == [
        DataReceived(ids["stdout"], b"out"),
        DataReceived(ids["stderr"], b"err"),
        DataReceived(ids["stdout"], b"", True),
        DataReceived(ids["stderr"], b"", True),
        DataReceived(ids["error"], status, True),
        DataReceived(ids["stdin"], b"", True),
        GoAwayReceived(ids["stderr"], 0),
    ]


def test_a_client_that_breaks_spdy_has_left() -> None:
    command = SpdyCommand(ALL, 4)
    events = command.receive(b"\x80\x02garbage")
    assert len(events) == 1
    assert isinstance(events[0], ClientLeft)
    assert command.data_to_send()
