"""Drivers for runtimes with runc's command line: crun, runc, and gVisor's runsc.

Command lines of create, start and exec are run by the monitor, which owns what they leave behind; kill,
delete, update, state and features run from the daemon, for nothing of them stays.
"""

import asyncio
import json
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from api.errors import FailedPrecondition
from host.processes import CommandTimedOut, Completed, run
from oci.orders import Create, Exec, Files, Order, verb_of
from oci.runtime import ContainerGone, Json, Kind, RuntimeFailed, RuntimeTimedOut, failed

__all__ = ["CliRuntime", "Kind", "RuntimeMissing", "is_gone", "message_of"]

_GONE = (  # crun, runc, runsc; compared in lower case
    "does not exist",
    "no such process",
    "process not running",
    "container not running",
    "error opening file `",  # crun: the status file of a container that it does not know
    "cannot open directory `",
    "cannot open directory '",
    "file does not exist",
    "no such container",
)


class RuntimeMissing(FailedPrecondition):
    """The configured runtime is not on this machine."""


def message_of(log: bytes, stderr: bytes) -> str:
    """The runtime's own words: the last error of its JSON log, else of what it printed."""
    for line in reversed(log.splitlines()):
        try:
            entry = json.loads(line)
        except (ValueError, RecursionError):
            continue
        if isinstance(entry, dict) and entry.get("level", "error") in ("error", "fatal") and entry.get("msg"):
            return str(entry["msg"]).strip()
    lines = [line for line in stderr.decode(errors="replace").splitlines() if line.strip()]
    return lines[-1].strip() if lines else "failed without a word"


def is_gone(message: str) -> bool:
    """Whether this failure says that the container is not there."""
    lowered = message.lower()
    return any(text in lowered for text in _GONE)


