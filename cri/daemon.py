"""The composition root: builds the Node, serves it, and takes it down in order.

    lock → records → store → monitor → network → restore → gRPC; the other way round at the end.

Containers outlive all of this, and as long as there are any the monitor does.
"""

import asyncio
import fcntl
import gc
import logging
import os
import signal
from collections.abc import AsyncIterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from api.errors import FailedPrecondition
from cni.network import Network
from cni.plugin import Timeouts
from conf.schema import Config
from cri import apparmor, exits, listener, watchdog
from cri.boot import forget_other_boots
from cri.cgroups import own_scopes
from cri.cgroups.choose import choose
from cri.containers.accounts import Accounts
from cri.containers.record import Container
from cri.defaults import handler_defaults
from cri.events import Events
from cri.handlers import Handlers
from cri.image_options import image_options
from cri.node import Node
from cri.operations import Operations
from cri.paths import Paths
from cri.quarantine import Quarantine
from cri.records import Records
from cri.reload import Reread, watch
from cri.restore import restore
from cri.sandboxes.record import Sandbox
from cri.store import Store
from cri.stream_backend import streaming_server
from host import features, security
from host.cgroups import Hierarchy
from host.children import Orphans, zombies
from host.notify import notify
from host.private import claim
from host.threads import DetachedThreads
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
    async with AsyncExitStack() as stack:
        stack.callback(os.close, _lock(paths.runroot))
        await asyncio.to_thread(forget_other_boots, paths.runroot)
        for directory in (paths.sandboxes, paths.containers, paths.mounts, paths.runtimes):
            directory.mkdir(mode=0o700, exist_ok=True)
        records = Records(paths.records)
        stack.callback(records.close)
        images = await Images.open(
            config.root,
            image_options(config),
            lambda pid: own_scopes.house(pid, own_scopes.UNPACK, config.runtime.monitor_cgroup),
        )
        stack.push_async_callback(images.close)
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
            house=lambda pid: own_scopes.house(pid, own_scopes.MONITOR, config.runtime.monitor_cgroup),
        )
        stack.push_async_callback(monitor.leave)
        node = Node(
            config=config,
            paths=paths,
            records=records,
            sandboxes=Store[Sandbox]("sandbox"),
            containers=Store[Container]("container"),
            operations=Operations(config.runtime.slow_operation_seconds),
            events=Events(),
            images=images,
            rootfs=RootfsManager(config.root, images.database, images.layers),
            network=network,
            handlers=handlers,
            monitor=monitor,
            cgroups=hierarchy,
            cgroup_driver=driver,
            host=hostview.gather(hierarchy, features.probe(config.root)),
            defaults=await asyncio.to_thread(handler_defaults, config, handlers.default),
            filters=Filters(),
            streaming=streaming_server(config.api, lambda: node),
            volume_threads=DetachedThreads("volumes", _VOLUME_THREADS),
            quarantine=Quarantine(),
            accounts=Accounts(),
        )
        await node.handlers.probe()
        security.say_limitations(node.host.capabilities)
        if node.host.apparmor:
            await apparmor.load_default(config.runtime.apparmor_profile)
        await asyncio.to_thread(pause.make_rootfs, paths.pause_rootfs, os.uname().machine)
        await restore(node)
        await network.collect([sandbox.id for sandbox in node.sandboxes])
        await node.streaming.start()
        stack.push_async_callback(node.streaming.close)
        yield node


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

    SIGHUP reloads the configuration, SIGUSR1 prints where every task waits.
    """
    stop, hangup = asyncio.Event(), asyncio.Event()
    loop = asyncio.get_running_loop()
    loop.set_default_executor(ThreadPoolExecutor(_THREADS, thread_name_prefix="daemon"))
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    loop.add_signal_handler(signal.SIGHUP, hangup.set)
    loop.add_signal_handler(signal.SIGUSR1, _dump_tasks)
    async with build(config) as node, AsyncExitStack() as stack:
        metrics = await _metrics(node, stack) if config.metrics.enable_metrics else None
        server = await listener.listen(node, metrics)
        async with asyncio.TaskGroup() as tasks:
            watching = [
                tasks.create_task(_watch_exits(node, tasks, metrics), name="exits"),
                tasks.create_task(Orphans().watch(), name="orphans"),
                tasks.create_task(watch(node, hangup, reread), name="reload"),
            ]
            if watch_s := watchdog.patience_s(os.environ, os.getpid()):
                ask = await stack.enter_async_context(watchdog.own_status(config.api.listen))
                feeding = watchdog.feed(watch_s, ask, lambda: notify("WATCHDOG=1", os.environ))
                watching.append(tasks.create_task(feeding, name="watchdog"))
            # What was made until now lives as long as the daemon: the collector need not look at it again.
            gc.freeze()
            notify("READY=1", os.environ)
            logger.info("serving %s", config.api.listen)
            await stop.wait()
            notify("STOPPING=1", os.environ)
            logger.info("ending: containers go on")
            await server.stop(grace=1.0)
            await node.operations.drain(config.runtime.drain_timeout_s)
            for task in watching:
                task.cancel()


def _dump_tasks() -> None:
    """For an operator with a daemon that seems to hang: the stack of every task, on standard error."""
    for task in asyncio.all_tasks():
        task.print_stack()


async def _metrics(node: Node, stack: AsyncExitStack) -> "Metrics":
    from cri.metrics import service  # prometheus_client costs megabytes

    metrics, endpoint = await service.serve(node, lambda: len(zombies()))
    stack.push_async_callback(endpoint.close)
    return metrics


async def _watch_exits(node: Node, tasks: asyncio.TaskGroup, metrics: "Metrics | None") -> None:
    async for event in node.monitor.exits():
        if metrics is not None and event.oom_killed:
            container = node.containers.find(event.id)
            metrics.out_of_memory(event.id if container is None else container.name)
        tasks.create_task(exits.handle(node, event), name=f"exit {event.id}")
