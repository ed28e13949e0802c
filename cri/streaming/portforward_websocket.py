"""Port-forward over the channels of a WebSocket, without I/O: two for each port that the request names.

    0 data of the first port · 1 error · 2 data of the second · 3 error …

Each channel begins with a message of its port, two bytes, little-endian. A port is one TCP connection,
dialled at once. No side can say on a channel that it has sent all: when the pod has, the connection is
over, and after the last one the server closes.
"""

from collections.abc import Sequence
from typing import Final

from cri.streaming.channels import Channels, Said
from cri.streaming.portforward import Event, Left, Received, Requested
from cri.streaming.websocket import Closed, WebSocket

CHANNEL_PROTOCOLS: Final = ("v4.channel.k8s.io", "v4.base64.channel.k8s.io")
MOST_PORTS: Final = 127  # two channels each, numbered by a byte


class WebSocketForward:
    """The server's machine over an accepted WebSocket; implements ForwardProtocol."""

    half_closes = False

    def __init__(self, socket: WebSocket, ports: Sequence[int], protocol: str | None) -> None:
        self._channels = Channels(socket, protocol)
        self._ports = {str(number): port for number, port in enumerate(ports)}  # of those that are not over
        self._begun = False

    def greeting(self) -> bytes:
        """The port of each channel."""
        return b"".join(
            self._channels.send(channel, port.to_bytes(2, "little"))
            for key, port in self._ports.items()
            for channel in (_data(key), _error(key))
        )

    def receive(self, data: bytes) -> list[Event]:
        """What the client's bytes say; the first call, even with none, says that all ports are requested."""
        events: list[Event] = []
        if not self._begun:
            self._begun = True
            events += [Requested(key, port) for key, port in self._ports.items()]
        return events + [event for each in self._channels.receive(data) for event in self._translate(each)]

    @property
    def unread(self) -> bool:
        """Whether ``receive`` has more to read without new bytes."""
        return self._channels.unread

    def data_to_send(self) -> bytes:
        """Pongs and closes."""
        return self._channels.data_to_send()

    def incomplete(self) -> frozenset[str]:
        """None: a channel needs no opening."""
        return frozenset()

    def send(self, key: str, data: bytes) -> bytes:
        """Bytes from the pod."""
        return self._channels.send(_data(key), data) if key in self._ports else b""

    def end(self, key: str) -> bytes:
        """Nothing: only ``finish`` can be told."""
        return b""

    def fail(self, key: str, message: str) -> bytes:
        """Say why on the error channel and drop the connection."""
        if key not in self._ports:
            return b""
        return self._channels.send(_error(key), message.encode()) + self.finish(key)

    def finish(self, key: str) -> bytes:
        """The connection is over; a normal close when it was the last."""
        known = self._ports.pop(key, None) is not None
        return self._channels.close() if known and not self._ports else b""

    def _translate(self, event: Said | Closed) -> list[Event]:
        if isinstance(event, Closed):
            return [Left(f"closed with code {event.code} {event.reason}".rstrip())]
        key = str(event.channel // 2)
        meant = event.channel == _data(key) and key in self._ports and event.data
        return [Received(key, event.data)] if meant else []


def _data(key: str) -> int:
    return 2 * int(key)


def _error(key: str) -> int:
    return 2 * int(key) + 1
