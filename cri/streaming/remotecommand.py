"""The remote command protocol, whichever transport carries it: what both of its machines share.

    waiting ──all streams there──▶ Ready ──finish──▶ done        any time ──▶ ClientLeft

A machine takes bytes and gives events, and frames output and the final status. Versions: 1 to 5 of
``channel.k8s.io``, 0 for what came before numbers. From 3 on there is a resize stream, from 4 on the
status is JSON, from 5 on a WebSocket client can close its stdin.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Protocol

from cri.streaming.backend import Streams
from cri.streaming.resize import Size
from cri.streaming.status import Outcome

SPDY_PROTOCOLS = tuple(f"v{version}.channel.k8s.io" for version in (5, 4, 3, 2, 1))
WEBSOCKET_PROTOCOLS = (
    "v5.channel.k8s.io",
    "v5.base64.channel.k8s.io",
    "v4.channel.k8s.io",
    "v4.base64.channel.k8s.io",
    "channel.k8s.io",
    "base64.channel.k8s.io",
)
FIRST_VERSION_WITH_RESIZE = 3


class Channel(StrEnum):
    """The streams of a remote command by their names on SPDY."""

    STDIN = "stdin"
    STDOUT = "stdout"
    STDERR = "stderr"
    ERROR = "error"
    RESIZE = "resize"


@dataclass(frozen=True, slots=True)
class Ready:
    """Every stream that the request asks for is there; the process may start."""


@dataclass(frozen=True, slots=True)
class StdinReceived:
    """Input for the process; may come before Ready."""

    data: bytes


@dataclass(frozen=True, slots=True)
class StdinEnded:
    """The client's input is over."""


@dataclass(frozen=True, slots=True)
class Resized:
    """The client's terminal has a new size."""

    size: Size


@dataclass(frozen=True, slots=True)
class OutputRefused:
    """The client wants no more of this output, though it stays."""

    channel: Channel


@dataclass(frozen=True, slots=True)
class ClientLeft:
    """The client has closed or broken the connection; always the last event."""

    reason: str


Event = Ready | StdinReceived | StdinEnded | Resized | OutputRefused | ClientLeft


class CommandProtocol(Protocol):
    """One client's remote command, without I/O."""

    def receive(self, data: bytes) -> list[Event]:
        """What the client's bytes say, as far as one turn goes."""

    @property
    def unread(self) -> bool:
        """Whether ``receive`` has more to read without new bytes: let others have a turn, and call it."""

    def data_to_send(self) -> bytes:
        """What the protocol owes the client: replies, pongs. Taken by asking."""

    def send_output(self, channel: Channel, data: bytes) -> Sequence[bytes]:
        """Output of the process, framed, in pieces to be sent in a row; none when the client wants none."""

    def finish(self, outcome: Outcome) -> bytes:
        """The status, the ends of all streams and the farewell."""


def version_of(protocol: str | None) -> int:
    """``v4.base64.channel.k8s.io`` is 4; without a number, or without a protocol at all, 0."""
    first = (protocol or "").partition(".")[0]
    return int(first[1:]) if first[:1] == "v" and first[1:].isdigit() else 0


def wanted(streams: Streams, version: int) -> frozenset[Channel]:
    """The streams a client opens for a request, the error stream among them."""
    channels = {Channel.ERROR}
    if streams.stdin:
        channels.add(Channel.STDIN)
    if streams.stdout:
        channels.add(Channel.STDOUT)
    if streams.stderr and not streams.tty:
        channels.add(Channel.STDERR)
    if streams.tty and version >= FIRST_VERSION_WITH_RESIZE:
        channels.add(Channel.RESIZE)
    return frozenset(channels)
