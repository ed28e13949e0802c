"""The types of configuration values, and their reading from TOML.

A value is converted by the type that the schema gives its key. Lists become tuples, tables become
read-only mappings, and texts with a form of their own become frozen values here, once.
"""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from types import MappingProxyType, NoneType, UnionType
from typing import Any, Literal, NewType, Self, get_args, get_origin

from api.errors import InvalidArgument

Seconds = NewType("Seconds", float)  # written as a number of seconds or as "1h30m", "500ms"
Port = NewType("Port", int)  # written as a number or as text, since CRI-O has both

_UNITS_S = {"h": 3600.0, "m": 60.0, "s": 1.0, "ms": 1e-3, "us": 1e-6, "µs": 1e-6, "ns": 1e-9}
_DURATION_PART = re.compile(r"(\d+(?:\.\d+)?)(h|ms|m|us|µs|ns|s)")
_ULIMIT_NAME = re.compile(r"[a-z]+")
_PERMISSIONS = re.compile(r"(?!.*(.).*\1)[rwm]{1,3}")


class WrongValue(InvalidArgument):
    """A value has another type or form than its key takes."""


@dataclass(frozen=True, slots=True)
class Ulimit:
    """A resource limit for containers; ``name`` without RLIMIT_, in lower case; -1 is unlimited."""

    name: str
    soft: int
    hard: int

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read ``nofile=1024:2048``, or ``nofile=1024`` for both.

        Raises:
            WrongValue: ``text`` has another form, or soft is above hard.
        """
        name, _, limits = text.lower().partition("=")
        name = name.removeprefix("rlimit_")
        soft, colon, hard = limits.partition(":")
        try:
            parsed = cls(name, int(soft), int(hard if colon else soft))
        except ValueError:
            raise WrongValue(f'expected "name=soft:hard" such as "nofile=1024:2048", got "{text}"') from None
        if not _ULIMIT_NAME.fullmatch(name) or min(parsed.soft, parsed.hard) < -1:
            raise WrongValue(f'expected "name=soft:hard" with numbers from -1, got "{text}"')
        if parsed.hard != -1 and (parsed.soft == -1 or parsed.soft > parsed.hard):
            raise WrongValue(f'the soft limit of "{text}" is above the hard one')
        return parsed

    def __str__(self) -> str:
        return f"{self.name}={self.soft}:{self.hard}"


@dataclass(frozen=True, slots=True)
class DeviceRule:
    """A device of the node for containers; ``permissions`` is made of "r", "w" and "m"."""

    host_path: Path
    container_path: Path
    permissions: str = "rwm"

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read ``/dev/host[:/dev/container][:permissions]``.

        Raises:
            WrongValue: ``text`` has another form.
        """
        host, *rest = text.split(":")
        container = rest.pop(0) if rest and rest[0].startswith("/") else host
        permissions = rest.pop(0) if rest else "rwm"
        if rest or not host.startswith("/") or not _PERMISSIONS.fullmatch(permissions):
            raise WrongValue(f'expected "/dev/host[:/dev/container][:rwm]", got "{text}"')
        return cls(Path(host), Path(container), permissions)

    def __str__(self) -> str:
        return f"{self.host_path}:{self.container_path}:{self.permissions}"


