"""The pod network of a node: the chosen configuration list, kept current, and attach and detach with it.

ready    asked again every few seconds, not only when a file changes: an agent that a plugin needs (STATUS)
         comes and goes without one
attach   lo up, the list's ADD in order, host ports if no plugin of the list maps them, the result cached;
         a failure undoes everything
detach   by the cached configuration and result, else by the current list; host ports; idempotent
"""

import asyncio
import logging
from collections.abc import AsyncIterator, Callable, Collection, Coroutine, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from functools import partial
from ipaddress import ip_address
from pathlib import Path
from typing import TypeVar

from api.errors import PodwrightError
from cni.builtin.loopback import bring_up
from cni.builtin.registry import Mode, Registry, builtins
from cni.cache import Entry, ResultCache
from cni.call import Call
from cni.chain import Chain, Step, untimed
from cni.conflist import Directory, NetworkList, parse_list, read_directory
from cni.errors import NetworkNotReady, PluginFailed, PluginTimedOut
from cni.fields import Json, boolean, mapping
from cni.hostports import HostPorts, owner_of, port_mappings_of
from cni.nat import Nat
from cni.plugin import ExecutedPlugin, Timeouts
from cni.pod import IFNAME, Attachment, PodNetwork, call_for, call_for_removal, host_ports
from cni.result import parse
from cni.watch import Watch
from host.workers import Workers

T = TypeVar("T")

_WORKERS = 16
_RECHECK_S = 10.0
_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Readiness:
    """Whether pods can get a network; ``reason`` is a CamelCase word, ``message`` a sentence ("" if ok)."""

    ok: bool
    reason: str = ""
    message: str = ""


