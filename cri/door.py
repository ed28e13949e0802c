"""What any request must be before a verb looks at it: text that can be stored, shown and given to the kernel.

It goes by the descriptors of the messages, so that a field which nobody has thought of is held to the
strictest rule: no control characters but the tab, and no more than one string of an execve(2) may have.
Fields that carry a program's own words or paths are named here; they lack only what the kernel cannot take,
the NUL byte. Labels and annotations are the cluster's: they are bounded, and otherwise carried as they are.
"""

import re
from collections.abc import Iterator, Mapping
from typing import Any

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

_WORDS = frozenset({"command", "args", "cmd", "value", "username", "password", "auth"})
_TOKENS = frozenset({"identity_token", "registry_token"})
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

    def __init__(self, error: str) -> None:
        self.error = error


def decode(kind: type[Message], data: bytes) -> Message | Undecodable:
    """The message, or what stands for one; an exception here would be gRPC's to answer, as INTERNAL."""
    try:
        return kind.FromString(data)
    except DecodeError as error:
        return Undecodable(f"the request is no {kind.DESCRIPTOR.name}: {error}")


def check(request: Message | Undecodable) -> None:
    """
    Raises:
        NotAMessage, BadText, TooManyItems: the message names the field.
    """
    if isinstance(request, Undecodable):
        raise NotAMessage(request.error)
    _message(request, "")


def _message(message: Message, where: str) -> None:
    for field, value in message.ListFields():
        name = f"{where}{field.name}"
        if field.message_type is not None and field.message_type.GetOptions().map_entry:
            _map(field, value, name)
        elif field.type == FieldDescriptor.TYPE_MESSAGE:
            for number, item in _items(field, value, name):
                _message(item, f"{number}.")
        elif field.type in (FieldDescriptor.TYPE_STRING, FieldDescriptor.TYPE_BYTES):
            secret = message.DESCRIPTOR.name in _SECRET
            for place, item in _items(field, value, name):
                _text(field.name, item, place, secret=secret)
        elif field.is_repeated:
            _items(field, value, name)


def _items(field: FieldDescriptor, value: Any, name: str) -> Iterator[tuple[str, Any]]:
    """The values with their places."""
    if not field.is_repeated:
        return iter([(name, value)])
    limit = _ITEMS.get(field.name, ITEMS_LIMIT)
    if limit is not None and len(value) > limit:
        raise TooManyItems(f"{name} has {len(value)} items, more than {limit}")
    return ((f"{name}[{number}]", item) for number, item in enumerate(value))


def _map(field: FieldDescriptor, entries: Mapping[str, str], name: str) -> None:
    if len(entries) > ITEMS_LIMIT:
        raise TooManyItems(f"{name} has {len(entries)} entries, more than {ITEMS_LIMIT}")
    size = sum(len(key) + len(value) for key, value in entries.items())
    if size > MAP_LIMIT:
        raise BadText(f"{name} has {size} characters, more than {MAP_LIMIT}")
    if field.name not in _CARRIED:
        for key, value in entries.items():
            _text("", key, f"{name}: a name", secret=False)
            _text("", value, f"{name}: {shown(key)}", secret=False)


def _text(field: str, value: str | bytes, place: str, *, secret: bool) -> None:
    size = len(value if isinstance(value, bytes) else value.encode())
    words = "" if secret else f" {shown(value)}"
    limit = _limit(field)
    if size > limit:
        raise BadText(f"{place}{words}: {size} bytes, more than {limit}")
    if isinstance(value, bytes):
        return
    if field in _PATHS and any(len(part.encode()) > NAME_LIMIT for part in value.split("/")):
        raise BadText(f"{place}{words}: a part is longer than {NAME_LIMIT} bytes")
    if "\0" in value:
        raise BadText(f"{place}{words} contains a NUL byte")
    free = field in _PATHS or field in _WORDS or field in _TOKENS
    if not free and (found := _CONTROL.search(value)):
        raise BadText(f"{place}{words} contains the control character {found.group()!r}")


def _limit(field: str) -> int:
    if field in _PATHS:
        return PATH_LIMIT
    return IDENTIFIER_LIMIT if field in _IDENTIFIERS else TEXT_LIMIT


def shown(value: str | bytes, limit: int = 80) -> str:
    """A value for an error's text: quoted, its control characters escaped, and not at length."""
    return repr(value) if len(value) <= limit else f"{value[:limit]!r}…"
