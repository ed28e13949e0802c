"""D-Bus messages as bytes (D-Bus specification, Message Protocol); pure, standard library only.

Little-endian only when writing, both when reading. Values are Python's: an array is a list, one of bytes
(``ay``) is bytes, a structure is a tuple, a variant is (signature, value), a dictionary is a dict.
"""

import struct
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from api.errors import Unavailable

METHOD_CALL = 1
METHOD_RETURN = 2
ERROR = 3
SIGNAL = 4
LARGEST_MESSAGE = 1 << 27
FIXED_HEADER = 16

_PATH, _INTERFACE, _MEMBER, _ERROR_NAME, _REPLY_SERIAL, _DESTINATION, _SENDER, _SIGNATURE = range(1, 9)
_NUMBERS = {"y": "B", "n": "h", "q": "H", "i": "i", "u": "I", "x": "q", "t": "Q", "d": "d", "h": "I"}
_DEEPEST = 64


class BadMessage(ValueError):
    """Bytes that are no message of D-Bus, or a value that its signature cannot have."""


class BusUnavailable(Unavailable):
    """The bus does not answer."""


class CallFailed(Exception):
    """The other side answered with an error; for the caller to give it a meaning.

    Attributes:
        name: The error's name, such as org.freedesktop.systemd1.NoSuchUnit.
        words: What the other side says.
    """

    def __init__(self, name: str, words: str) -> None:
        super().__init__(f"{name}: {words}")
        self.name = name
        self.words = words


@dataclass(frozen=True, slots=True)
class Message:
    """One message; of the header what is needed."""

    kind: int
    serial: int
    body: tuple[Any, ...] = ()
    signature: str = ""
    path: str = ""
    interface: str = ""
    member: str = ""
    destination: str = ""
    error_name: str = ""
    reply_serial: int = 0

    def encode(self) -> bytes:
        """Raises BadMessage: a value does not fit its signature."""
        writer = _Writer()
        for signature, value in zip(split(self.signature), self.body, strict=True):
            writer.put(signature, value)
        header = _Writer()
        header.put("y", ord("l"))
        for value in (self.kind, 0, 1):
            header.put("y", value)
        header.put("u", len(writer.data))
        header.put("u", self.serial)
        header.put("a(yv)", [(code, (kind, value)) for code, kind, value in self._fields() if value])
        header.align(8)
        return bytes(header.data + writer.data)

    def _fields(self) -> Sequence[tuple[int, str, str | int]]:
        return (
            (_PATH, "o", self.path),
            (_INTERFACE, "s", self.interface),
            (_MEMBER, "s", self.member),
            (_ERROR_NAME, "s", self.error_name),
            (_REPLY_SERIAL, "u", self.reply_serial),
            (_DESTINATION, "s", self.destination),
            (_SIGNATURE, "g", self.signature),
        )


def size(start: bytes) -> int:
    """How long the message is that begins with these FIXED_HEADER bytes.

    Raises:
        BadMessage: none does.
    """
    if start[:1] not in (b"l", b"B"):
        raise BadMessage(f"not the start of a message: {start!r}")
    order = "<" if start[:1] == b"l" else ">"
    body, _, fields = struct.unpack_from(f"{order}III", start, 4)
    total = FIXED_HEADER + (fields + 7) // 8 * 8 + body
    if total > LARGEST_MESSAGE:
        raise BadMessage(f"a message of {total} bytes")
    return int(total)


def decode(data: bytes) -> Message:
    """Raises BadMessage: it is none."""
    try:
        return _decoded(data)
    except (struct.error, IndexError, UnicodeDecodeError, KeyError) as error:
        raise BadMessage(f"cannot be read: {error}") from error


def _decoded(data: bytes) -> Message:
    reader = _Reader(data, "<" if data[:1] == b"l" else ">")
    _, kind, _, _ = (reader.take("y") for _ in range(4))
    reader.take("u")
    serial = reader.take("u")
    fields = {code: value for code, (_, value) in reader.take("a(yv)")}
    reader.align(8)
    signature = fields.get(_SIGNATURE, "")
    return Message(
        kind=kind,
        serial=serial,
        body=tuple(reader.take(one) for one in split(signature)),
        signature=signature,
        path=fields.get(_PATH, ""),
        interface=fields.get(_INTERFACE, ""),
        member=fields.get(_MEMBER, ""),
        destination=fields.get(_DESTINATION, ""),
        error_name=fields.get(_ERROR_NAME, ""),
        reply_serial=fields.get(_REPLY_SERIAL, 0),
    )


def split(signature: str) -> list[str]:
    """The complete types of a signature, one after the other.

    Raises:
        BadMessage: it is none.
    """
    found, place = [], 0
    while place < len(signature):
        end = _end(signature, place, 0)
        found.append(signature[place:end])
        place = end
    return found


