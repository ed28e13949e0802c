"""Our own runtime as a handler's: launched inside the monitor, the rest done where it is asked for.

Its program (oci/run/cli) can do all of this, too, on the same states: it is what monitors of before run, and
who wants to look. What launches nothing needs no process: it is done in a thread of the daemon, unless the
container has hooks that are to run then.
"""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Self, TypeVar

from api.errors import PodwrightError
from oci import own
from oci.cli import CliRuntime
from oci.orders import Files, Inside, Order
from oci.runtime import ContainerGone, Json, Kind, RuntimeFailed, RuntimeTimedOut, failed

if TYPE_CHECKING:  # what a first Version does not need
    from oci.run.verbs.settings import Settings

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class OwnRuntime:
    """See :class:`oci.runtime.Runtime` for the methods. ``systemd`` has cgroups made by systemd."""

    program: CliRuntime
    systemd: bool = False

    @classmethod
    def find(cls, name: str, root: Path, *, systemd: bool = False, timeout_s: float = 60.0) -> Self:
        """With its program beside ours, and states below ``root``.

        Raises:
            RuntimeMissing: the program is not there.
        """
        arguments = ("--systemd-cgroup",) if systemd else ()
        return cls(CliRuntime.find(name, str(own.program()), root, arguments, timeout_s), systemd)

    @property
    def name(self) -> str:
        """See Runtime."""
        return self.program.name

    @property
    def path(self) -> Path:
        """See Runtime."""
        return self.program.path

    @property
    def kind(self) -> Kind:
        """See Runtime."""
        return self.program.kind

    def command(self, order: Order, files: Files) -> list[str]:
        """See Runtime."""
        return self.program.command(order, files)

    def inside(self, order: Order, files: Files) -> Inside:
        """See Runtime."""
        return Inside(order, files, str(self.program.root), self.systemd)

    def failure(
        self, verb: str, container_id: str, log: bytes, stderr: bytes
    ) -> RuntimeFailed | ContainerGone:
        """See Runtime."""
        return self.program.failure(verb, container_id, log, stderr)

    def prepare_process(self, process: Json) -> Json:
        """See Runtime."""
        return self.program.prepare_process(process)

    async def kill(self, container_id: str, signal: int, *, everything: bool = False) -> None:
        """See Runtime."""

        def kill() -> None:
            from oci.run.verbs import control

            control.kill(self._settings(), container_id, signal, everything=everything)

        await self._do("kill", container_id, kill)

    async def delete(self, container_id: str, *, force: bool = False) -> None:
        """See Runtime."""

        def delete() -> bool:
            from oci.run.verbs import control

            return control.delete_without_hooks(self._settings(), container_id, force=force)

        try:
            done = await self._do("delete", container_id, delete)
        except ContainerGone:
            return
        if not done:
            await self.program.delete(container_id, force=force)

    async def update(self, container_id: str, resources: Json) -> None:
        """See Runtime."""

        def update() -> None:
            from oci.run.verbs import control

            control.update(self._settings(), container_id, resources)

        await self._do("update", container_id, update)

    async def state(self, container_id: str) -> Json | None:
        """See Runtime."""

        def state() -> Json:
            from oci.run.verbs import listing

            place = self._settings().place(container_id)
            return {**listing.state(self._settings(), container_id), "started": not place.is_created()}

        try:
            return await self._do("state", container_id, state)
        except ContainerGone:
            return None

    async def features(self) -> Json | None:
        """See Runtime."""
        return await self.program.features()

    async def version(self) -> str:
        """See Runtime."""
        return await self.program.version()

    def _settings(self) -> "Settings":
        from oci.run.verbs.settings import Settings

        return Settings(str(self.program.root), self.systemd)

    async def _do(self, verb: str, container_id: str, what: Callable[[], T]) -> T:
        """In a thread, which goes on when the time is over: what it waits for is bounded."""
        from oci.run.errors import NoSuchContainer, NotRunning
        from oci.run.words import explain

        timeout_s = self.program.timeout_s
        try:
            async with asyncio.timeout(timeout_s):
                return await asyncio.to_thread(what)
        except TimeoutError:
            raise RuntimeTimedOut(self.name, verb, container_id, timeout_s) from None
        except (NoSuchContainer, NotRunning) as error:
            raise ContainerGone(self.name, verb, container_id) from error
        except OSError as error:
            raise failed(self.name, verb, container_id, explain(error)) from error
        except PodwrightError as error:
            raise failed(self.name, verb, container_id, str(error)) from error
