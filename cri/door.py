"""What any request must be before a verb looks at it: text that can be stored, shown and given to the kernel.

It goes by the descriptors of the messages, so that a field which nobody has thought of is held to the
strictest rule: no control characters but the tab, and no more than one string of an execve(2) may have.
Fields that carry a program's own words or paths are named here; they lack only what the kernel cannot take,
the NUL byte. Labels and annotations are the cluster's: they are bounded, and otherwise carried as they are.
"""

import functools
import re
from collections.abc import Mapping
from typing import Any, NamedTuple

from google.protobuf.descriptor import FieldDescriptor
from google.protobuf.message import DecodeError, Message

from api.errors import InvalidArgument

# Of one string of an execve(2), without its NUL (MAX_ARG_STRLEN).
TEXT_LIMIT = 131_071
PATH_LIMIT = 4_095
NAME_LIMIT = 255  # of a part of a path
IDENTIFIER_LIMIT = 1_024
# Of all keys and values of one map; Kubernetes' own limit for annotations is a quarter of it.
MAP_LIMIT = 1 << 20
ITEMS_LIMIT = 4_096

_WORDS = frozenset(
    {"command", "args", "cmd", "value", "username", "password", "auth", "identity_token", "registry_token"}
)
_PATHS = frozenset(
    {
        "container_path",
        "host_path",
        "working_dir",
        "log_path",
        "log_directory",
        "masked_paths",
        "readonly_paths",
        "localhost_ref",
        "image_sub_path",
        "cgroup_parent",
        "seccomp_profile_path",
    }
)
_IDENTIFIERS = frozenset({"name", "namespace", "uid", "hostname", "runtime_handler", "target_id"})
_ITEMS = {"command": None, "args": None, "cmd": None, "envs": None, "supplemental_groups": 65_536}
_CARRIED = frozenset({"labels", "annotations", "label_selector"})
_SECRET = frozenset({"AuthConfig", "KeyValue"})
_CONTROL = re.compile("[\x00-\x08\x0a-\x1f\x7f]")


class BadText(InvalidArgument):
    """A field has characters or a length that nothing can be done with."""


class TooManyItems(InvalidArgument):
    """A field has more entries than any container can need."""


class NotAMessage(InvalidArgument):
    """The bytes of a request are no message of its type."""


class Undecodable:
    """Stands for a request that could not be decoded, so that the caller can be told."""

    def __init__(self, error: str, empty: Message) -> None:
        """``empty`` is a message of the kind, with nothing in it."""
        self.error = error
        self.empty = empty


def decode(kind: type[Message], data: bytes) -> Message | Undecodable:
    """The message, or what stands for one; an exception here would be gRPC's to answer, as INTERNAL."""
    try:
        return kind.FromString(data)
    except DecodeError as error:
        return Undecodable(f"the request is no {kind.DESCRIPTOR.name}: {error}", kind())


def readable(request: Message | Undecodable) -> Message:
    """What can be read of a request: nothing of one that could not be decoded."""
    return request.empty if isinstance(request, Undecodable) else request


def check(request: Message | Undecodable) -> None:
    """
    Raises:
        NotAMessage, BadText, TooManyItems: the message names the field.
    """
    if isinstance(request, Undecodable):
        raise NotAMessage(request.error)
    _message(request, "")


class _Kind(NamedTuple):
    """What must be known of a field, looked up once."""

    name: str
    is_map: bool
    is_message: bool
    is_text: bool
    is_repeated: bool
    items_limit: int | None
    limit: int
    is_path: bool
    is_free: bool
    is_secret: bool


@functools.cache
def _kind(field: FieldDescriptor) -> _Kind:
    name, message = field.name, field.message_type
    owner = field.containing_type
    is_path = name in _PATHS
    return _Kind(
        name=name,
        is_map=message is not None and message.GetOptions().map_entry,
        is_message=field.type == FieldDescriptor.TYPE_MESSAGE,
        is_text=field.type in (FieldDescriptor.TYPE_STRING, FieldDescriptor.TYPE_BYTES),
        is_repeated=field.is_repeated,
        items_limit=_ITEMS.get(name, ITEMS_LIMIT),
        limit=PATH_LIMIT if is_path else IDENTIFIER_LIMIT if name in _IDENTIFIERS else TEXT_LIMIT,
        is_path=is_path,
        is_free=is_path or name in _WORDS,
        is_secret=owner is not None and owner.name in _SECRET,
    )


# Of names and values of maps.
_STRICT = _Kind("", False, False, True, False, None, TEXT_LIMIT, False, False, False)


def _message(message: Message, where: str) -> None:
    for field, value in message.ListFields():
        kind = _kind(field)
        if kind.is_map:
            _map(kind, value, where + kind.name)
        elif not kind.is_repeated:
            _value(kind, value, where, None)
        else:
            if kind.items_limit is not None and len(value) > kind.items_limit:
                raise TooManyItems(f"{where}{kind.name} has {len(value)} items, more than {kind.items_limit}")
            if kind.is_text or kind.is_message:
                for number, item in enumerate(value):
                    _value(kind, item, where, number)


def _value(kind: _Kind, value: Any, where: str, number: int | None) -> None:
    if kind.is_text:
        if not _is_plain(kind, value):
            _text(kind, value, _place(kind, where, number))
    elif kind.is_message:
        _message(value, f"{_place(kind, where, number)}.")


def _place(kind: _Kind, where: str, number: int | None) -> str:
    return f"{where}{kind.name}" if number is None else f"{where}{kind.name}[{number}]"


def _map(kind: _Kind, entries: Mapping[str, str], name: str) -> None:
    if len(entries) > ITEMS_LIMIT:
        raise TooManyItems(f"{name} has {len(entries)} entries, more than {ITEMS_LIMIT}")
    size = sum(len(key) + len(value) for key, value in entries.items())
    if size > MAP_LIMIT:
        raise BadText(f"{name} has {size} characters, more than {MAP_LIMIT}")
    if kind.name not in _CARRIED:
        for key, value in entries.items():
            _text(_STRICT, key, f"{name}: a name")
            _text(_STRICT, value, f"{name}: {shown(key)}")


def _is_plain(kind: _Kind, value: str | bytes) -> bool:
    """Whether a short look shows that all is well, as it nearly always does: four bytes are a character's
    most."""
    return (
        isinstance(value, str)
        and len(value) * 4 <= (NAME_LIMIT if kind.is_path else kind.limit)
        and value.isprintable()
    )


def _text(kind: _Kind, value: str | bytes, place: str) -> None:
    size = len(value if isinstance(value, bytes) else value.encode())
    words = "" if kind.is_secret else f" {shown(value)}"
    if size > kind.limit:
        raise BadText(f"{place}{words}: {size} bytes, more than {kind.limit}")
    if isinstance(value, bytes):
        return
    if kind.is_path and any(len(part.encode()) > NAME_LIMIT for part in value.split("/")):
        raise BadText(f"{place}{words}: a part is longer than {NAME_LIMIT} bytes")
    if "\0" in value:
        raise BadText(f"{place}{words} contains a NUL byte")
    if not kind.is_free and (found := _CONTROL.search(value)):
        raise BadText(f"{place}{words} contains the control character {found.group()!r}")


def shown(value: str | bytes, limit: int = 80) -> str:
    """A value for an error's text: quoted, its control characters escaped, and not at length."""
    return repr(value) if len(value) <= limit else f"{value[:limit]!r}…"
