"""Typed reads of JSON objects; every error names where, which key, and what was expected."""

import ipaddress
import json
from collections.abc import Mapping
from typing import TypeAlias, TypeVar, cast

from cni.errors import NetworkConfigInvalid

Json: TypeAlias = Mapping[str, object]
IpAddress: TypeAlias = ipaddress.IPv4Address | ipaddress.IPv6Address
IpNetwork: TypeAlias = ipaddress.IPv4Network | ipaddress.IPv6Network
IpInterface: TypeAlias = ipaddress.IPv4Interface | ipaddress.IPv6Interface

T = TypeVar("T")


def parse_object(data: bytes, where: str) -> Json:
    """Decode a JSON object.

    Raises:
        NetworkConfigInvalid: not JSON, or not an object.
    """
    try:
        value = json.loads(data)
    except (ValueError, RecursionError) as error:
        raise NetworkConfigInvalid(f"{where}: not JSON: {error}") from error
    if not isinstance(value, dict):
        raise NetworkConfigInvalid(f"{where}: a JSON object is needed, not {_kind(value)}")
    return cast(Json, value)


def string(conf: Json, key: str, where: str) -> str:
    """A string; "" when the key is absent or null."""
    return _typed(conf, key, where, str, "a string") or ""


def boolean_or_text(conf: Json, key: str, where: str) -> bool:
    """A boolean or, for the keys of a list, its text in any case: so specification 0.4.0 writes them."""
    value = conf.get(key)
    if not isinstance(value, str):
        return boolean(conf, key, where)
    if value.lower() not in ("true", "false"):
        raise NetworkConfigInvalid(f"{where}: {key} must be true or false, not {value[:40]!r}")
    return value.lower() == "true"


def boolean(conf: Json, key: str, where: str, default: bool = False) -> bool:
    """A boolean."""
    value = _typed(conf, key, where, bool, "true or false")
    return default if value is None else value


def integer(conf: Json, key: str, where: str) -> int:
    """A whole number; 0 when the key is absent."""
    if isinstance(conf.get(key), bool):
        raise _wrong(conf, key, where, "a whole number")
    return _typed(conf, key, where, int, "a whole number") or 0


def mapping(conf: Json, key: str, where: str) -> Json:
    """An object; empty when the key is absent."""
    value = _typed(conf, key, where, dict, "an object")
    return cast(Json, value) if value is not None else {}


def items(conf: Json, key: str, where: str) -> list[object]:
    """A list; empty when the key is absent."""
    value = _typed(conf, key, where, list, "a list")
    return list(value) if value is not None else []


def strings(conf: Json, key: str, where: str) -> tuple[str, ...]:
    """A list of strings; empty when the key is absent."""
    values = items(conf, key, where)
    if not all(isinstance(value, str) for value in values):
        raise _wrong(conf, key, where, "a list of strings")
    return tuple(cast(list[str], values))


def objects(conf: Json, key: str, where: str) -> list[Json]:
    """A list of objects; empty when the key is absent."""
    values = items(conf, key, where)
    if not all(isinstance(value, dict) for value in values):
        raise _wrong(conf, key, where, "a list of objects")
    return cast(list[Json], values)


def address(text: str, key: str, where: str) -> IpAddress:
    """An IP address, written with or without a prefix length."""
    try:
        return ipaddress.ip_address(text.partition("/")[0])
    except ValueError as error:
        raise NetworkConfigInvalid(f"{where}: {key}: {text!r} is not an IP address") from error


def interface(text: str, key: str, where: str) -> IpInterface:
    """An IP address with its prefix length."""
    try:
        if "/" in text:
            return ipaddress.ip_interface(text)
    except ValueError:
        pass
    raise NetworkConfigInvalid(f"{where}: {key}: {text!r} is not an address with a prefix length")


def network(text: str, key: str, where: str) -> IpNetwork:
    """A network in CIDR notation; host bits are dropped, as Go's ParseCIDR does."""
    try:
        if "/" in text:
            return ipaddress.ip_network(text, strict=False)
    except ValueError:
        pass
    raise NetworkConfigInvalid(f"{where}: {key}: {text!r} is not a network such as 10.85.0.0/16")


def _typed(conf: Json, key: str, where: str, kind: type[T], expected: str) -> T | None:
    value = conf.get(key)
    if value is None:
        return None
    if not isinstance(value, kind):
        raise _wrong(conf, key, where, expected)
    return value


def _wrong(conf: Json, key: str, where: str, expected: str) -> NetworkConfigInvalid:
    return NetworkConfigInvalid(f"{where}: {key} must be {expected}, not {_kind(conf.get(key))}")


def _kind(value: object) -> str:
    names = {
        dict: "an object",
        list: "a list",
        str: "a string",
        bool: "a boolean",
        int: "a number",
        float: "a number",
    }
    return names.get(type(value), "null")
