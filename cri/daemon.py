"""The composition root: builds the Node, serves it, and takes it down in order.

    lock → records → store → monitor → network → restore → gRPC; the other way round at the end.

What is needed to serve is made or the start fails: the lock, the monitor, the socket. Everything else is done
for one object at a time under ``Node.background``: an error is that object's, is shown, and is tried again.

Containers outlive all of this, and as long as there are any the monitor does.
"""

import asyncio
import contextlib
import fcntl
import gc
import logging
import os
import signal
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from api.errors import FailedPrecondition, PodwrightError
from cni.network import Network
from cni.plugin import Timeouts
from conf.schema import Config
from cri import apparmor, exits, listener, watchdog
from cri.boot import forget_other_boots
from cri.cgroups import own_scopes
from cri.cgroups.ahead import MovesAhead
from cri.cgroups.choose import choose
from cri.containers.accounts import Accounts
from cri.containers.record import Container
from cri.defaults import HandlerDefaults, handler_defaults, without_profiles
from cri.events import Events
from cri.handlers import Handlers
from cri.image_options import image_options
from cri.node import Node
from cri.operations import Operations
from cri.paths import Paths
from cri.quarantine import Quarantine
from cri.records import Records
from cri.reload import PROFILES, Reread, watch
from cri.restore import restore
from cri.sandboxes.network import led_away
from cri.sandboxes.record import Sandbox
from cri.server import Traces
from cri.space import Space
from cri.store import Store
from cri.stream_backend import streaming_server
from cri.stuck_logs import StuckLogs
from cri.supervise import Supervisor
from host import features, security
from host.cgroups import Hierarchy, stay
from host.children import Orphans, zombies
from host.notify import notify
from host.private import claim
from host.reserve import Reserve
from host.threads import DetachedThreads
from host.workers import Workers
from oci import hostview, pause
from oci.monitor.client import Monitor
from oci.precompiled import Filters
from storage.images import Images
from storage.overlay import RootfsManager

if TYPE_CHECKING:
    from cri.metrics.collectors import Metrics

logger = logging.getLogger(__name__)

# Of the default executor, for the daemon's own files and cgroups.
_THREADS = 64
# Containers that are made at once; one whose volume hangs counts for as long as it hangs.
_VOLUME_THREADS = 128
# How long the start waits for runtimes, the default one and others, to say what they can do; later answers
# count, too.
_PROBE_PATIENCE_S = 10.0
_OTHERS_PATIENCE_S = 2.0


class AlreadyRunning(FailedPrecondition):
    """Another daemon holds this runroot."""


