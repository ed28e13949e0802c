"""One CDI file: its devices and what each changes in a container (CDI SPEC.md, "CDI JSON Specification")."""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Self, TypeVar

from api.errors import InvalidArgument

VERSIONS = ("0.3.0", "0.4.0", "0.5.0", "0.6.0", "0.7.0", "0.8.0", "1.0.0")
HOOKS = ("prestart", "createRuntime", "createContainer", "startContainer", "poststart", "poststop")

_VENDOR_OR_CLASS = re.compile(r"[A-Za-z]([A-Za-z0-9_.-]*[A-Za-z0-9])?")
_DEVICE = re.compile(r"[A-Za-z0-9]([A-Za-z0-9_.:-]*[A-Za-z0-9])?")

T = TypeVar("T")


class BadDeviceName(InvalidArgument):
    """A text is not of the form vendor/class=device."""


class BadSpec(InvalidArgument):
    """A file is not a CDI specification that this version understands."""


@dataclass(frozen=True, slots=True)
class DeviceName:
    """``vendor/class=device``."""

    kind: str
    device: str

    @classmethod
    def parse(cls, text: str) -> Self:
        """
        Raises:
            BadDeviceName: ``text`` has another form.
        """
        kind, equals, device = text.partition("=")
        if not equals or not _is_kind(kind) or not _DEVICE.fullmatch(device):
            raise BadDeviceName(f"CDI device {text!r} is not of the form vendor/class=device")
        return cls(kind, device)

    def __str__(self) -> str:
        return f"{self.kind}={self.device}"


def _is_kind(text: str) -> bool:
    vendor, slash, name = text.partition("/")
    return bool(slash and _VENDOR_OR_CLASS.fullmatch(vendor) and _VENDOR_OR_CLASS.fullmatch(name))


@dataclass(frozen=True, slots=True)
class Node:
    """A device node; None is for what the node on the host says, or the container's user."""

    path: str
    host_path: str
    kind: str | None = None
    major: int | None = None
    minor: int | None = None
    file_mode: int | None = None
    permissions: str = "rwm"
    uid: int | None = None
    gid: int | None = None


@dataclass(frozen=True, slots=True)
class Mount:
    """A mount; ``type`` "" is a bind mount."""

    host_path: str
    container_path: str
    options: tuple[str, ...] = ()
    type: str = ""


@dataclass(frozen=True, slots=True)
class Hook:
    """A program that the OCI runtime starts; ``timeout_s`` None is without end."""

    name: str
    path: str
    args: tuple[str, ...] = ()
    env: tuple[str, ...] = ()
    timeout_s: int | None = None


@dataclass(frozen=True, slots=True)
class Edits:
    """containerEdits."""

    env: tuple[str, ...] = ()
    nodes: tuple[Node, ...] = ()
    mounts: tuple[Mount, ...] = ()
    hooks: tuple[Hook, ...] = ()
    additional_gids: tuple[int, ...] = ()

    def __add__(self, other: "Edits") -> "Edits":
        return Edits(
            self.env + other.env,
            self.nodes + other.nodes,
            self.mounts + other.mounts,
            self.hooks + other.hooks,
            self.additional_gids + other.additional_gids,
        )


@dataclass(frozen=True, slots=True)
class Spec:
    """A file: ``common`` is applied once when any of its devices is used."""

    kind: str
    common: Edits
    devices: Mapping[str, Edits]


def parse(document: object) -> Spec:
    """Check and freeze the content of a file. Keys that we do not know are passed over, edits excepted.

    Raises:
        BadSpec: the message says where and why.
    """
    if not isinstance(document, dict):
        raise BadSpec("not a mapping")
    version = document.get("cdiVersion")
    if str(version).removeprefix("v") not in VERSIONS:
        raise BadSpec(f"cdiVersion {version!r}: known are {VERSIONS[0]} to {VERSIONS[-1]}")
    kind = document.get("kind")
    if not isinstance(kind, str) or not _is_kind(kind):
        raise BadSpec(f"kind {kind!r} is not of the form vendor/class")
    devices: dict[str, Edits] = {}
    for number, device in enumerate(_list(document, "devices", "")):
        where = f"devices[{number}]"
        name = _text(device, "name", where)
        if not _DEVICE.fullmatch(name) or name in devices:
            raise BadSpec(f"{where}.name {name!r} is not a device name, or not the first of this name")
        devices[name] = _edits(device, f"{where}.")
    if not devices:
        raise BadSpec("devices: none")
    return Spec(kind, _edits(document, ""), devices)


_EDITS = frozenset({"env", "deviceNodes", "mounts", "hooks", "additionalGids"})


