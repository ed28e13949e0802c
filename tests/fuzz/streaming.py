"""Fuzz targets of the streaming protocols.

    python -m tests.fuzz.streaming [--seconds 60] [--seed 1] [target …]

A target turns bytes into what a receiver made of them. It must never raise, and where the bytes are
cut must not matter: every input is given whole and in random pieces, and both must tell the same.
"""

import argparse
import random
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Sequence

from websockets.client import ClientProtocol
from websockets.protocol import State
from websockets.uri import parse_uri

from cri.streaming.backend import Streams
from cri.streaming.http_head import HeadReader, Refused
from cri.streaming.portforward import PortForward, Received
from cri.streaming.portforward_websocket import WebSocketForward
from cri.streaming.remotecommand import StdinReceived
from cri.streaming.remotecommand_spdy import SpdyCommand
from cri.streaming.remotecommand_websocket import WebSocketCommand
from cri.streaming.resize import ResizeReader
from cri.streaming.spdy import Connection
from cri.streaming.spdy_events import DataReceived
from cri.streaming.websocket import WebSocket

Target = Callable[[Sequence[bytes]], object]

_ALL = Streams(stdin=True, stdout=True, tty=True)
_LONGEST_INPUT_BYTES = 4096


Machine = Connection | SpdyCommand | PortForward | WebSocketForward | WebSocketCommand


def _events(machine: Machine, pieces: Sequence[bytes]) -> Iterator[object]:
    """All that it tells, turn by turn."""
    for piece in pieces:
        yield from machine.receive(piece)
        while machine.unread:
            yield from machine.receive(b"")


def spdy(pieces: Sequence[bytes]) -> object:
    """A SPDY connection: events with their data joined, and the answers."""
    connection = Connection()
    return _joined(_events(connection, pieces)), connection.data_to_send()


def command(pieces: Sequence[bytes]) -> object:
    """Remote command over SPDY."""
    machine = SpdyCommand(_ALL, 4)
    return _joined(_events(machine, pieces))


def forward(pieces: Sequence[bytes]) -> object:
    """Port-forward over SPDY."""
    machine = PortForward()
    return _joined(_events(machine, pieces))


def forward_channels(pieces: Sequence[bytes]) -> object:
    """Port-forward over WebSocket."""
    machine = WebSocketForward(WebSocket(largest_message_bytes=2048), (80, 8080), "v4.channel.k8s.io")
    return _joined(_events(machine, pieces)), machine.data_to_send()


def websocket(pieces: Sequence[bytes]) -> object:
    """Remote command over WebSocket."""
    machine = WebSocketCommand(WebSocket(largest_message_bytes=2048), _ALL, "v5.channel.k8s.io")
    return _joined(_events(machine, pieces)), machine.data_to_send()


def head(pieces: Sequence[bytes]) -> object:
    """The HTTP head; a refusal is an answer."""
    reader = HeadReader()
    try:
        for piece in pieces:
            if (read := reader.receive(piece)) is not None:
                return read
    except Refused as refusal:
        return refusal.status, bool(reader.refuse(refusal))
    return None


def resize(pieces: Sequence[bytes]) -> object:
    """The resize stream."""
    reader = ResizeReader()
    return [size for piece in pieces for size in reader.receive(piece)]


def _joined(events: Iterable[object]) -> list[object]:
    """Events, with neighbouring pieces of one stream's data made one and its end told apart."""
    whole: list[object] = []
    for event in events:
        key, data = _data_of(event)
        if key is None:
            whole.append(event)
        elif whole and isinstance(whole[-1], tuple) and whole[-1][0] == key:
            whole[-1] = (key, whole[-1][1] + data)
        elif data:
            whole.append((key, data))
        if isinstance(event, DataReceived) and event.ended:
            whole.append(f"stream {event.stream_id} ended")
    return whole


def _data_of(event: object) -> tuple[object, bytes]:
    match event:
        case DataReceived(stream_id, data):
            return stream_id, data
        case StdinReceived(data):
            return "stdin", data
        case Received(key, data):
            return key, data
    return None, b""


