"""Which plugin carries out an entry of a configuration list: a built-in or a binary."""

from collections.abc import Mapping, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from cni.builtin.base import Builtin, BuiltinPlugin
from cni.builtin.bridge import Bridge
from cni.builtin.host_local import HostLocal
from cni.builtin.loopback import Loopback
from cni.builtin.portmap import PortMap
from cni.call import Plugin
from cni.errors import NetworkConfigInvalid, PluginMissing
from cni.fields import Json, string
from cni.nat import Nat
from cni.plugin import ExecutedPlugin, Timeouts, find


class Mode(StrEnum):
    """``builtin_plugins``: in-process where we can, ours or an error, only binaries."""

    AUTO = "auto"
    ALWAYS = "always"
    NEVER = "never"


def builtins(nat: Nat) -> Mapping[str, Builtin]:
    """The built-in plugins by type."""
    ipam = HostLocal()
    return {
        "loopback": Loopback(),
        "bridge": Bridge(ipam, nat),
        "host-local": ipam,
        "portmap": PortMap(nat),
    }


@dataclass(frozen=True, slots=True)
class Registry:
    """Chooses by type, configuration and ``mode``."""

    builtins: Mapping[str, Builtin]
    mode: Mode
    directories: Sequence[Path]
    timeouts: Timeouts
    executor: Executor

    def choose(self, conf: Json) -> Plugin:
        """The plugin for one entry.

        Raises:
            PluginMissing: neither a built-in nor a binary.
            NetworkConfigInvalid: a key that the built-in refuses, and no binary may or can do it.
        """
        kind = string(conf, "type", "plugin")
        builtin = None if self.mode is Mode.NEVER else self.builtins.get(kind)
        refused = builtin.refuses(conf) if builtin is not None else ""
        if builtin is not None and not refused:
            return BuiltinPlugin(kind, builtin, self.executor)
        path = find(kind, self.directories)
        if path is not None and not (refused and self.mode is Mode.ALWAYS):
            return ExecutedPlugin(kind, path, self.directories, self.timeouts)
        if refused:
            raise NetworkConfigInvalid(
                f"CNI plugin {kind}: {refused} is not supported by the built-in plugin"
                + (", and builtin_plugins is always" if path else f", and no binary is in {self._places()}")
            )
        raise PluginMissing(f"CNI plugin {kind} is in none of {self._places()}; install it there")

    def _places(self) -> str:
        return ", ".join(str(directory) for directory in self.directories) or "no plugin directory"