def _lock(runroot: Path) -> int:
    """Hold the state directory: two daemons on one would undo each other's pods."""
    descriptor = os.open(runroot / "lock", os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(descriptor)
        raise AlreadyRunning(f"another podwright serves {runroot}: stop it, or set another runroot") from None
    return descriptor


@asynccontextmanager
async def build(config: Config) -> AsyncIterator[Node]:
    """The parts of a daemon, connected and restored."""
    paths = Paths(config.runroot, config.runtime.namespaces_dir)
    await asyncio.to_thread(claim, listener.runroot_tree(config))
    space = Space(config)
    await asyncio.to_thread(space.runroot.spend_if_full)
    async with AsyncExitStack() as stack:
        stack.callback(os.close, _lock(paths.runroot))
        await asyncio.to_thread(forget_other_boots, paths.runroot)
        for directory in (paths.sandboxes, paths.containers, paths.mounts, paths.runtimes):
            directory.mkdir(mode=0o700, exist_ok=True)
        records = Records(paths.records, space.runroot)
        stack.callback(records.close)
        await asyncio.to_thread(_spend_if_full, space.root)
        images = await Images.open(
            config.root,
            image_options(config),
            lambda pid: own_scopes.house(pid, own_scopes.UNPACK, config.runtime.monitor_cgroup),
            reserve=space.root,
            repair=True,
        )
        stack.push_async_callback(images.close)
        await asyncio.to_thread(space.renew)
        network = _network(config)
        await network.start()
        stack.push_async_callback(network.close)
        hierarchy = Hierarchy.detect()
        driver = await choose(config.runtime.cgroup_manager, hierarchy)
        stack.push_async_callback(driver.close)
        handlers = Handlers.find(config, paths.runtimes, driver.name)
        monitor = await Monitor.connect(
            paths.runroot,
            timeout_s=config.runtime.monitor_timeout_s,
            scratch_apart=True,
            house=lambda pid: own_scopes.house(pid, own_scopes.MONITOR, config.runtime.monitor_cgroup),
        )
        stack.push_async_callback(monitor.leave)
        background = Supervisor()
        stack.push_async_callback(background.close)
        node = Node(
            config=config,
            paths=paths,
            records=records,
            sandboxes=Store[Sandbox]("sandbox"),
            containers=Store[Container]("container"),
            operations=Operations(config.runtime.slow_operation_seconds, config.runtime.timeline_size),
            events=Events(),
            images=images,
            rootfs=RootfsManager(config.root, images.database, images.layers),
            network=network,
            handlers=handlers,
            monitor=monitor,
            cgroups=hierarchy,
            cgroup_driver=driver,
            moves=MovesAhead(partial(stay, hierarchy)),
            host=hostview.gather(hierarchy, features.probe(config.root)),
            defaults=await _defaults(config, handlers, background),
            filters=Filters(),
            streaming=streaming_server(config, lambda: node),
            volume_threads=DetachedThreads("volumes", _VOLUME_THREADS),
            stuck_logs=StuckLogs(monitor.stuck_logs),
            quarantine=Quarantine(),
            accounts=Accounts(),
            background=background,
            space=space,
        )
        await _prepare(node)
        await restore(node)
        await node.streaming.start(led_away(node.sandboxes))
        stack.push_async_callback(node.streaming.close)
        yield node


def _spend_if_full(reserve: Reserve) -> None:
    """Of a directory that may not be there yet."""
    with contextlib.suppress(FileNotFoundError):
        reserve.spend_if_full()


async def _defaults(config: Config, handlers: Handlers, background: Supervisor) -> HandlerDefaults:
    """With a seccomp profile that cannot be read nothing new is made; what runs is served, and SIGHUP reads
    the mended one."""
    try:
        return await asyncio.to_thread(handler_defaults, config, handlers.default)
    except (PodwrightError, OSError) as error:
        handlers.refuse(f"{error}; mend it, then reload with SIGHUP")
        background.note(PROFILES, error)
        return await asyncio.to_thread(handler_defaults, without_profiles(config), handlers.default)


async def _prepare(node: Node) -> None:
    """What containers need, each by itself."""
    background, handlers = node.background, node.handlers
    probes = {f"handler {name}": partial(handlers.probe_one, name) for name in handlers.names()}
    default = {key: work for key, work in probes.items() if key == f"handler {handlers.default}"}
    others = {key: work for key, work in probes.items() if key not in default}
    await asyncio.gather(
        background.first_tries(default, _PROBE_PATIENCE_S),
        background.first_tries(others, _OTHERS_PATIENCE_S),
    )
    security.say_limitations(node.host.capabilities)
    if node.host.apparmor:
        profile = node.config.runtime.apparmor_profile
        await background.attempt("AppArmor profile", lambda: apparmor.load_default(profile))
    make = partial(pause.make_rootfs, node.paths.pause_rootfs, os.uname().machine)
    await background.attempt("pause program", lambda: asyncio.to_thread(make))


def _network(config: Config) -> Network:
    network = config.network
    return Network(
        conf_dir=network.network_dir,
        plugin_dirs=network.plugin_dirs,
        # On disk, not in runroot: what a reboot leaves of address leases is given back by it.
        cache_dir=config.root / "cni",
        default_network=network.cni_default_network,
        builtin=network.builtin_plugins,
        timeouts=Timeouts(add_s=network.cni_add_timeout_s, delete_s=network.cni_del_timeout_s),
    )


async def serve(config: Config, reread: Reread) -> None:
    """Serve until SIGTERM or SIGINT; containers go on running afterwards.

    SIGHUP reloads the configuration, SIGUSR1 writes where every task and thread waits.
    """
    stop, hangup = asyncio.Event(), asyncio.Event()
    loop = asyncio.get_running_loop()
    loop.set_default_executor(Workers(_THREADS, "daemon"))
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    loop.add_signal_handler(signal.SIGHUP, hangup.set)
    async with build(config) as node, AsyncExitStack() as stack:
        metrics = await _metrics(node, stack) if config.metrics.enable_metrics else None
        traces = await _traces(node, stack) if config.tracing.enable_tracing else None
        server = await listener.listen(node, metrics, traces)
        stack.push_async_callback(_end, await listener.listen_for_inspection(node))
        signal.signal(signal.SIGUSR1, lambda *_: _dump(loop, node.paths.dumps))
        background = node.background
        background.forever("exits", partial(_watch_exits, node, metrics))
        background.forever("orphans", Orphans().watch)
        background.forever("reload", lambda: watch(node, hangup, reread))
        background.forever("disk space", node.space.keep)
        background.forever("stuck logs", node.stuck_logs.watch)
        if config.stats.collects:
            from cri.stats import collect

            for name, period_s, work in collect.jobs(config.stats):
                background.forever(name, partial(collect.keep, node, period_s, work))
        if watch_s := watchdog.patience_s(os.environ, os.getpid()):
            ask = await stack.enter_async_context(watchdog.own_status(config.api.listen))
            background.forever(
                "watchdog", lambda: watchdog.feed(watch_s, ask, lambda: notify("WATCHDOG=1", os.environ))
            )
        # What was made until now lives as long as the daemon: the collector need not look at it again.
        gc.freeze()
        notify("READY=1", os.environ)
        logger.info("serving %s", config.api.listen)
        await stop.wait()
        notify("STOPPING=1", os.environ)
        logger.info("ending: containers go on")
        await server.stop(grace=1.0)
        await node.operations.drain(config.runtime.drain_timeout_s)


async def _end(server: asyncio.Server) -> None:
    server.close()


def _dump(loop: asyncio.AbstractEventLoop, directory: Path) -> None:
    """A signal's handler of the interpreter's own, so that it also runs while the loop is kept from turning:
    nothing here may wait for what the interrupted code holds, like the log."""
    from cri.inspect import dump

    try:
        written = f"where tasks and threads wait is in {dump.write(directory, loop)}"
    except OSError as error:
        written = f"where tasks and threads wait cannot be written: {error}"
    with contextlib.suppress(RuntimeError):  # the loop is closed
        loop.call_soon_threadsafe(logger.info, "%s", written)


async def _metrics(node: Node, stack: AsyncExitStack) -> "Metrics":
    from cri.metrics import service  # prometheus_client costs megabytes

    metrics, endpoint = await service.serve(node, lambda: len(zombies()))
    stack.push_async_callback(endpoint.close)
    return metrics


async def _traces(node: Node, stack: AsyncExitStack) -> Traces | None:
    """None where the optional packages are missing: pods matter more than spans."""
    try:
        from cri.tracing import service
    except ImportError as error:
        words = "enable_tracing has no effect: the packages of podwright[tracing] are not installed"
        node.background.note("tracing", f"{words} ({error})")
        return None
    spans, export = service.start(node)
    stack.push_async_callback(export.close)
    return spans


async def _watch_exits(node: Node, metrics: "Metrics | None") -> None:
    async for event in node.monitor.exits():
        node.background.until_done(f"exit {event.id}", partial(exits.handle, node, event))
        if metrics is not None and event.oom_killed:
            container = node.containers.find(event.id)
            metrics.out_of_memory(event.id if container is None else container.name, event.id)