@dataclass(frozen=True, slots=True)
class CliRuntime:
    """One runtime program with its state directory; see :class:`oci.runtime.Runtime` for the methods.

    ``arguments`` are the configured global flags (runsc: ``--platform=ptrace``), ``timeout_s`` bounds
    each command that is run from here.
    """

    name: str
    path: Path
    root: Path
    kind: Kind
    arguments: tuple[str, ...] = ()
    timeout_s: float = 60.0

    @classmethod
    def find(
        cls, name: str, path: str, root: Path, arguments: tuple[str, ...] = (), timeout_s: float = 60.0
    ) -> Self:
        """Look ``path`` (absolute, or "" for ``name`` on PATH) up.

        Raises:
            RuntimeMissing: there is no such program.
        """
        found = shutil.which(path or name)
        if found is None:
            raise RuntimeMissing(
                f"runtime handler {name!r}: no program {path or name!r}; install it or set runtime_path"
            )
        return cls(name, Path(found), root, Kind.of(Path(found)), arguments, timeout_s)

    def _command(self, log: str | None, *words: str) -> list[str]:
        logging = ["--log-format=json"] if log is None else [f"--log={log}", "--log-format=json"]
        return [str(self.path), f"--root={self.root}", *logging, *self.arguments, *words]

    def command(self, order: Order, files: Files) -> list[str]:
        """See Runtime."""
        flags = self._flags(order, files)
        return self._command(files.log, verb_of(order), *flags, order.id)

    def _flags(self, order: Order, files: Files) -> list[str]:
        console = ["--console-socket", files.console] if files.console else []
        match order:
            case Create(bundle=bundle, no_pivot=no_pivot):
                # runsc has no such flag and never pivots on the host
                pivot = ["--no-pivot"] if no_pivot and self.kind is not Kind.RUNSC else []
                return ["--bundle", bundle, "--pid-file", files.pid, *console, *pivot]
            case Exec():
                # runc compares the flag with the socket, not with the process object
                terminal = ["--tty"] if files.console and self.kind is Kind.RUNC else []
                what = ["--process", files.process, "--pid-file", files.pid]
                return ["--detach", *what, *console, *terminal]
            case _:
                return []

    def inside(self, order: Order, files: Files) -> None:
        """See Runtime: a program knows nothing of monitors."""
        del order, files

    def prepare_process(self, process: Json) -> Json:
        """See Runtime; crun applies an empty profile or label as if it were one, and fails."""
        return {
            key: value
            for key, value in process.items()
            if value not in (None, "") or key not in ("apparmorProfile", "selinuxLabel")
        }

    def failure(
        self, verb: str, container_id: str, log: bytes, stderr: bytes
    ) -> RuntimeFailed | ContainerGone:
        """See Runtime."""
        message = message_of(log, stderr)
        if verb != "create" and is_gone(message) and "executable" not in message:
            return ContainerGone(self.name, verb, container_id)
        return failed(self.name, verb, container_id, message)

    async def _run(self, verb: str, container_id: str, *flags: str, stdin: bytes | None = None) -> Completed:
        """Run one verb to its end; a non-zero code becomes the error that the runtime describes."""
        words = [verb, *flags, *([container_id] if container_id else [])]
        try:
            done = await run(self._command(None, *words), stdin=stdin, timeout_s=self.timeout_s)
        except CommandTimedOut as error:
            raise RuntimeTimedOut(self.name, verb, container_id, self.timeout_s) from error
        if done.returncode != 0:
            raise self.failure(verb, container_id, done.stderr, done.stderr)
        return done

    async def kill(self, container_id: str, signal: int, *, everything: bool = False) -> None:
        """See Runtime."""
        # The signal stands after the id, where runc's grammar wants it, so it cannot be one of the flags.
        words = ["--all"] if everything else []
        command = self._command(None, "kill", *words, container_id, str(signal))
        try:
            done = await run(command, timeout_s=self.timeout_s)
        except CommandTimedOut as error:
            raise RuntimeTimedOut(self.name, "kill", container_id, self.timeout_s) from error
        if done.returncode != 0:
            raise self.failure("kill", container_id, done.stderr, done.stderr)

    async def delete(self, container_id: str, *, force: bool = False) -> None:
        """See Runtime."""
        try:
            await self._run("delete", container_id, *(["--force"] if force else []))
        except ContainerGone:
            pass
        if force:  # a create that was killed leaves a directory which is no container to the runtime
            await asyncio.to_thread(shutil.rmtree, self.root / container_id, ignore_errors=True)

    async def update(self, container_id: str, resources: Json) -> None:
        """See Runtime."""
        content = json.dumps(resources).encode()
        await self._run(
            "update",
            container_id,
            "--resources",
            "-" if self.kind is not Kind.CRUN else "/dev/stdin",
            stdin=content,
        )

    async def state(self, container_id: str) -> Json | None:
        """See Runtime."""
        try:
            done = await self._run("state", container_id)
        except ContainerGone:
            return None
        return self._document("state", container_id, done.stdout)

    async def features(self) -> Json | None:
        """See Runtime; crun has the command since 1.8.6, runc since 1.1.0, runsc has none."""
        try:
            done = await self._run("features", "")
        except (RuntimeFailed, ContainerGone):
            return None
        return self._document("features", "", done.stdout)

    async def version(self) -> str:
        """See Runtime."""
        try:
            done = await run([str(self.path), "--version"], timeout_s=self.timeout_s)
        except CommandTimedOut as error:
            raise RuntimeTimedOut(self.name, "--version", "", self.timeout_s) from error
        lines = done.stdout.decode(errors="replace").splitlines()
        return lines[0].strip() if lines else ""

    def _document(self, verb: str, container_id: str, text: bytes) -> Mapping[str, object]:
        try:
            document = json.loads(text)
        except (ValueError, RecursionError):
            document = None
        if not isinstance(document, dict):
            raise RuntimeFailed(self.name, verb, container_id, f"printed no JSON object but {text[:80]!r}")
        return document
