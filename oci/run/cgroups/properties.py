"""What systemd has to know about a container's unit (systemd.resource-control(5), systemd.scope(5)); pure.

A limit that systemd does not know is undone by its next daemon-reload, so each write that has a property
becomes one. On version 2 devices stay ours: systemd takes away only programs that it has attached itself.
"""

import re
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from host.slices import SLICE
from host.unit_properties import INFINITY, Property, of_files, quota_properties
from oci.run.cgroups.devices import ANY, DeviceList, Devices, letters
from oci.run.cgroups.plan import Write
from oci.run.cgroups.types import BadResources

ANNOTATION = "org.systemd.property."
_ACCOUNTING = ("CPUAccounting", "MemoryAccounting", "TasksAccounting")
_IDLE_SINCE = 252
_OOM_POLICY_SINCE = 253
_DEFAULT_PERIOD_US = 100_000
# Version 1's files with a number, by the property that holds it.
_NUMBERS_V1 = {
    "memory.limit_in_bytes": "MemoryLimit",
    "cpu.shares": "CPUShares",
    "pids.max": "TasksMax",
    "blkio.weight": "BlockIOWeight",
}
_INTEGERS = {
    "byte": "y",
    "int16": "n",
    "uint16": "q",
    "int32": "i",
    "uint32": "u",
    "int64": "x",
    "uint64": "t",
}
_NUMBER = re.compile(r"(?:(\w+) )?(-?\d+)")
_TEXT = re.compile(r"'([^'\\]*)'|\"([^\"\\]*)\"")


def of_unit(unit: str, parent: str, container: str, pid: int | None, *, version: int) -> list[Property]:
    """What the unit is; ``version`` of cgroups decides what is counted of input and output."""
    found: list[Property] = [
        ("Description", "s", f"Container {container}"),
        ("DefaultDependencies", "b", False),
        ("IOAccounting" if version == 2 else "BlockIOAccounting", "b", True),
        *((name, "b", True) for name in _ACCOUNTING),
    ]
    if unit.endswith(SLICE):
        return [*found, ("Wants", "as", [parent])]
    first: list[Property] = [] if pid is None else [("PIDs", "au", [pid])]
    return [*found, ("Slice", "s", parent), ("Delegate", "b", True), *first]


def of_writes(writes: Iterable[Write], *, systemd: int, version: int) -> list[Property]:
    """``systemd`` is its version, ``version`` that of cgroups."""
    texts = {write.name: write.text for write in writes}
    return _of_v2(texts, systemd) if version == 2 else _of_v1(texts)


def _of_v2(texts: Mapping[str, str], systemd: int) -> list[Property]:
    found = of_files(texts)
    if texts.get("cpu.idle") == "1" and systemd >= _IDLE_SINCE:
        found = [one for one in found if one[0] != "CPUWeight"] + [("CPUWeight", "t", 0)]
    if "memory.oom.group" in texts and systemd >= _OOM_POLICY_SINCE:
        policy = "kill" if texts["memory.oom.group"] == "1" else "continue"
        found.append(("OOMPolicy", "s", policy))
    return found


def _of_v1(texts: Mapping[str, str]) -> list[Property]:
    found: list[Property] = []
    for file, name in _NUMBERS_V1.items():
        if file in texts:
            found.append((name, "t", _or_infinity(texts[file])))
    if "cpu.cfs_quota_us" in texts:
        quota = int(texts["cpu.cfs_quota_us"])
        period = int(texts.get("cpu.cfs_period_us", _DEFAULT_PERIOD_US))
        found += quota_properties(quota if quota > 0 else None, period)
    return found


def _or_infinity(text: str) -> int:
    return int(text) if text.isdigit() else INFINITY


def of_devices(devices: DeviceList, groups: Callable[[str, int], str | None]) -> list[Property]:
    """For version 1, where systemd writes all devices again. ``groups`` names a major number's driver.

    systemd cannot take single devices from all: then it allows all, as runc has it.
    """
    if devices.allowed:
        return [("DevicePolicy", "s", "auto"), ("DeviceAllow", "a(ss)", [])]
    allowed = [
        (name, letters(access))
        for one, access in devices.exceptions.items()
        if (name := _device_name(one, groups)) is not None
    ]
    return [("DevicePolicy", "s", "strict"), ("DeviceAllow", "a(ss)", []), ("DeviceAllow", "a(ss)", allowed)]


def _device_name(devices: Devices, groups: Callable[[str, int], str | None]) -> str | None:
    kind = "char" if devices.kind == "c" else "block"
    if devices.major == ANY:
        return f"{kind}-*" if devices.minor == ANY else None
    if devices.minor == ANY:
        group = groups(kind, devices.major)
        return f"{kind}-{group}" if group else None
    return f"/dev/{kind}/{devices.major}:{devices.minor}"


def driver_name(text: str, kind: str, major: int) -> str | None:
    """The driver of a major number, out of /proc/devices."""
    section = ""
    for line in text.splitlines():
        words = line.split()
        if line.endswith("devices:"):
            section = {"Character": "char", "Block": "block"}.get(words[0], "")
        elif section == kind and len(words) == 2 and words[0] == str(major):
            return words[1]
    return None


def of_annotations(annotations: Mapping[str, str]) -> list[Property]:
    """``org.systemd.property.NAME`` with a value as GVariant writes it; a time in seconds becomes one in
    microseconds, which is what systemd has on the bus.

    Raises:
        BadResources: a name or a value that is none.
    """
    found: list[Property] = []
    for key, text in annotations.items():
        if not key.startswith(ANNOTATION):
            continue
        name = key.removeprefix(ANNOTATION)
        if not (name.isascii() and name.isalpha()):
            raise BadResources(f"annotation {key!r} does not name a property")
        signature, value = _value(key, text.strip())
        if name.endswith("Sec") and not name.endswith("USec") and not isinstance(value, str | list):
            name, signature, value = f"{name.removesuffix('Sec')}USec", "t", round(float(value) * 1_000_000)
        found.append((name, signature, value))
    return found


def _value(key: str, text: str) -> tuple[str, Any]:
    if text in ("true", "false"):
        return "b", text == "true"
    if found := _NUMBER.fullmatch(text):
        kind = _INTEGERS.get(found[1] or "int32")
        if kind is not None:
            return kind, int(found[2])
    if found := _TEXT.fullmatch(text):
        return "s", found[1] if found[1] is not None else found[2]
    if text.startswith("[") and text.endswith("]"):
        items = [_value(key, item.strip()) for item in text[1:-1].split(",") if item.strip()]
        if items and all(kind == "s" for kind, _ in items):
            return "as", [value for _, value in items]
    try:
        return "d", float(text)
    except ValueError:
        raise BadResources(f"annotation {key!r}: {text!r} is no value that systemd would take") from None
