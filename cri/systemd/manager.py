"""Units by systemd's manager, over D-Bus (org.freedesktop.systemd1(5))."""

import asyncio
import contextlib
from collections.abc import Sequence

from jeepney.wrappers import DBusAddress

from cri.systemd.bus import Bus
from host.dbus import CallFailed
from host.systemd import (
    GOOD_RESULTS,
    JOB_REMOVED,
    MANAGER,
    NAME,
    PATH,
    PROPERTIES,
    NoSuchUnit,
    UnitFailed,
    given,
    refusal,
    unit_path,
)
from host.unit_properties import Property

_ADDRESS = DBusAddress(PATH, NAME, MANAGER)


class Manager:
    """systemd's manager over the system bus; see Units. Each job is waited for."""

    def __init__(self, *, address: str | None = None, timeout_s: float = 30.0) -> None:
        """Nothing happens before the first call; each call and each job has ``timeout_s``."""
        self._bus = Bus((JOB_REMOVED,), self._signal, address=address, timeout_s=timeout_s)
        self._timeout_s = timeout_s
        self._under_way = 0
        self._jobs: dict[object, asyncio.Future[str]] = {}

    async def version(self) -> str:
        """systemd's version, which is also the way to learn whether it answers.

        Raises:
            BusUnavailable: it does not.
        """
        return str(await self._get(PATH, MANAGER, "Version"))

    async def start(self, unit: str, properties: Sequence[Property]) -> None:
        """See Units."""
        await self._job(unit, "StartTransientUnit", "ssa(sv)a(sa(sv))", (unit, "fail", given(properties), []))

    async def stop(self, unit: str) -> None:
        """See Units."""
        with contextlib.suppress(NoSuchUnit):
            await self._job(unit, "StopUnit", "ss", (unit, "replace"))

    async def reset_failed(self, unit: str) -> None:
        """See Units."""
        await self._call(unit, "ResetFailedUnit", "s", (unit,))

    async def set_properties(self, unit: str, properties: Sequence[Property]) -> None:
        """See Units."""
        await self._call(unit, "SetUnitProperties", "sba(sv)", (unit, True, given(properties)))
        # systemd answers first and writes afterwards, but before it takes the next message.
        await self.description(unit)

    async def attach(self, unit: str, pid: int) -> None:
        """See Units."""
        await self._call(unit, "AttachProcessesToUnit", "ssau", (unit, "", [pid]))

    async def description(self, unit: str) -> str:
        """See Units."""
        return str(await self._get(unit_path(unit), f"{NAME}.Unit", "Description"))

    async def close(self) -> None:
        """See Units."""
        await self._bus.close()

    async def _get(self, path: str, interface: str, name: str) -> object:
        target = DBusAddress(path, NAME, PROPERTIES)
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
            raise refusal(method, unit, error) from error
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
        if result not in GOOD_RESULTS:
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
