"""What daemon and streaming process say to each other: JSON, one object a message, with descriptors.

    process ──▶ daemon     take {rid, kind, token} · start {rid, session} · dial {rid, session, port} ·
                           resize {rid, session, width, height} · input_ended {session} ·
                           close {session, kill} · ready {}
    daemon ──▶ process     hello {…} · tls {minimum_version} and memfds · ok {rid, …} and descriptors ·
                           error {rid, message} · ended {session, code | error}

The daemon takes everything that comes from the process as hostile: a message has at most REQUEST_BYTES,
carries no descriptor, and has exactly its fields, of their types and in their ranges; else the process is
replaced.
"""

import json
from dataclasses import MISSING, dataclass, fields
from typing import Any, Final

from api.errors import InvalidArgument

REQUEST_BYTES: Final = 1024
ANSWER_BYTES: Final = 64 * 1024
LONGEST_TEXT: Final = 8 * 1024
_LONGEST_WORD: Final = 128

Json = dict[str, Any]


class BadMessage(InvalidArgument):
    """A message of the streaming process that it cannot have sent in its right mind."""


@dataclass(frozen=True, slots=True)
class Take:
    """Use a token up: what does it stand for?"""

    rid: int
    kind: str
    token: str


@dataclass(frozen=True, slots=True)
class Start:
    """Start the session's process, or join it."""

    rid: int
    session: int


@dataclass(frozen=True, slots=True)
class Dial:
    """Connect to a port of the session's pod."""

    rid: int
    session: int
    port: int


@dataclass(frozen=True, slots=True)
class Resize:
    """Give the session's terminal a size."""

    rid: int
    session: int
    width: int
    height: int


@dataclass(frozen=True, slots=True)
class InputEnded:
    """The client's input is over and its descriptor closed."""

    session: int


@dataclass(frozen=True, slots=True)
class Close:
    """The session is over; ``kill`` ends its process."""

    session: int
    kill: bool = False


@dataclass(frozen=True, slots=True)
class Ready:
    """The process takes clients."""


Request = Take | Start | Dial | Resize | InputEnded | Close | Ready

_OPERATIONS: Final[dict[str, type[Request]]] = {
    "take": Take,
    "start": Start,
    "dial": Dial,
    "resize": Resize,
    "input_ended": InputEnded,
    "close": Close,
    "ready": Ready,
}
_NAMES: Final = {kind: name for name, kind in _OPERATIONS.items()}
_HIGHEST: Final = {"port": 0xFFFF, "width": 0xFFFF, "height": 0xFFFF}
_LARGEST_NUMBER: Final = 2**53


def encode(message: Json) -> bytes:
    """The bytes of a message."""
    return json.dumps(message, separators=(",", ":")).encode()


def encode_request(request: Request) -> bytes:
    """The bytes of a request."""
    values = {each.name: getattr(request, each.name) for each in fields(request)}
    return encode({"op": _NAMES[type(request)], **values})


def decode_request(data: bytes) -> Request:
    """Read what the streaming process says.

    Raises:
        BadMessage: it is no request, field by field.
    """
    try:
        message = json.loads(data)
    except (ValueError, RecursionError):
        raise BadMessage("not JSON") from None
    if not isinstance(message, dict):
        raise BadMessage("not an object")
    operation = message.pop("op", None)
    kind = _OPERATIONS.get(operation) if isinstance(operation, str) else None
    if kind is None:
        raise BadMessage("no such operation")
    values = {
        each.name: _checked(each.name, each.type, message.pop(each.name, each.default))
        for each in fields(kind)
    }
    if message:
        raise BadMessage("fields that nobody knows")
    return kind(**values)


def _checked(name: str, kind: object, value: Any) -> Any:
    """A field's value, of its type and in its range."""
    if value is MISSING or type(value) is not kind:
        raise BadMessage(f"{name} is absent or of another type")
    if kind is int and not 0 < value <= _HIGHEST.get(name, _LARGEST_NUMBER):
        raise BadMessage(f"{name} is out of range")
    if kind is str and not (0 < len(value) <= _LONGEST_WORD and value.isascii()):
        raise BadMessage(f"{name} is empty, too long or not ASCII")
    return value


def decode(data: bytes) -> Json:
    """Read what the daemon says, which is believed.

    Raises:
        BadMessage: not a JSON object.
    """
    try:
        message = json.loads(data)
    except ValueError:
        raise BadMessage("not JSON") from None
    if not isinstance(message, dict):
        raise BadMessage("not an object")
    return message