@dataclass(frozen=True, slots=True)
class Assignment:
    """A ``name=value`` pair: a sysctl or an environment variable."""

    name: str
    value: str

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read ``name=value``; the value may hold further equals signs and be empty.

        Raises:
            WrongValue: There is no equals sign, or no name before it, or a NUL character.
        """
        name, equals, value = text.partition("=")
        if not equals or not name.strip() or "\0" in text:
            raise WrongValue(f'expected "name=value", got "{text}"')
        return cls(name.strip(), value)

    def __str__(self) -> str:
        return f"{self.name}={self.value}"


def parse_duration(text: str) -> Seconds:
    """Read ``1h30m``, ``0.5s`` or a bare number of seconds; an empty text is zero.

    Raises:
        WrongValue: ``text`` has another form.
    """
    try:
        if not text or re.fullmatch(r"\d+(\.\d+)?", text):
            return Seconds(float(text or 0))
        parts = _DURATION_PART.findall(text)
        if "".join(number + unit for number, unit in parts) != text:
            raise ValueError(text)
    except ValueError:
        raise WrongValue(f'expected a duration such as "30s" or "1h30m", got "{text}"') from None
    return Seconds(sum(float(number) * _UNITS_S[unit] for number, unit in parts))


def closest(word: str, known: Sequence[str]) -> str:
    """The known word that is most like this one, or nothing."""
    from difflib import get_close_matches  # for errors alone

    return next(iter(get_close_matches(word, known, n=1, cutoff=0.6)), "")


def nearest(word: str, known: Sequence[str]) -> str:
    """``; did you mean X?`` with that word, or nothing."""
    close = closest(word, known)
    return f'; did you mean "{close}"?' if close else ""


def convert(kind: Any, raw: object) -> Any:
    """Turn what TOML gave into a value of the schema's type ``kind``.

    Raises:
        WrongValue: With what was expected and what was found.
    """
    origin = get_origin(kind)
    if origin is Literal:
        return _choice(get_args(kind), raw)
    if origin is UnionType:  # only "X | None" occurs: an empty text stands for None
        (inner,) = [each for each in get_args(kind) if each is not NoneType]
        return None if raw == "" else convert(inner, raw)
    if origin is tuple:
        return _sequence(get_args(kind)[0], raw)
    if origin is Mapping:
        return _table(get_args(kind)[1], raw)
    return _SCALARS[kind](raw)


def _got(raw: object) -> str:
    names = {
        bool: "a boolean",
        int: "a number",
        float: "a number",
        str: "a text",
        list: "a list",
        dict: "a table",
    }
    kind = names.get(type(raw), f"a {type(raw).__name__}")
    shown = {True: "true", False: "false"}[raw] if isinstance(raw, bool) else repr(raw).replace("'", '"')
    return f"got {kind}, {shown if len(shown) <= 60 else shown[:57] + '...'}"


def _exact(kind: type[Any], name: str, raw: object) -> Any:
    if type(raw) is not kind:  # bool is a subclass of int, and must not pass for one
        raise WrongValue(f"expected {name}, {_got(raw)}")
    return raw


def _path(raw: object) -> Path:
    text = _exact(str, "a path", raw)
    if not text:
        raise WrongValue("expected a path, got an empty text")
    return Path(text)


def _seconds(raw: object) -> Seconds:
    if isinstance(raw, str):
        return parse_duration(raw)
    if isinstance(raw, bool) or not isinstance(raw, int | float):
        raise WrongValue(f'expected seconds or a duration such as "30s", {_got(raw)}')
    return Seconds(float(raw))


def _port(raw: object) -> Port:
    number = int(raw) if isinstance(raw, str) and raw.isascii() and raw.isdigit() else raw
    if isinstance(number, bool) or not isinstance(number, int) or not 0 <= number <= 65535:
        raise WrongValue(f"expected a port from 0 to 65535, {_got(raw)}")
    return Port(number)


def _parsed(parse: Callable[[str], Any], raw: object) -> Any:
    return parse(_exact(str, "a text", raw))


def _choice(choices: tuple[str, ...], raw: object) -> str:
    if raw in choices:
        return str(raw)
    listed = ", ".join(f'"{each}"' for each in choices)
    hint = nearest(raw, list(choices)) if isinstance(raw, str) else ""
    raise WrongValue(f"expected one of {listed}, {_got(raw)}{hint}")


def _sequence(kind: Any, raw: object) -> tuple[Any, ...]:
    return tuple(convert(kind, each) for each in _exact(list, "a list", raw))


def _table(kind: Any, raw: object) -> Mapping[str, Any]:
    table = _exact(dict, "a table", raw)
    return MappingProxyType({key: convert(kind, value) for key, value in table.items()})


_SCALARS: Mapping[Any, Callable[[object], Any]] = {
    bool: partial(_exact, bool, "true or false"),
    int: partial(_exact, int, "a whole number"),
    str: partial(_exact, str, "a text"),
    Path: _path,
    Seconds: _seconds,
    Port: _port,
    Ulimit: partial(_parsed, Ulimit.parse),
    DeviceRule: partial(_parsed, DeviceRule.parse),
    Assignment: partial(_parsed, Assignment.parse),
}
