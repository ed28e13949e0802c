"""What we ask of systemd's manager, and how it answers (org.freedesktop.systemd1(5)): names, errors, and a
client that blocks. The daemon's own, which does not block, is cri/systemd."""

import re
import time
from collections.abc import Mapping, Sequence
from typing import Any

from api.errors import AlreadyExists, Internal, NotFound, PodwrightError
from host.dbus import CallFailed
from host.system_bus import BlockingBus, address_of
from host.unit_properties import Property

NAME = "org.freedesktop.systemd1"
PATH = "/org/freedesktop/systemd1"
MANAGER = f"{NAME}.Manager"
PROPERTIES = "org.freedesktop.DBus.Properties"
JOB_REMOVED = f"type='signal',sender='{NAME}',interface='{MANAGER}',member='JobRemoved'"
GOOD_RESULTS = ("done", "skipped")


class UnitFailed(Internal):
    """systemd refuses or fails; the text has the unit and systemd's own words."""


class NoSuchUnit(NotFound):
    """systemd has no such unit loaded."""


class UnitExists(AlreadyExists):
    """A unit of this name is there already."""


_MEANINGS: Mapping[str, type[PodwrightError]] = {
    f"{NAME}.NoSuchUnit": NoSuchUnit,
    f"{NAME}.UnitExists": UnitExists,
}


def refusal(method: str, unit: str, error: CallFailed) -> PodwrightError:
    """What systemd's answer means."""
    category = _MEANINGS.get(error.name, UnitFailed)
    return category(f"systemd refuses {method} of {unit}: {error.words}")


def given(properties: Sequence[Property]) -> list[tuple[str, tuple[str, object]]]:
    """In the form of a(sv)."""
    return [(name, (signature, value)) for name, signature, value in properties]


def escape(unit: str) -> str:
    """A unit's name as the last part of its object path: all but letters and digits in hexadecimal."""
    return re.sub(r"[^A-Za-z0-9]|^[0-9]", lambda found: f"_{ord(found[0]):02x}", unit)


def unit_path(unit: str) -> str:
    """The path of a unit's object."""
    return f"{PATH}/unit/{escape(unit)}"


class BlockingManager:
    """systemd's manager, of the system or of the user's own; connected when it is made.

    Every call raises BusUnavailable when nobody answers.
    """

    def __init__(self, *, user: bool = False, address: str | None = None, timeout_s: float = 30.0) -> None:
        self._timeout_s = timeout_s
        self._bus = BlockingBus(address or address_of(user=user), timeout_s)

    def version(self) -> int:
        """systemd's major version."""
        found = re.search(r"\d+", str(self._get(PATH, MANAGER, "Version")))
        return int(found[0]) if found else 0

    def start(self, unit: str, properties: Sequence[Property]) -> None:
        """Make a transient unit and start it; it is active when this returns.

        Raises:
            UnitExists: there is one. UnitFailed: see there.
        """
        bus = "org.freedesktop.DBus"
        self._bus.call(bus, "/org/freedesktop/DBus", bus, "AddMatch", "s", (JOB_REMOVED,))
        self._job(unit, "StartTransientUnit", "ssa(sv)a(sa(sv))", (unit, "replace", given(properties), []))

    def stop(self, unit: str) -> None:
        """Stop a unit without waiting for it; one that is not there is fine.

        Raises:
            UnitFailed: see there.
        """
        try:
            self._call(unit, "StopUnit", "ss", (unit, "replace"))
        except NoSuchUnit:
            return

    def reset_failed(self, unit: str) -> None:
        """Let a unit that failed be forgotten; one that is not there is fine."""
        try:
            self._call(unit, "ResetFailedUnit", "s", (unit,))
        except NoSuchUnit:
            return

    def set_properties(self, unit: str, properties: Sequence[Property]) -> None:
        """Change a unit's properties until it is gone; its cgroup has them when this returns.

        Raises:
            NoSuchUnit: there is none. UnitFailed: see there.
        """
        self._call(unit, "SetUnitProperties", "sba(sv)", (unit, True, given(properties)))
        # systemd answers first and writes afterwards, but before it takes the next message.
        self._get(unit_path(unit), f"{NAME}.Unit", "Description")

    def control_group(self, unit: str) -> str:
        """The path of a unit's cgroup, below every hierarchy.

        Raises:
            UnitFailed: it has none.
        """
        kind = "Slice" if unit.endswith(".slice") else "Scope"
        path = str(self._get(unit_path(unit), f"{NAME}.{kind}", "ControlGroup"))
        if not path.strip("/"):
            raise UnitFailed(f"systemd has no cgroup for {unit}")
        return path

    def close(self) -> None:
        """Disconnect. Idempotent."""
        self._bus.close()

    def _get(self, path: str, interface: str, name: str) -> Any:
        try:
            [variant] = self._bus.call(NAME, path, PROPERTIES, "Get", "ss", (interface, name))
        except CallFailed as error:
            raise UnitFailed(f"systemd does not tell {name} of {path}: {error.words}") from error
        return variant[1]

    def _call(self, unit: str, method: str, signature: str, body: tuple[Any, ...]) -> Any:
        """Call a method of the manager about ``unit``; the first value of its answer, if it has one."""
        try:
            answer = self._bus.call(NAME, PATH, MANAGER, method, signature, body)
        except CallFailed as error:
            raise refusal(method, unit, error) from error
        return answer[0] if answer else None

    def _job(self, unit: str, method: str, signature: str, body: tuple[Any, ...]) -> None:
        """Call a method that starts a job, and wait for the job's end."""
        job = self._call(unit, method, signature, body)
        deadline = time.monotonic() + self._timeout_s
        while True:
            signal = self._bus.next_signal(max(0.0, deadline - time.monotonic()))
            if signal.member == "JobRemoved" and signal.body[1] == job:
                break
        if signal.body[3] not in GOOD_RESULTS:
            raise UnitFailed(f"{method} of {unit} ended with the result {signal.body[3]}")
