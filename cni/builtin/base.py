"""What a built-in plugin is, and how it takes the place of an executed one."""

import asyncio
from collections.abc import Callable
from concurrent.futures import Executor
from dataclasses import dataclass
from typing import Protocol, TypeVar

from api.errors import PodwrightError
from cni import versions
from cni.call import Call
from cni.errors import PluginFailed
from cni.fields import Json, mapping, string
from cni.result import Result, parse, render

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Request:
    """One call with its configuration; ``where`` names both in errors."""

    call: Call
    conf: Json
    version: str
    previous: Result | None
    where: str

    @property
    def network(self) -> str:
        """The network's name."""
        return string(self.conf, "name", self.where)

    def runtime(self) -> Json:
        """The capability arguments of this call."""
        return mapping(self.conf, "runtimeConfig", self.where)

    def cni_args(self) -> Json:
        """``args.cni`` of the configuration."""
        return mapping(mapping(self.conf, "args", self.where), "cni", self.where)


class Builtin(Protocol):
    """A plugin of ours. Calls block (netlink, files): they run on worker threads."""

    def refuses(self, conf: Json) -> str:
        """Why this configuration needs the plugin binary: the key at fault, or "" when it does not."""

    def add(self, request: Request) -> Result:
        """ADD; a failure leaves nothing."""

    def check(self, request: Request) -> None:
        """CHECK against ``request.previous``."""

    def delete(self, request: Request) -> None:
        """DEL; idempotent."""

    def collect(self, conf: Json, valid: frozenset[tuple[str, str]]) -> None:
        """Release what belongs to no (container id, interface) of ``valid``."""


@dataclass(frozen=True, slots=True)
class BuiltinPlugin:
    """A built-in behind the interface of a plugin."""

    kind: str
    builtin: Builtin
    executor: Executor

    async def add(self, call: Call, conf: Json) -> Json:
        """ADD on a worker thread; the result in the configuration's version."""
        request = self._request("ADD", call, conf)
        result = await self._run(lambda: self.builtin.add(request), request.where)
        return render(result, request.version)

    async def check(self, call: Call, conf: Json) -> None:
        """CHECK on a worker thread."""
        request = self._request("CHECK", call, conf)
        await self._run(lambda: self.builtin.check(request), request.where)

    async def delete(self, call: Call, conf: Json) -> None:
        """DEL on a worker thread."""
        request = self._request("DEL", call, conf)
        await self._run(lambda: self.builtin.delete(request), request.where)

    async def status(self, conf: Json) -> None:
        """STATUS: a built-in is ready when its configuration is."""

    async def collect(self, conf: Json) -> None:
        """GC on a worker thread."""
        where = f"CNI plugin {self.kind} (built in) failed on GC"
        listed = conf.get("cni.dev/valid-attachments")
        valid = frozenset(
            (string(item, "containerID", where), string(item, "ifname", where))
            for item in (listed if isinstance(listed, list) else [])
        )
        await self._run(lambda: self.builtin.collect(conf, valid), where)

    def _request(self, command: str, call: Call, conf: Json) -> Request:
        where = f"CNI plugin {self.kind} (built in) failed on {command}"
        version = string(conf, "cniVersion", where) or versions.DEFAULT
        previous = (
            parse(mapping(conf, "prevResult", where), version, where) if conf.get("prevResult") else None
        )
        return Request(call, conf, version, previous, where)

    async def _run(self, function: Callable[[], T], where: str) -> T:
        def guarded() -> T:
            try:
                return function()
            except PodwrightError:
                raise
            except OSError as error:
                text = error.strerror or str(error)
                place = f": {error.filename}" if error.filename else ""
                raise PluginFailed(f"{where}: {text}{place}") from error

        future = asyncio.get_running_loop().run_in_executor(self.executor, guarded)
        try:
            return await asyncio.shield(future)
        except asyncio.CancelledError:
            # A thread cannot be stopped: its work ends before anybody begins to undo it.
            await asyncio.wait([future])
            raise