def _end(signature: str, place: int, depth: int) -> int:
    """Where the type that begins at ``place`` ends."""
    if place >= len(signature) or depth > _DEEPEST:
        raise BadMessage(f"signature {signature!r}")
    letter = signature[place]
    if letter == "a":
        return _end(signature, place + 1, depth + 1)
    if letter in "({":
        closing, place = {"(": ")", "{": "}"}[letter], place + 1
        while signature[place : place + 1] != closing:
            place = _end(signature, place, depth + 1)
        return place + 1
    if letter not in _NUMBERS and letter not in "bsogv":
        raise BadMessage(f"signature {signature!r}")
    return place + 1


def _alignment(signature: str) -> int:
    letter = signature[0]
    if letter in "({":
        return 8
    if letter in "gv":
        return 1
    return 4 if letter in "abso" else struct.calcsize(_NUMBERS[letter])


class _Writer:
    def __init__(self) -> None:
        self.data = bytearray()

    def align(self, step: int) -> None:
        self.data += bytes(-len(self.data) % step)

    def put(self, signature: str, value: Any) -> None:
        self.align(_alignment(signature))
        letter = signature[0]
        try:
            if letter in _NUMBERS:
                self.data += struct.pack(f"<{_NUMBERS[letter]}", value)
            elif letter == "b":
                self.data += struct.pack("<I", bool(value))
            elif letter in "so":
                self._text("<I", value)
            elif letter == "g":
                self._text("<B", value)
            else:
                self._put_compound(letter, signature, value)
        except (struct.error, TypeError, ValueError, AttributeError) as error:
            raise BadMessage(f"{value!r} is not a {signature!r}: {error}") from error

    def _put_compound(self, letter: str, signature: str, value: Any) -> None:
        if letter == "v":
            kind, inner = value
            self.put("g", kind)
            self.put(kind, inner)
        elif letter == "a":
            self._array(signature[1:], value)
        else:
            for one, part in zip(split(signature[1:-1]), value, strict=True):
                self.put(one, part)

    def _text(self, count: str, value: str) -> None:
        encoded = value.encode()
        self.data += struct.pack(count, len(encoded)) + encoded + b"\0"

    def _array(self, signature: str, value: Any) -> None:
        place = len(self.data)
        self.data += bytes(4)
        self.align(_alignment(signature))
        start = len(self.data)
        if signature == "y":
            self.data += bytes(value)
        else:
            for one in value.items() if isinstance(value, dict) else value:
                self.put(signature, one)
        struct.pack_into("<I", self.data, place, len(self.data) - start)


class _Reader:
    def __init__(self, data: bytes, order: str) -> None:
        self._data = data
        self._order = order
        self._place = 0
        self._depth = 0

    def align(self, step: int) -> None:
        self._place += -self._place % step

    def take(self, signature: str) -> Any:
        self.align(_alignment(signature))
        letter = signature[0]
        if letter in _NUMBERS:
            return self._number(_NUMBERS[letter])
        if letter == "b":
            return bool(self._number("I"))
        if letter in "so":
            return self._text(self._number("I"))
        if letter == "g":
            return self._text(self._number("B"))
        self._depth += 1
        if self._depth > _DEEPEST:
            raise BadMessage("values within values too deep")
        value = self._take_compound(letter, signature)
        self._depth -= 1
        return value

    def _take_compound(self, letter: str, signature: str) -> Any:
        if letter == "v":
            kinds = split(self.take("g"))
            if len(kinds) != 1:
                raise BadMessage(f"a variant with signature {kinds}")
            return kinds[0], self.take(kinds[0])
        if letter == "a":
            return self._array(signature[1:])
        return tuple(self.take(one) for one in split(signature[1:-1]))

    def _number(self, form: str) -> Any:
        value = struct.unpack_from(self._order + form, self._data, self._place)[0]
        self._place += struct.calcsize(form)
        return value

    def _text(self, length: int) -> str:
        return self._bytes(length + 1)[:-1].decode()

    def _bytes(self, length: int) -> bytes:
        value = self._data[self._place : self._place + length]
        if len(value) != length:
            raise BadMessage("a value goes beyond the message's end")
        self._place += length
        return value

    def _array(self, signature: str) -> Any:
        length = self._number("I")
        self.align(_alignment(signature))
        if signature == "y":
            return self._bytes(length)
        end = self._place + length
        if end > len(self._data):
            raise BadMessage("an array goes beyond the message's end")
        found = []
        while self._place < end:
            found.append(self.take(signature))
        return dict(found) if signature[0] == "{" else found
