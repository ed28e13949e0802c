"""Device rules, reduced as version 1's controller would (kernel admin-guide, cgroup-v1/devices); pure.

The kernel there keeps a default and exceptions from it. What it cannot express, taking one device out of an
exception for many, it ignores silently; here it is refused, for both versions.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple, Self

from oci.run.cgroups.plan import number
from oci.run.cgroups.types import BadResources

ANY = -1
_ACCESS = "rwm"
_ALL = frozenset(_ACCESS)
_LARGEST = (1 << 32) - 1


class Devices(NamedTuple):
    """Which devices: ``kind`` "b" or "c", numbers or ANY."""

    kind: str
    major: int
    minor: int

    def __str__(self) -> str:
        """As the kernel's files have it."""
        major, minor = ("*" if one == ANY else str(one) for one in self[1:])
        return f"{self.kind} {major}:{minor}"

    def wider(self) -> Iterator["Devices"]:
        """Those that contain it and are not it."""
        for other in (
            Devices(self.kind, ANY, self.minor),
            Devices(self.kind, self.major, ANY),
            Devices(self.kind, ANY, ANY),
        ):
            if other != self:
                yield other


@dataclass(frozen=True, slots=True)
class Rule:
    """One of linux.resources.devices; ``devices`` None is all of them, with every access."""

    allow: bool
    devices: Devices | None
    access: frozenset[str]

    @classmethod
    def parse(cls, entry: Mapping[str, Any]) -> Self:
        """Raises BadResources: it is no rule."""
        allow, kind = entry.get("allow", False), entry.get("type") or "a"
        access = entry.get("access") or ""
        if not isinstance(allow, bool) or kind not in ("a", "b", "c", "u") or not isinstance(access, str):
            raise BadResources(f"linux.resources: {dict(entry)!r} is not a device rule")
        if not _ALL.issuperset(access):
            raise BadResources(f"linux.resources: device access {access!r} has other letters than {_ACCESS}")
        if kind == "a":
            return cls(allow, None, _ALL)
        devices = Devices("c" if kind == "u" else kind, _number(entry, "major"), _number(entry, "minor"))
        return cls(allow, devices, frozenset(access))


def _number(entry: Mapping[str, Any], key: str) -> int:
    value = number(entry, key)
    if value is None or value == ANY:
        return ANY
    if not 0 <= value <= _LARGEST:
        raise BadResources(f"linux.resources: {key} number {value} of a device")
    return value


@dataclass(slots=True)
class DeviceList:
    """``allowed`` by default or not, and what is otherwise."""

    allowed: bool = False
    exceptions: dict[Devices, frozenset[str]] = field(default_factory=dict)

    @classmethod
    def of(cls, rules: Iterable[Rule]) -> Self:
        """What ``rules`` in their order, and then those of ALWAYS, leave; nothing is allowed before them.

        Raises:
            BadResources: see above.
        """
        made = cls()
        for rule in (*rules, *ALWAYS):
            made.add(rule)
        return made

    @classmethod
    def shown(cls, text: str) -> Self:
        """As the kernel shows it in devices.list, which has no exceptions from "all"."""
        made = cls()
        for line in text.splitlines():
            kind, numbers, access = line.split()
            if kind == "a":
                return cls(allowed=True)
            major, minor = (ANY if one == "*" else int(one) for one in numbers.split(":"))
            made.exceptions[Devices(kind, major, minor)] = frozenset(access)
        return made

    def add(self, rule: Rule) -> None:
        """Apply one more rule.

        Raises:
            BadResources: see above.
        """
        if rule.devices is None:
            self.allowed = rule.allow
            self.exceptions.clear()
        elif not rule.access:
            return
        elif rule.allow != self.allowed:
            self.exceptions[rule.devices] = self.exceptions.get(rule.devices, frozenset()) | rule.access
        else:
            self._remove(rule.devices, rule.access)

    def _remove(self, devices: Devices, access: frozenset[str]) -> None:
        for other in devices.wider():
            if self.exceptions.get(other, frozenset()) & access:
                verb = "allow" if self.allowed else "deny"
                raise BadResources(
                    f"linux.resources: cannot {verb} {devices} out of the rule for {other}: list the devices"
                )
        left = self.exceptions.pop(devices, frozenset()) - access
        if left:
            self.exceptions[devices] = left

    def changes(self, before: "DeviceList") -> list[tuple[str, str]]:
        """Writes (file, text) for version 1 that lead here from ``before``; access that both give is not
        taken in between, unless one gives all and the other does not."""
        if self.allowed != before.allowed:
            before = DeviceList(self.allowed)
            start = [("devices.allow" if self.allowed else "devices.deny", "a")]
        else:
            start = []
        more, less = ("devices.deny", "devices.allow") if self.allowed else ("devices.allow", "devices.deny")
        added = _difference(self.exceptions, before.exceptions)
        removed = _difference(before.exceptions, self.exceptions)
        return start + _lines(less, removed) + _lines(more, added)

    def permits(self, kind: str, major: int, minor: int, access: str) -> bool:
        """What the kernel would say; one exception has to give all of ``access``, or deny some of it."""
        wanted = frozenset(access)
        for devices, having in self.exceptions.items():
            if devices.kind != kind or devices.major not in (ANY, major) or devices.minor not in (ANY, minor):
                continue
            if self.allowed and having & wanted:
                return False
            if not self.allowed and having >= wanted:
                return True
        return self.allowed


def _difference(
    one: Mapping[Devices, frozenset[str]], other: Mapping[Devices, frozenset[str]]
) -> dict[Devices, frozenset[str]]:
    found = {devices: access - other.get(devices, frozenset()) for devices, access in one.items()}
    return {devices: access for devices, access in found.items() if access}


def _lines(file: str, rules: Mapping[Devices, frozenset[str]]) -> list[tuple[str, str]]:
    """All of a file's lines in one text."""
    lines = [f"{devices} {letters(access)}" for devices, access in rules.items()]
    return [(file, "\n".join(lines))] if lines else []


def letters(access: frozenset[str]) -> str:
    """In the kernel's order."""
    return "".join(letter for letter in _ACCESS if letter in access)


def _always(kind: str, major: int, minor: int, access: str = _ACCESS) -> Rule:
    return Rule(True, Devices(kind, major, minor), frozenset(access))


# What every container may use, as runc has it: making any node, and the devices of config-linux.md,
# "Default Devices", with the pseudo terminals.
ALWAYS = (
    _always("c", ANY, ANY, "m"),
    _always("b", ANY, ANY, "m"),
    _always("c", 1, 3),
    _always("c", 1, 8),
    _always("c", 1, 7),
    _always("c", 5, 0),
    _always("c", 1, 5),
    _always("c", 1, 9),
    _always("c", 136, ANY),
    _always("c", 5, 2),
    _always("c", 10, 200),
)