def _edits(holder: Mapping[str, Any], where: str) -> Edits:
    edits = holder.get("containerEdits")
    where = f"{where}containerEdits"
    if edits is None:
        return Edits()
    if not isinstance(edits, dict):
        raise BadSpec(f"{where} is not a mapping")
    unknown = sorted(key for key in edits if key not in _EDITS and edits[key])
    if unknown:
        raise BadSpec(f"{where}: {', '.join(unknown)} not supported")
    return Edits(
        env=_all(edits, "env", where, _assignment),
        nodes=_all(edits, "deviceNodes", where, _node),
        mounts=_all(edits, "mounts", where, _mount),
        hooks=_all(edits, "hooks", where, _hook),
        # 0 is no additional group in any container.
        additional_gids=tuple(gid for gid in _all(edits, "additionalGids", where, _gid) if gid),
    )


def _assignment(item: object, where: str) -> str:
    if not isinstance(item, str) or not item.partition("=")[1] or item.startswith("=") or "\0" in item:
        raise BadSpec(f"{where} {item!r} is not NAME=value")
    return item


def _gid(item: object, where: str) -> int:
    if not isinstance(item, int) or isinstance(item, bool) or not 0 <= item < 2**32 - 1:
        raise BadSpec(f"{where} {item!r} is not a group id")
    return item


def _node(item: object, where: str) -> Node:
    path = _path(item, "path", where)
    kind = _text(item, "type", where, "")
    if kind not in ("", "b", "c", "u", "p"):
        raise BadSpec(f"{where}.type {kind!r} is none of b, c, u and p")
    permissions = _text(item, "permissions", where, "") or "rwm"
    if set(permissions) - set("rwm"):
        raise BadSpec(f"{where}.permissions {permissions!r} are not among r, w and m")
    return Node(
        path=path,
        host_path=_path(item, "hostPath", where, path),
        kind=("c" if kind == "u" else kind) or None,
        major=_number(item, "major", where),
        minor=_number(item, "minor", where),
        file_mode=_number(item, "fileMode", where),
        permissions=permissions,
        uid=_number(item, "uid", where),
        gid=_number(item, "gid", where),
    )


def _mount(item: object, where: str) -> Mount:
    return Mount(
        host_path=_text(item, "hostPath", where),
        container_path=_path(item, "containerPath", where),
        options=_texts(item, "options", where),
        type=_text(item, "type", where, ""),
    )


def _hook(item: object, where: str) -> Hook:
    name = _text(item, "hookName", where)
    if name not in HOOKS:
        raise BadSpec(f"{where}.hookName {name!r} is none of {', '.join(HOOKS)}")
    return Hook(
        name=name,
        path=_path(item, "path", where),
        args=_texts(item, "args", where),
        env=_all(_mapping(item, where), "env", where, _assignment),
        timeout_s=_number(item, "timeout", where),
    )


def _mapping(item: object, where: str) -> Mapping[str, Any]:
    if not isinstance(item, dict):
        raise BadSpec(f"{where} is not a mapping")
    return item


def _list(holder: Mapping[str, Any], key: str, where: str) -> list[Any]:
    value = holder.get(key)
    if value is None:
        return []
    if not isinstance(value, list):
        raise BadSpec(f"{where}{key} is not a list")
    return value


def _all(holder: Mapping[str, Any], key: str, where: str, read: Callable[[object, str], T]) -> tuple[T, ...]:
    items = _list(holder, key, f"{where}.")
    return tuple(read(item, f"{where}.{key}[{number}]") for number, item in enumerate(items))


def _texts(item: object, key: str, where: str) -> tuple[str, ...]:
    values = _list(_mapping(item, where), key, f"{where}.")
    if not all(isinstance(value, str) for value in values):
        raise BadSpec(f"{where}.{key} has what is not text")
    return tuple(values)


def _text(item: object, key: str, where: str, default: str | None = None) -> str:
    value = _mapping(item, where).get(key)
    if value is None and default is not None:
        return default
    if not isinstance(value, str) or (not value and default is None) or "\0" in value:
        raise BadSpec(f"{where}.{key} {value!r} is not a text")
    return value


def _path(item: object, key: str, where: str, default: str | None = None) -> str:
    value = _text(item, key, where, default) or (default or "")
    if not value.startswith("/"):
        raise BadSpec(f"{where}.{key} {value!r} is not an absolute path")
    return value


def _number(item: object, key: str, where: str) -> int | None:
    value = _mapping(item, where).get(key)
    if value is not None and (not isinstance(value, int) or isinstance(value, bool) or value < 0):
        raise BadSpec(f"{where}.{key} {value!r} is not a number")
    return value
