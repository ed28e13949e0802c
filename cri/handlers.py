"""Runtime handlers: which OCI runtime serves which name, and what it can do."""

import asyncio
import logging
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from types import MappingProxyType

from api.errors import FailedPrecondition, NotFound, PodwrightError
from api.runtime.v1 import api_pb2 as pb
from conf.schema import Config
from oci import own
from oci.abilities import Abilities, probe
from oci.cli import CliRuntime, RuntimeMissing
from oci.generate.inputs import HostView, RuntimeView
from oci.own_runtime import OwnRuntime
from oci.runtime import Kind, Runtime

logger = logging.getLogger(__name__)

# Tried in this order when no default is configured; our own, which comes with the daemon, is always there.
PREFERRED = ("crun", "runc", own.HANDLER)
NONE: Mapping[str, RuntimeMissing] = MappingProxyType({})


class UnknownHandler(NotFound):
    """No handler has this name."""


class HandlerUnusable(FailedPrecondition):
    """The handler's program does not answer."""


class HandlersLost(FailedPrecondition):
    """A new configuration takes handlers away that work."""


class NoUserNamespaces(FailedPrecondition):
    """Pods with a user namespace of their own cannot run with this handler on this node."""


class Handlers:
    """The handlers that work on this node; "" names the default one."""

    def __init__(
        self, runtimes: Mapping[str, Runtime], default: str, missing: Mapping[str, RuntimeMissing] = NONE
    ) -> None:
        """``missing`` are the configured ones that cannot be used."""
        self._runtimes = dict(runtimes)
        self._default = default
        self._missing = dict(missing)
        self._abilities: dict[str, Abilities] = {}
        self._unusable: dict[str, str] = {}
        self._refused = ""

    @classmethod
    def find(cls, config: Config, root: Path, cgroup_driver: str) -> "Handlers":
        """Look up the configured runtimes and, beside them, crun and runc on PATH and our own beside the
        daemon; state goes below ``root``.

        One that is missing is left out with a warning; only a missing default fails a request, and
        Status then says so.
        """
        found: dict[str, Runtime] = {}
        missing: dict[str, RuntimeMissing] = {}
        timeout_s = config.runtime.runtime_command_timeout_s
        arguments = ("--systemd-cgroup",) if cgroup_driver == "systemd" else ()

        def attempt(name: str, path: Path | None, state: Path | None, *, quiet: bool = False) -> None:
            place = state or root / name
            try:
                found[name] = (
                    OwnRuntime.find(name, place, systemd=cgroup_driver == "systemd", timeout_s=timeout_s)
                    if name == own.HANDLER and path is None
                    else CliRuntime.find(name, str(path or ""), place, arguments, timeout_s)
                )
                place.mkdir(mode=0o700, parents=True, exist_ok=True)
            except RuntimeMissing as error:
                if not quiet:
                    missing[name] = error
                    logger.warning("handler %s left out: %s", name, error)

        for name, table in config.runtime.runtimes.items():
            attempt(name, table.runtime_path, table.runtime_root)
        for name in PREFERRED:
            if name not in config.runtime.runtimes:
                attempt(name, None, None, quiet=True)
        default = config.runtime.default_runtime or next((name for name in PREFERRED if name in found), "")
        handlers = cls(found, default, missing)
        if problem := handlers.problem():
            logger.warning("no container can run: %s", problem)
        return handlers

    def require_those_of(self, former: "Handlers") -> None:
        """
        Raises:
            HandlersLost: one that ``former`` has is configured and cannot be used now, or no default is left.
        """
        lost = [str(error) for name, error in self._missing.items() if name in former._runtimes]
        if not lost and self.problem() and not former.problem():
            lost = [self.problem()]
        if lost:
            raise HandlersLost("; ".join(lost))

    @property
    def default(self) -> str:
        """The name of the default handler; it may be one that is missing."""
        return self._default

    def problem(self) -> str:
        """Why no container can run, for Status; "" when all is well."""
        if self._default in self._runtimes:
            return self._refused or self._unusable.get(self._default, "")
        return (
            f"no OCI runtime: install crun or runc, or set runtime_path (default handler {self._default!r})"
        )

    def get(self, name: str) -> Runtime:
        """The runtime for a handler's name.

        Raises:
            UnknownHandler: there is none; the message lists those that there are.
        """
        runtime = self._runtimes.get(name or self._default)
        if runtime is None:
            asked = name or self._default
            raise UnknownHandler(f"runtime handler {asked!r} is unknown; this node has {self.names()}")
        return runtime

    async def probe(self) -> None:
        """Ask the runtimes what they can do; before that, they are taken to be able to do nothing special.

        One that does not answer makes no new pods until it does: ``unusable`` has the reason.
        """
        await asyncio.gather(*map(self.probe_one, self._runtimes), return_exceptions=True)

    async def probe_one(self, name: str) -> None:
        """
        Raises:
            PodwrightError, OSError: it does not answer.
        """
        runtime = self._runtimes[name]
        self._unusable.setdefault(name, f"{runtime.path} has not answered yet")
        try:
            self._abilities[name] = await probe(runtime)
        except (PodwrightError, OSError) as error:
            self._unusable[name] = f"{runtime.path} does not answer: {error}; try it by hand"
            raise
        del self._unusable[name]
        able = [what for what, is_so in asdict(self._abilities[name]).items() if is_so]
        logger.info(
            "handler answers handler=%s path=%s can=%s", name, runtime.path, ",".join(able) or "nothing"
        )

    def refuse(self, reason: str) -> None:
        """Let no handler make new pods, whether it answers or not; for good."""
        self._refused = reason

    def unusable(self) -> Mapping[str, str]:
        """Why, for each handler that is there and does not answer."""
        return dict(self._unusable)

    def require_usable(self, name: str) -> None:
        """
        Raises:
            UnknownHandler: there is no such handler.
            HandlerUnusable: it does not answer.
        """
        self.get(name)
        if reason := self._refused or self._unusable.get(name or self._default, ""):
            raise HandlerUnusable(f"runtime handler {name or self._default!r}: {reason}")

    def view(self, name: str) -> RuntimeView:
        """What spec generation must know of a handler's runtime."""
        can = self._can(name)
        return RuntimeView(
            recursive_readonly=can.recursive_readonly,
            idmapped_mounts=can.idmapped_mounts,
            is_vm=self.get(name).kind is Kind.RUNSC,
        )

    def _can(self, name: str) -> Abilities:
        return self._abilities.get(name or self._default, Abilities())

    def has_user_namespaces(self, name: str, host: HostView) -> bool:
        """Whether pods with user namespaces run: the runtime joins one, the kernel maps the ids of layers."""
        return self._can(name).user_namespaces and host.kernel_idmapped_mounts

    def require_user_namespaces(self, name: str, host: HostView) -> None:
        """
        Raises:
            UnknownHandler: there is no such handler.
            NoUserNamespaces: it has none.
        """
        self.get(name)
        if not self.has_user_namespaces(name, host):
            lacking = "runtime" if host.kernel_idmapped_mounts else "kernel, or the file system of root,"
            raise NoUserNamespaces(
                f"userns_options.mode is POD: with runtime handler {name or self._default!r} "
                f"this node's {lacking} cannot do that"
            )

    def has_recursive_readonly(self, name: str, host: HostView) -> bool:
        """Whether recursive read-only mounts work: by the runtime, or made ready for it."""
        return host.kernel_recursive_readonly and not self.view(name).is_vm

    def takes_compiled_filters(self, name: str) -> bool:
        """Whether the runtime loads seccomp programs that are compiled ahead (oci.precompiled)."""
        runtime = self.get(name)
        return runtime.kind is Kind.CRUN or runtime.path.name == own.PROGRAM

    def names(self) -> list[str]:
        return sorted(self._runtimes)

    def messages(self, host: HostView) -> list[pb.RuntimeHandler]:
        """What Status reports: every handler, and the default once more under ""."""
        names = self.names()
        return [
            pb.RuntimeHandler(
                name=name,
                features=pb.RuntimeHandlerFeatures(
                    recursive_read_only_mounts=self.has_recursive_readonly(name, host),
                    user_namespaces=self.has_user_namespaces(name, host),
                ),
            )
            for name in (["", *names] if self._default in self._runtimes else names)
        ]
