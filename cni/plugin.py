"""Plugins that are executed: environment and standard input in, JSON out (CNI SPEC.md sections 2 and 4)."""

import asyncio
import errno
import json
import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from cni import versions
from cni.call import Call
from cni.errors import NetworkConfigInvalid, PluginFailed, PluginMissing, PluginTimedOut
from cni.fields import Json, integer, parse_object, string, strings
from host import processes

_STDERR_SHOWN = 1000
_BUSY_ATTEMPTS = 5
_BUSY_PAUSE_S = 0.2


@dataclass(frozen=True, slots=True)
class Timeouts:
    """How long a whole ADD or DEL of a network, and each short question to a plugin, may take."""

    add_s: float = 300.0
    delete_s: float = 60.0
    query_s: float = 20.0


def find(kind: str, directories: Iterable[Path]) -> Path | None:
    """The first executable file of this name."""
    for directory in directories:
        path = directory / kind
        if path.is_file() and os.access(path, os.X_OK):
            return path
    return None


@dataclass(frozen=True, slots=True)
class ExecutedPlugin:
    """A plugin binary, run once for every command."""

    kind: str
    path: Path
    directories: Sequence[Path]
    timeouts: Timeouts = field(default_factory=Timeouts)

    async def add(self, call: Call, conf: Json) -> Json:
        """ADD: the plugin's result document."""
        output = await self._run("ADD", call, conf, self.timeouts.add_s)
        try:
            return parse_object(output, f"plugin {self.kind}")
        except NetworkConfigInvalid as error:
            raise PluginFailed(f"CNI plugin {self.kind} answered ADD with no result: {error}") from error

    async def check(self, call: Call, conf: Json) -> None:
        """CHECK."""
        await self._run("CHECK", call, conf, self.timeouts.delete_s)

    async def delete(self, call: Call, conf: Json) -> None:
        """DEL."""
        await self._run("DEL", call, conf, self.timeouts.delete_s)

    async def status(self, conf: Json) -> None:
        """STATUS."""
        await self._run("STATUS", None, conf, self.timeouts.query_s)

    async def collect(self, conf: Json) -> None:
        """GC."""
        await self._run("GC", None, conf, self.timeouts.delete_s)

    async def versions(self) -> tuple[str, ...]:
        """The specification versions that the plugin says it speaks (VERSION)."""
        output = await self._run(
            "VERSION", None, {"cniVersion": versions.SUPPORTED[-1]}, self.timeouts.query_s
        )
        where = f"plugin {self.kind}, VERSION"
        document = parse_object(output, where)
        return strings(document, "supportedVersions", where) or (versions.DEFAULT,)

    async def _run(self, command: str, call: Call | None, conf: Json, timeout_s: float) -> bytes:
        about = variables(command, call, self.directories)
        try:
            done = await self._run_unless_busy(about, json.dumps(conf).encode(), timeout_s)
        except processes.CommandTimedOut as error:
            raise PluginTimedOut(
                f"CNI plugin {self.kind} ({self.path}) did not end {command} within {timeout_s:g} s"
            ) from error
        except processes.CommandNotStarted as error:
            raise PluginMissing(f"CNI plugin {self.kind} cannot be started: {error}") from error
        if done.returncode != 0:
            raise failure(self.kind, command, done)
        return done.stdout

    async def _run_unless_busy(
        self, about: Mapping[str, str], stdin: bytes, timeout_s: float
    ) -> processes.Completed:
        """Run it; a binary that is just being replaced (ETXTBSY) is tried again."""
        for _ in range(_BUSY_ATTEMPTS - 1):
            try:
                return await processes.run(
                    [str(self.path)], stdin=stdin, variables=about, timeout_s=timeout_s
                )
            except processes.CommandNotStarted as error:
                cause = error.__cause__
                if not (isinstance(cause, OSError) and cause.errno == errno.ETXTBSY):
                    raise
            await asyncio.sleep(_BUSY_PAUSE_S)
        return await processes.run([str(self.path)], stdin=stdin, variables=about, timeout_s=timeout_s)


def variables(command: str, call: Call | None, directories: Sequence[Path]) -> dict[str, str]:
    """The CNI_* variables; commands about no container have only the first two."""
    found = {"CNI_COMMAND": command, "CNI_PATH": ":".join(str(directory) for directory in directories)}
    if call is not None:
        found |= {
            "CNI_CONTAINERID": call.container_id,
            "CNI_NETNS": call.netns,
            "CNI_IFNAME": call.ifname,
            "CNI_ARGS": call.args_text(),
        }
    return found


def failure(kind: str, command: str, done: processes.Completed) -> PluginFailed:
    """The plugin's own words: its error document if there is one, and what it wrote to standard error."""
    code, parts = 999, []
    try:
        document = parse_object(done.stdout, "error")
        code = integer(document, "code", "error") or 999
        parts = [string(document, "msg", "error"), string(document, "details", "error")]
    except NetworkConfigInvalid:
        parts = [done.stdout.decode(errors="replace").strip()]
    stderr = done.stderr.decode(errors="replace").strip()
    if stderr:
        parts.append(f"stderr: {stderr[-_STDERR_SHOWN:]}")
    text = "; ".join(part for part in parts if part)
    how = f"exit code {done.returncode}" if done.returncode > 0 else f"signal {-done.returncode}"
    return PluginFailed(f"CNI plugin {kind} failed on {command}: {text or f'{how}, no message'}", code)
