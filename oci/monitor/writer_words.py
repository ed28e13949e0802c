"""The words between the monitor and a log writer that it has forked: one JSON object a message. No I/O here.

    order    {"op": "open", "rid": 7, …fields of Open…}, descriptors beside it
    reply    {"rid": 7}  or  {"rid": 7, "kind": "log_refused", "error": "…"}

Both ends are one program in one version, so nothing is checked.
"""

import json
from typing import Any, NamedTuple


class Open(NamedTuple):
    """Open a container's log, and keep it for its streams; replied. A ``path`` of None: there is no log.

    With ``patient`` a log that cannot be opened now is tried again with every line.
    """

    id: str
    path: str | None
    size_max: int
    rate: int
    patient: bool


class Add(NamedTuple):
    """Read the streams of an opened container: their reading ends come along."""

    id: str
    streams: list[str]


class Reopen(NamedTuple):
    """Open the log anew at its path; replied."""

    id: str


class Attach(NamedTuple):
    """Copy streams to the descriptors that come along, as attachment ``number``."""

    id: str
    number: int
    streams: list[str]


class Detach(NamedTuple):
    """End an attachment."""

    id: str
    number: int


class Drain(NamedTuple):
    """The container has ended: take what is left of its output; replied when it is in the log.

    Nothing is kept of the container then.
    """

    id: str


class Drop(NamedTuple):
    """The container was not created: close its log."""

    id: str


Order = Open | Add | Reopen | Attach | Detach | Drain | Drop
_ORDERS: dict[str, type[Order]] = {
    kind.__name__: kind for kind in (Open, Add, Reopen, Attach, Detach, Drain, Drop)
}


HUNG = "log_hung"  # the kind of a refusal that says: no answer in time


class Refusal(NamedTuple):
    """Why an order was not obeyed: ``kind`` is one of protocol's error kinds."""

    kind: str
    message: str


def encode_order(rid: int, order: Order) -> bytes:
    """The bytes of an order."""
    return json.dumps({"op": type(order).__name__, "rid": rid, **order._asdict()}).encode()


def decode_order(data: bytes) -> tuple[int, Order]:
    """The number and the order."""
    message: dict[str, Any] = json.loads(data)
    kind, rid = _ORDERS[message.pop("op")], message.pop("rid")
    return rid, kind(**message)


def encode_reply(rid: int, refusal: Refusal | None) -> bytes:
    """The bytes of a reply."""
    return json.dumps({"rid": rid} | ({} if refusal is None else refusal._asdict())).encode()


def decode_reply(data: bytes) -> tuple[int, Refusal | None]:
    """The number, and why not."""
    message: dict[str, Any] = json.loads(data)
    refused = "kind" in message
    return message["rid"], Refusal(message["kind"], message["message"]) if refused else None