class Network:
    """The CNI side of a node. Made by the daemon; start() before use, close() at the end."""

    def __init__(
        self,
        conf_dir: Path,
        plugin_dirs: Collection[Path],
        cache_dir: Path,
        default_network: str = "",
        builtin: str = "auto",
        timeouts: Timeouts | None = None,
        recheck_s: float = _RECHECK_S,
    ) -> None:
        self._conf_dir = conf_dir
        self._plugin_dirs = tuple(plugin_dirs)
        self._default = default_network
        self._timeouts = timeouts or Timeouts()
        self._recheck_s = recheck_s
        self._cache = ResultCache(cache_dir)
        self._executor = Workers(_WORKERS, "cni")
        self._nat = Nat()
        self._host_ports = HostPorts(self._nat)
        self._registry = Registry(
            builtins(self._nat), Mode(builtin), self._plugin_dirs, self._timeouts, self._executor
        )
        self._chosen: tuple[str, NetworkList] | None = None
        self._problems: Mapping[str, str] = {}
        self._plugin_problem = ""
        self._trouble = ""
        self._told: tuple[str, ...] = ()
        self._changed = asyncio.Event()
        self._reloading = asyncio.Lock()
        self._watch: Watch | None = None
        self._busy: dict[str, tuple[asyncio.Lock, int]] = {}
        self._tasks: set[asyncio.Task[None]] = set()

    async def start(self) -> None:
        """Read the configuration and watch it; the directory is made if it is missing.

        What cannot be read or watched now is tried again with every recheck, and ``ready`` tells of it.
        """
        self._watch = Watch((self._conf_dir, *self._plugin_dirs), self._reload_soon)
        try:
            await asyncio.to_thread(self._conf_dir.mkdir, parents=True, exist_ok=True)
            self._watch.start()
            await self.reload()
        except Exception as error:
            _log.warning("the pod network could not be read yet error=%s", error)
            self._trouble = f"{self._conf_dir} cannot be read: {error}"
        self._spawn(self._recheck(self._watch))

    async def close(self) -> None:
        """Stop watching; attachments stay."""
        if self._watch is not None:
            self._watch.close()
            self._watch = None
        for task in tuple(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await asyncio.to_thread(self._executor.shutdown)
        self._nat.close()

    async def reload(self) -> None:
        """Read the configuration directory now; a file that broke keeps its last good content."""
        async with self._reloading:
            await self._reload()

    async def _reload(self) -> None:
        found = await asyncio.to_thread(read_directory, self._conf_dir)
        self._trouble = ""
        before = self._chosen
        self._chosen = _choose(found, self._default, before)
        self._problems = found.errors
        self._plugin_problem = await self._plugin_trouble()
        self._tell()

    def _tell(self) -> None:
        """Wake those who wait for a change; log what is new."""
        chosen = self._chosen[1] if self._chosen else None
        name = chosen.name if chosen else ""
        errors = "; ".join((*self._problems.values(), *filter(None, [self._plugin_problem])))
        told = (name, str(chosen.raw) if chosen else "", errors)
        if told != self._told:
            self._told = told
            if chosen is None:
                _log.warning("pods run on the host's network alone: %s", self.ready().message)
            elif errors:
                _log.warning("pod network chosen network=%s errors=%s", name, errors)
            else:
                _log.info("pod network chosen network=%s", name)
        self._changed.set()
        self._changed = asyncio.Event()

    async def _recheck(self, watch: Watch) -> None:
        """Ask again from time to time whether plugins are ready; read everything again while they are not."""
        while True:
            await asyncio.sleep(self._recheck_s)
            try:
                if self._trouble:
                    watch.start()
                if watch.renew() or not self.ready().ok:
                    await self.reload()
                else:
                    await self._ask_status()
            except (PodwrightError, OSError) as error:
                _log.warning("the pod network could not be checked error=%s", error)
            except Exception:
                _log.exception("the pod network could not be checked")

    async def _ask_status(self) -> None:
        """STATUS of the chosen list; from CNI 1.1.0 on, nothing is run before."""
        async with self._reloading:
            if self._chosen is None:
                return
            network = self._chosen[1]
            try:
                await Chain(network, self._registry.choose).status()
            except PodwrightError as error:
                self._plugin_problem = _trouble(network, error)
                self._tell()

    def ready(self) -> Readiness:
        """Whether attach can work: there is a configuration, and its plugins are there."""
        trouble = "; ".join((*self._problems.values(), *filter(None, [self._trouble])))
        if self._chosen is None:
            wanted = f" for the network {self._default!r}" if self._default else ""
            text = f"cni config uninitialized: no CNI configuration{wanted} in {self._conf_dir}"
            return Readiness(False, "NetworkPluginNotReady", f"{text}; {trouble}" if trouble else text)
        if self._plugin_problem:
            return Readiness(False, "NetworkPluginNotReady", self._plugin_problem)
        broken = self._problems.get(self._chosen[0])
        if broken:
            return Readiness(True, "", f"the last good configuration is in use: {broken}")
        return Readiness(True)

    async def result(self, sandbox_id: str) -> Json | None:
        """What the plugins said of a pod that is attached; None of one that is not, or not readably."""
        entries = await self._in_thread(lambda: self._cache.of_container(sandbox_id))
        return entries[-1].result if entries else None

    async def wait_ready(self, timeout_s: float) -> None:
        """Wait until ready() says yes.

        Raises:
            NetworkNotReady: the time is up; the text is ready()'s.
        """
        try:
            async with asyncio.timeout(timeout_s):
                while not self.ready().ok:
                    await self._changed.wait()
        except TimeoutError:
            raise NetworkNotReady(self.ready().message) from None

    async def attach(self, pod: PodNetwork, step: Step = untimed) -> Attachment:
        """Put a pod on the network, each plugin in a ``step``; a failure leaves nothing of it.

        Raises:
            NetworkNotReady: no configuration.
            NetworkConfigInvalid: the configuration or the pod's wishes are wrong.
            PluginFailed, PluginMissing, PluginTimedOut, HostPortTaken: as they say.
        """
        if self._chosen is None:
            raise NetworkNotReady(self.ready().message)
        network = self._chosen[1]
        call = call_for(pod)
        if not call.netns:
            raise PluginFailed(f"the network namespace {pod.netns} does not exist")
        async with self._alone(pod.sandbox_id):
            return await self._within(
                self._timeouts.add_s, "ADD", network, self._attach(network, call, pod, step)
            )

    async def detach(self, pod: PodNetwork) -> None:
        """Take a pod off the network; again, or never attached, is fine.

        Raises:
            PluginFailed, PluginMissing, PluginTimedOut: something is left; detach again.
        """
        call = call_for_removal(pod)
        async with self._alone(pod.sandbox_id):
            entries = await self._in_thread(lambda: self._cache.of_container(pod.sandbox_id))
            for entry in entries:
                network = parse_list(entry.config, f"cached configuration of {entry.network}")
                # A namespace that is gone must not be handed to plugins; the rest is as it was at ADD.
                again = replace(entry.call, netns=call.netns)
                deletion = self._detach(network, again, entry.result)
                await self._within(self._timeouts.delete_s, "DEL", network, deletion)
            if not entries and self._chosen is not None:
                network = self._chosen[1]
                await self._within(self._timeouts.delete_s, "DEL", network, self._detach(network, call, None))

    async def check(self, pod: PodNetwork) -> None:
        """Ask the plugins whether the attachment is still as they made it (CHECK)."""
        for entry in await self._in_thread(lambda: self._cache.of_container(pod.sandbox_id)):
            network = parse_list(entry.config, f"cached configuration of {entry.network}")
            await Chain(network, self._registry.choose).check(entry.call, entry.result)

    async def collect(self, sandbox_ids: Collection[str]) -> None:
        """Detach whatever is cached for other sandboxes than these, then let plugins clean up (GC).

        Problems are logged: this is housekeeping, done before the first attachment.
        """
        await self._in_thread(self._cache.sweep)
        entries = await self._in_thread(self._cache.all)
        known = frozenset(sandbox_ids)
        for entry in entries:
            if entry.call.container_id not in known:
                await self._collect_one(entry)
        await self._in_thread(lambda: self._cache.discard_damaged(entries, known))
        if self._chosen is not None:
            valid = [(sandbox, IFNAME) for sandbox in sandbox_ids]
            try:
                await Chain(self._chosen[1], self._registry.choose).collect(valid)
            except PodwrightError as error:
                _log.warning("CNI garbage collection failed error=%s", error)

    async def _attach(self, network: NetworkList, call: Call, pod: PodNetwork, step: Step) -> Attachment:
        await self._in_thread(lambda: bring_up(call.netns))
        chain = Chain(network, self._registry.choose)
        document = await chain.add(call, step)
        try:
            result = parse(document, network.cni_version, f"network {network.name}")
            if pod.port_mappings and not _maps_ports(network):
                owner = owner_of(call.container_id, call.ifname)
                await self._in_thread(lambda: self._host_ports.open(owner, host_ports(pod), result))
            entry = Entry(network.name, network.raw, call, document)
            await self._in_thread(lambda: self._cache.store(entry))
        except BaseException:
            await self._undo(network, call, document)
            raise
        names = tuple(one.name for one in result.interfaces if one.sandbox)
        return Attachment(result.pod_ips(), names, document)

    async def _detach(self, network: NetworkList, call: Call, result: Json | None) -> None:
        # Without a result it is not known what ADD was given: look for host ports then, too.
        if not _maps_ports(network) and (result is None or "portMappings" in call.capabilities):
            await self._in_thread(lambda: self._close_ports(network, call, result))
        await Chain(network, self._registry.choose).delete(call, result)
        await self._in_thread(lambda: self._cache.remove(network.name, call))

    def _close_ports(self, network: NetworkList, call: Call, result: Json | None) -> None:
        where = f"result of the network {network.name}"
        made = () if result is None else parse(result, network.cni_version, where).pod_ips()
        mappings = port_mappings_of(call.capabilities, where)
        self._host_ports.close(owner_of(call.container_id, call.ifname), mappings, map(ip_address, made))

    async def _undo(self, network: NetworkList, call: Call, document: Json) -> None:
        try:
            await self._detach(network, call, document)
        except PodwrightError as error:
            _log.warning("undo of a failed attach failed sandbox=%s error=%s", call.container_id, error)

    async def _collect_one(self, entry: Entry) -> None:
        try:
            network = parse_list(entry.config, f"cached configuration of {entry.network}")
            live = replace(entry.call, netns="")
            await self._within(
                self._timeouts.delete_s, "DEL", network, self._detach(network, live, entry.result)
            )
        except PodwrightError as error:
            _log.warning("stale attachment stays container=%s error=%s", entry.call.container_id, error)

    async def _within(
        self, limit_s: float, verb: str, network: NetworkList, work: Coroutine[object, object, T]
    ) -> T:
        try:
            async with asyncio.timeout(limit_s):
                return await work
        except TimeoutError:
            raise PluginTimedOut(
                f"{verb} of the network {network.name} took longer than {limit_s:g} s"
            ) from None

    async def _in_thread(self, function: Callable[[], T]) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._executor, function)

    async def _plugin_trouble(self) -> str:
        """Why the chosen list cannot run: a plugin is missing, too old, or says so itself (STATUS)."""
        if self._chosen is None:
            return ""
        network = self._chosen[1]
        try:
            for conf in network.plugins:
                plugin = await self._in_thread(partial(self._registry.choose, conf))
                if isinstance(plugin, ExecutedPlugin):
                    await _check_version(plugin, network.cni_version)
            await Chain(network, self._registry.choose).status()
        except PodwrightError as error:
            return _trouble(network, error)
        return ""

    def _reload_soon(self) -> None:
        self._spawn(self.reload())

    def _spawn(self, work: Coroutine[object, object, None]) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._finished)

    def _finished(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            _log.error("the pod network could not be read again, and will be later error=%s", error)
            self._trouble = f"{self._conf_dir} cannot be read: {error}"

    @asynccontextmanager
    async def _alone(self, sandbox_id: str) -> AsyncIterator[None]:
        """One verb at a time for a sandbox."""
        lock, users = self._busy.get(sandbox_id, (asyncio.Lock(), 0))
        self._busy[sandbox_id] = (lock, users + 1)
        try:
            async with lock:
                yield
        finally:
            lock, users = self._busy[sandbox_id]
            if users == 1:
                del self._busy[sandbox_id]
            else:
                self._busy[sandbox_id] = (lock, users - 1)


def _choose(
    found: Directory, default: str, before: tuple[str, NetworkList] | None
) -> tuple[str, NetworkList] | None:
    """The list to use with its file: the named one, or the first; one that broke stays as it was."""
    lists = dict(found.lists)
    if before is not None and before[0] in found.errors:
        lists[before[0]] = before[1]
    for name in sorted(lists):
        if not default or lists[name].name == default:
            return name, lists[name]
    return None


def _trouble(network: NetworkList, error: PodwrightError) -> str:
    return f"network {network.name} ({network.source}): {error}"


async def _check_version(plugin: ExecutedPlugin, version: str) -> None:
    """Refuse a plugin that says it does not speak ``version``; one that cannot say is tried at ADD."""
    try:
        spoken = await plugin.versions()
    except PodwrightError as error:
        _log.warning("CNI plugin does not tell its versions plugin=%s error=%s", plugin.path, error)
        return
    if version not in spoken:
        raise PluginFailed(
            f"CNI plugin {plugin.kind} ({plugin.path}) does not speak cniVersion {version}, only"
            f" {', '.join(spoken)}"
        )


def _maps_ports(network: NetworkList) -> bool:
    """Whether a plugin of the list takes port mappings."""
    return any(
        boolean(mapping(conf, "capabilities", network.source), "portMappings", network.source)
        for conf in network.plugins
    )
