"""Units by systemd's manager, over D-Bus (org.freedesktop.systemd1(5))."""

import asyncio
import contextlib
import re
from collections.abc import Mapping, Sequence

from jeepney.wrappers import DBusAddress

from api.errors import PodwrightError
from cri.systemd.bus import Bus, CallFailed
from cri.systemd.units import NoSuchUnit, UnitExists, UnitFailed
from host.unit_properties import Property

_NAME = "org.freedesktop.systemd1"
_PATH = "/org/freedesktop/systemd1"
_ADDRESS = DBusAddress(_PATH, _NAME, f"{_NAME}.Manager")
_JOB_REMOVED = f"type='signal',sender='{_NAME}',interface='{_NAME}.Manager',member='JobRemoved'"


class Manager:
    """systemd's manager over the system bus; see Units. Each job is waited for."""

    def __init__(self, *, address: str | None = None, timeout_s: float = 30.0) -> None:
        """Nothing happens before the first call; each call and each job has ``timeout_s``."""
        self._bus = Bus((_JOB_REMOVED,), self._signal, address=address, timeout_s=timeout_s)
        self._timeout_s = timeout_s
        self._under_way = 0
        self._jobs: dict[object, asyncio.Future[str]] = {}

    async def version(self) -> str:
        """systemd's version, which is also the way to learn whether it answers.

        Raises:
            BusUnavailable: it does not.
        """
        return str(await self._get(_PATH, f"{_NAME}.Manager", "Version"))

    async def start(self, unit: str, properties: Sequence[Property]) -> None:
        """See Units."""
        await self._job(
            unit, "StartTransientUnit", "ssa(sv)a(sa(sv))", (unit, "fail", _given(properties), [])
        )

    async def stop(self, unit: str) -> None:
        """See Units."""
        with contextlib.suppress(NoSuchUnit):
            await self._job(unit, "StopUnit", "ss", (unit, "replace"))

    async def reset_failed(self, unit: str) -> None:
        """See Units."""
        await self._call(unit, "ResetFailedUnit", "s", (unit,))

    async def set_properties(self, unit: str, properties: Sequence[Property]) -> None:
        """See Units."""
        await self._call(unit, "SetUnitProperties", "sba(sv)", (unit, True, _given(properties)))
        # systemd answers first and writes afterwards, but before it takes the next message.
        await self.description(unit)

    async def attach(self, unit: str, pid: int) -> None:
        """See Units."""
        await self._call(unit, "AttachProcessesToUnit", "ssau", (unit, "", [pid]))

    async def description(self, unit: str) -> str:
        """See Units."""
        return str(await self._get(f"{_PATH}/unit/{escape(unit)}", f"{_NAME}.Unit", "Description"))

    async def close(self) -> None:
        """See Units."""
        await self._bus.close()

    async def _get(self, path: str, interface: str, name: str) -> object:
        target = DBusAddress(path, _NAME, "org.freedesktop.DBus.Properties")
        try:
            [variant] = await self._bus.call(target, "Get", "ss", (interface, name))
        except CallFailed as error:
            raise UnitFailed(f"systemd does not tell {name} of {path}: {error.words}") from error
        assert isinstance(variant, tuple)
        return variant[1]

    async def _call(self, unit: str, method: str, signature: str, body: tuple[object, ...]) -> object:
        """Call a method of the manager about ``unit``; the first value of its answer, if it has one."""
        try:
            answer = await self._bus.call(_ADDRESS, method, signature, body)
        except CallFailed as error:
            category = _MEANINGS.get(error.name, UnitFailed)
            raise category(f"systemd refuses {method} of {unit}: {error.words}") from error
        return answer[0] if answer else None

    async def _job(self, unit: str, method: str, signature: str, body: tuple[object, ...]) -> None:
        """Call a method that starts a job, and wait for the job's end."""
        self._under_way += 1
        try:
            job = await self._call(unit, method, signature, body)
            async with asyncio.timeout(self._timeout_s):
                result = await self._end_of(job)
        except TimeoutError:
            raise UnitFailed(f"{method} of {unit} has not ended within {self._timeout_s:g} s") from None
        finally:
            self._under_way -= 1
            if not self._under_way:
                self._jobs.clear()
        if result not in ("done", "skipped"):
            raise UnitFailed(f"{method} of {unit} ended with the result {result}")

    def _end_of(self, job: object) -> asyncio.Future[str]:
        """The job's result; the signal may come before the one who waits has run."""
        return self._jobs.setdefault(job, asyncio.get_running_loop().create_future())

    def _signal(self, member: str, body: tuple[object, ...]) -> None:
        """JobRemoved(id, job, unit, result), of all jobs on the machine."""
        if member == "JobRemoved" and self._under_way:
            end = self._end_of(body[1])
            if not end.done():
                end.set_result(str(body[3]))


_MEANINGS: Mapping[str, type[PodwrightError]] = {
    f"{_NAME}.NoSuchUnit": NoSuchUnit,
    f"{_NAME}.UnitExists": UnitExists,
}


def _given(properties: Sequence[Property]) -> list[tuple[str, tuple[str, object]]]:
    """In the form of a(sv)."""
    return [(name, (signature, value)) for name, signature, value in properties]


def escape(unit: str) -> str:
    """A unit's name as the last part of its object path: all but letters and digits in hexadecimal."""
    return re.sub(r"[^A-Za-z0-9]|^[0-9]", lambda found: f"_{ord(found[0]):02x}", unit)
