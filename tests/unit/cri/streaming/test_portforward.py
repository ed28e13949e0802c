import pytest

from cri.streaming import spdy_events as spdy
from cri.streaming.portforward import Aborted, Ended, Event, Left, PortForward, Received, Requested
from cri.streaming.spdy import Connection
from cri.streaming.spdy_frames import ResetStatus


class Client:
    """A port-forward client and its server's machine."""

    def __init__(self) -> None:
        self.connection = Connection(client=True)
        self.server = PortForward()

    def open(self, kind: str, port: str | None = "80", request: str | None = "0") -> tuple[int, list[Event]]:
        headers = {"streamType": (kind,)}
        headers |= {"port": (port,)} if port is not None else {}
        headers |= {"requestID": (request,)} if request is not None else {}
        stream_id, data = self.connection.open_stream(headers)
        return stream_id, self.server.receive(data)

    def hear(self, data: bytes = b"") -> list[spdy.Event]:
        events = self.connection.receive(self.server.data_to_send() + data)
        return [event for event in events if not isinstance(event, spdy.StreamAccepted)]

    def pair(self) -> tuple[int, int]:
        error, _ = self.open("error")
        data, _ = self.open("data")
        return error, data


@pytest.mark.parametrize("kinds", [("error", "data"), ("data", "error")])
def test_a_connection_is_requested_when_both_streams_are_there(kinds: tuple[str, str]) -> None:
    client = Client()
    assert client.open(kinds[0])[1] == []
    assert client.server.incomplete() == {"0"}
    assert client.open(kinds[1])[1] == [Requested("0", 80)]
    assert client.server.incomplete() == frozenset()


def test_old_clients_without_request_ids_are_paired_by_stream_numbers() -> None:
    client = Client()
    for port in ("80", "81"):
        error, _ = client.open("error", port, None)
        assert client.open("data", port, None)[1] == [Requested(str(error), int(port))]


def test_bytes_and_ends_are_told_by_connection() -> None:
    client = Client()
    _, data = client.pair()
    sent = client.connection.send_data(data, b"ask") + client.connection.send_data(data, b"", end=True)
    assert client.server.receive(sent) == [Received("0", b"ask"), Ended("0")]
    assert client.hear(client.server.send("0", b"answer")) == [spdy.DataReceived(data, b"answer")]


def test_the_pods_end_ends_both_streams_and_leaves_the_other_way_open() -> None:
    client = Client()
    error, data = client.pair()
    assert client.hear(client.server.end("0")) == [
        spdy.DataReceived(data, b"", True),
        spdy.DataReceived(error, b"", True),
    ]
    assert client.server.receive(client.connection.send_data(data, b"more")) == [Received("0", b"more")]
    assert client.server.finish("0") == b""


def test_a_failure_is_told_on_its_own_error_stream() -> None:
    client = Client()
    error, data = client.pair()
    client.open("error", "81", "1")
    other = client.open("data", "81", "1")[0]
    assert client.hear(client.server.fail("0", "refused")) == [
        spdy.DataReceived(error, b"refused", True),
        spdy.DataReceived(data, b"", True),
    ]
    assert client.server.receive(client.connection.send_data(data, b"late")) == []
    assert client.server.receive(client.connection.send_data(other, b"on")) == [Received("1", b"on")]
    assert client.server.fail("0", "again") == b""


def test_a_reset_aborts_the_connection() -> None:
    client = Client()
    _, data = client.pair()
    assert client.server.receive(client.connection.reset(data)) == [Aborted("0")]
    assert client.server.send("0", b"late") == b""


@pytest.mark.parametrize("port", [None, "", "0", "65536", "-1", "80x", "8_0", "99999999999", "٨٠"])
def test_a_stream_without_a_port_is_refused(port: str | None) -> None:
    client = Client()
    stream, events = client.open("data", port)
    assert events == []
    assert client.hear() == [spdy.StreamReset(stream, ResetStatus.REFUSED_STREAM)]


@pytest.mark.parametrize("kind", ["", "stdin", "Data"])
def test_a_stream_of_another_type_is_refused(kind: str) -> None:
    client = Client()
    stream, events = client.open(kind)
    assert events == []
    assert client.hear() == [spdy.StreamReset(stream, ResetStatus.REFUSED_STREAM)]


def test_a_second_stream_of_one_kind_or_another_port_is_refused() -> None:
    client = Client()
    client.open("error")
    again, _ = client.open("error")
    other, _ = client.open("data", "81")
    assert client.hear() == [
        spdy.StreamReset(again, ResetStatus.REFUSED_STREAM),
        spdy.StreamReset(other, ResetStatus.REFUSED_STREAM),
    ]
    assert client.open("data")[1] == [Requested("0", 80)]


def test_a_stream_opened_ended_sends_nothing() -> None:
    client = Client()
    client.open("error")
    headers = {"streamType": ("data",), "port": ("80",), "requestID": ("0",)}
    _, data = client.connection.open_stream(headers, end=True)
    assert client.server.receive(data) == [Requested("0", 80), Ended("0")]


def test_a_client_that_breaks_spdy_leaves() -> None:
    client = Client()
    [event] = client.server.receive(b"\x80\x07") + client.server.receive(bytes(20))
    assert isinstance(event, Left)


def test_a_connection_has_a_short_name_or_is_refused() -> None:
    client = Client()
    stream, events = client.open("error", request="x" * 129)
    assert events == []
    assert client.server.incomplete() == frozenset()
    assert client.hear() == [spdy.StreamReset(stream, ResetStatus.REFUSED_STREAM)]


def test_halves_of_connections_are_bounded_and_whole_ones_are_not_counted() -> None:
    client = Client()
    for number in range(300):
        client.open("error", request=f"{number}")
        if number < 100:
            client.open("data", request=f"{number}")
    assert len(client.server.incomplete()) == 200
    for number in range(300, 400):
        client.open("error", request=f"{number}")
    assert len(client.server.incomplete()) == 256
    assert client.open("data", request="100")[1] == [Requested("100", 80)]
    client.server.finish("101")
    assert len(client.server.incomplete()) == 254
