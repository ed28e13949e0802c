"""The verbs over a configuration list: ADD in order, DEL in reverse (CNI SPEC.md section 3).

conf of a call = the plugin's own configuration + name + cniVersion
                 + runtimeConfig (the declared capabilities that have a value) + prevResult
"""

import logging
from collections.abc import Callable, Iterable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass

from api.errors import PodwrightError
from cni import versions
from cni.call import Call, Plugin
from cni.conflist import NetworkList
from cni.errors import PluginFailed
from cni.fields import Json, mapping, string

Choose = Callable[[Json], Plugin]
# Times a part of an attachment under a name.
Step = Callable[[str], AbstractContextManager[object]]
_log = logging.getLogger(__name__)


def untimed(name: str) -> AbstractContextManager[object]:
    """For whoever does not care where the time goes."""
    return nullcontext()


@dataclass(frozen=True, slots=True)
class Chain:
    """A configuration list and the way to find a plugin for each of its entries."""

    network: NetworkList
    choose: Choose

    async def add(self, call: Call, step: Step = untimed) -> Json:
        """Run ADD along the list, each in a ``step`` of its name; a failure undoes the plugins before it and
        the one that failed.

        Returns:
            The last plugin's result document.
        """
        plugins = [self.choose(plugin) for plugin in self.network.plugins]
        result: Json | None = None
        for position, (plugin, conf) in enumerate(zip(plugins, self.network.plugins, strict=True)):
            try:
                with step(f"CNI plugin {string(conf, 'type', self.network.source)}"):
                    result = _versioned(await plugin.add(call, self.conf(conf, call, result)), self.network)
            except BaseException:
                await self._undo(call, position + 1, result)
                raise
        assert result is not None  # a list has a plugin
        return result

    async def check(self, call: Call, result: Json) -> None:
        """Run CHECK along the list; nothing to do before CNI 0.4.0 or with disableCheck."""
        if self.network.disable_check or not versions.at_least(self.network.cni_version, "0.4.0"):
            return
        for conf in self.network.plugins:
            await self.choose(conf).check(call, self.conf(conf, call, result))

    async def delete(self, call: Call, result: Json | None) -> None:
        """Run DEL in reverse, all of it even when some fail.

        Raises:
            PluginFailed: what failed, everything in one text.
        """
        await self._delete(call, len(self.network.plugins), result)

    async def status(self) -> None:
        """Ask each plugin whether it can take ADD (from CNI 1.1.0)."""
        if versions.at_least(self.network.cni_version, "1.1.0"):
            for conf in self.network.plugins:
                await self.choose(conf).status(self._named(conf))

    async def collect(self, valid: Iterable[tuple[str, str]]) -> None:
        """Tell each plugin which (container id, interface) pairs are alive (GC, from CNI 1.1.0)."""
        if self.network.disable_gc or not versions.at_least(self.network.cni_version, "1.1.0"):
            return
        attachments = [{"containerID": container, "ifname": ifname} for container, ifname in valid]
        for conf in self.network.plugins:
            extra = {"cni.dev/valid-attachments": attachments, "cni.dev/attachments": attachments}
            await self.choose(conf).collect({**self._named(conf), **extra})

    def conf(self, plugin: Json, call: Call, result: Json | None) -> Json:
        """The configuration document of one call."""
        document = self._named(plugin)
        declared = mapping(plugin, "capabilities", self.network.source)
        runtime = {key: value for key, value in call.capabilities.items() if declared.get(key) is True}
        if runtime:
            document["runtimeConfig"] = runtime
        if result is not None:
            document["prevResult"] = result
        return document

    def _named(self, plugin: Json) -> dict[str, object]:
        return {**plugin, "name": self.network.name, "cniVersion": self.network.cni_version}

    async def _undo(self, call: Call, count: int, result: Json | None) -> None:
        try:
            await self._delete(call, count, result)
        except PodwrightError as error:
            _log.warning("undo of a failed CNI ADD failed container=%s error=%s", call.container_id, error)

    async def _delete(self, call: Call, count: int, result: Json | None) -> None:
        previous = result if versions.at_least(self.network.cni_version, "0.4.0") else None
        failures: list[PodwrightError] = []
        for conf in reversed(self.network.plugins[:count]):
            try:
                await self.choose(conf).delete(call, self.conf(conf, call, previous))
            except PodwrightError as error:
                failures.append(error)
        if len(failures) == 1:
            raise failures[0]
        if failures:
            raise PluginFailed("; ".join(str(error) for error in failures))


def _versioned(result: Json, network: NetworkList) -> Json:
    """The result with a version: plugins may leave it out and mean that of the configuration."""
    if string(result, "cniVersion", "result"):
        return result
    return {**result, "cniVersion": network.cni_version}
