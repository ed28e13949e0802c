import pytest

from cri.streaming.backend import Streams
from cri.streaming.remotecommand import SPDY_PROTOCOLS, WEBSOCKET_PROTOCOLS, Channel, version_of, wanted


@pytest.mark.parametrize(
    ("protocol", "version"),
    [
        ("v5.channel.k8s.io", 5),
        ("v4.base64.channel.k8s.io", 4),
        ("v1.channel.k8s.io", 1),
        ("channel.k8s.io", 0),
        ("base64.channel.k8s.io", 0),
        (None, 0),
        ("", 0),
        ("vx.channel.k8s.io", 0),
    ],
)
def test_version_is_the_number_of_the_protocol(protocol: str | None, version: int) -> None:
    assert version_of(protocol) == version


def test_every_protocol_of_the_issue_is_offered() -> None:
    assert [version_of(protocol) for protocol in SPDY_PROTOCOLS] == [5, 4, 3, 2, 1]
    assert {"v4.channel.k8s.io", "v5.channel.k8s.io", "channel.k8s.io"} < set(WEBSOCKET_PROTOCOLS)


@pytest.mark.parametrize(
    ("streams", "version", "channels"),
    [
        (Streams(stdout=True), 4, {"error", "stdout"}),
        (Streams(stdin=True, stdout=True, stderr=True), 4, {"error", "stdin", "stdout", "stderr"}),
        (Streams(stdin=True, stdout=True, tty=True), 4, {"error", "stdin", "stdout", "resize"}),
        (Streams(stdin=True, stdout=True, tty=True), 3, {"error", "stdin", "stdout", "resize"}),
        (Streams(stdin=True, stdout=True, tty=True), 2, {"error", "stdin", "stdout"}),
    ],
)
def test_wanted_streams_follow_from_the_request(streams: Streams, version: int, channels: set[str]) -> None:
    assert wanted(streams, version) == {Channel(name) for name in channels}