def seeds(name: str) -> list[bytes]:
    """Well-formed conversations to start from."""
    if name == "head":
        return [
            b"GET /exec/t HTTP/1.1\r\nHost: n\r\nConnection: Upgrade\r\nUpgrade: SPDY/3.1\r\n\r\n\x80\x03"
        ]
    if name == "resize":
        return [b'{"Width":80,"Height":24}\n{"Width":1,"Height":2}']
    if name in ("websocket", "forward_channels"):
        return [_websocket_conversation()]
    kinds = ("error", "data") if name == "forward" else ("error", "resize", "stdout", "stdin")
    return [_spdy_conversation(*kinds)]


def _websocket_conversation() -> bytes:
    client = ClientProtocol(parse_uri("ws://n/"), state=State.OPEN)
    client.send_binary(b"\0in")
    client.send_ping(b"p")
    client.send_binary(b'\4{"Width":80,"Height":24}')
    client.send_binary(b"\xff\0")
    client.send_close(1000)
    return b"".join(client.data_to_send())


def _spdy_conversation(*kinds: str) -> bytes:
    client, wire, stream = Connection(client=True), b"", 0
    for kind in kinds:
        stream, data = client.open_stream({"streamtype": (kind,), "port": ("80",), "requestid": ("0",)})
        wire += data
    wire += client.send_data(stream, b"some input") + client.ping()[1]
    wire += client.send_headers(stream, {"more": ("x",)})
    return wire + client.send_data(stream, b"the end", end=True) + client.goaway()


def mutate(data: bytes, chance: random.Random) -> bytes:
    """A few small changes: bytes flipped, cut out, doubled, made extreme."""
    changed = bytearray(data)
    for _ in range(chance.randint(1, 4)):
        at = chance.randrange(len(changed) + 1)
        end = min(len(changed), at + chance.randint(1, 16))
        match chance.randrange(5):
            case 0:
                changed[at:end] = changed[at:end] * 2
            case 1:
                del changed[at:end]
            case 2:
                changed[at:end] = chance.randbytes(end - at)
            case 3:
                changed[at : at + 1] = bytes([chance.choice((0, 1, 0x7F, 0x80, 0xFF))])
            case _:
                changed[at:at] = chance.randbytes(chance.randint(1, 8))
    return bytes(changed[:_LONGEST_INPUT_BYTES])


def pieces_of(data: bytes, chance: random.Random) -> list[bytes]:
    """The same bytes, cut at random."""
    cuts = sorted(chance.randrange(len(data) + 1) for _ in range(chance.randint(1, 8)))
    return [data[start:end] for start, end in zip([0, *cuts], [*cuts, len(data)], strict=True)]


TARGETS: dict[str, Target] = {
    "spdy": spdy,
    "command": command,
    "forward": forward,
    "forward_channels": forward_channels,
    "websocket": websocket,
    "head": head,
    "resize": resize,
}


def fuzz(name: str, chance: random.Random, *, rounds: int, until: float = float("inf")) -> int:
    """Mutate and try; how many inputs were tried. An AssertionError carries the input that tells twice."""
    target, corpus = TARGETS[name], seeds(name)
    for done in range(rounds):
        if time.monotonic() >= until:
            return done
        data = mutate(chance.choice(corpus), chance)
        whole, cut = target([data]), target([piece for piece in pieces_of(data, chance) if piece])
        assert whole == cut, f"{name} depends on where its input is cut: {data.hex()}"
        if len(corpus) < 200 and chance.random() < 0.05:
            corpus.append(data)
    return rounds


def main() -> int:
    """Run the targets for a while."""
    parser = argparse.ArgumentParser(description=main.__doc__)
    parser.add_argument("targets", nargs="*", default=list(TARGETS), metavar="target")
    parser.add_argument("--seconds", type=float, default=60.0)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    for name in options.targets:
        until = time.monotonic() + options.seconds / len(options.targets)
        tried = fuzz(name, random.Random(options.seed), rounds=sys.maxsize, until=until)
        print(f"{name}: {tried} inputs")
    return 0


if __name__ == "__main__":
    sys.exit(main())
