import pytest

from cri.streaming.backend import (
    AttachRequest,
    ExecRequest,
    InvalidStreamRequest,
    PortForwardRequest,
    Stdio,
    Streams,
)


def test_a_checked_request_keeps_what_was_asked() -> None:
    streams = Streams(stdin=True, stdout=True)
    assert ExecRequest.checked("c", ["ls", "-l"], streams) == ExecRequest("c", ("ls", "-l"), streams)
    assert AttachRequest.checked("c", streams) == AttachRequest("c", streams)
    assert PortForwardRequest.checked("p") == PortForwardRequest("p")
    assert PortForwardRequest.checked("p", [1, 65535]) == PortForwardRequest("p", (1, 65535))


def test_an_id_is_needed() -> None:
    with pytest.raises(InvalidStreamRequest, match="container_id"):
        ExecRequest.checked("", ["ls"], Streams(stdout=True))
    with pytest.raises(InvalidStreamRequest, match="container_id"):
        AttachRequest.checked("", Streams(stdout=True))
    with pytest.raises(InvalidStreamRequest, match="pod_sandbox_id"):
        PortForwardRequest.checked("")


@pytest.mark.parametrize("port", [0, -1, 65536])
def test_a_port_is_one_of_tcp(port: int) -> None:
    with pytest.raises(InvalidStreamRequest, match=f"not {port}"):
        PortForwardRequest.checked("p", [80, port])


@pytest.mark.parametrize(
    ("streams", "reason"),
    [
        (Streams(), "one of stdin, stdout and stderr"),
        (Streams(tty=True), "one of stdin, stdout and stderr"),
        (Streams(stdout=True, stderr=True, tty=True), "tty and stderr"),
    ],
)
def test_streams_must_make_sense(streams: Streams, reason: str) -> None:
    with pytest.raises(InvalidStreamRequest, match=reason):
        ExecRequest.checked("c", ["ls"], streams)
    with pytest.raises(InvalidStreamRequest, match=reason):
        AttachRequest.checked("c", streams)


def test_stdio_knows_its_descriptors() -> None:
    assert Stdio(stdin=0, stderr=7).all() == [0, 7]
    assert Stdio(tty=5).all() == [5]
