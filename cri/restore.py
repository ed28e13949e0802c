"""After a restart: records from disk, the truth from the monitor, and what is half done is undone."""

import asyncio
import contextlib
import logging
import signal
import time
from collections.abc import Awaitable

from api.ids import ContainerId
from cri import exits
from cri.containers import lifecycle
from cri.containers import record as containers
from cri.containers.remove import release as release_container
from cri.containers.stop import kill
from cri.forget import forget
from cri.grpc_errors import message_of, unforeseen
from cri.logs import fields
from cri.node import Node
from cri.operations import Operation
from cri.readback import showable_container, showable_sandbox
from cri.sandboxes import lifecycle as sandbox_lifecycle
from cri.sandboxes import record as sandboxes
from cri.sandboxes.release import undo as undo_sandbox
from cri.subject import of_id, of_sandbox
from host.namespaces import is_pinned
from oci.monitor.protocol import Record
from oci.monitor.types import Exited, MonitorFailed, MonitorUnavailable, NotLive, UnknownContainer

logger = logging.getLogger(__name__)


async def restore(node: Node) -> None:
    """Bring memory and disk in line with what runs; nothing that runs is touched."""
    await node.operations.run("Restore", "node", lambda operation: _restore(node, operation))
    logger.info("restored %d sandboxes and %d containers", len(node.sandboxes), len(node.containers))


async def _restore(node: Node, operation: Operation) -> None:
    with operation.step("records"):
        _read(node)
    with operation.step("commands of before"):
        await _settle(node)
    with operation.step("processes"):
        await _reconcile(node)
    with operation.step("undo of what is half made"):
        await _undo_unfinished(node)
    with operation.step("sweep"):
        await _sweep(node)


async def _reconcile(node: Node) -> None:
    watched = {record.id: record for record in await node.monitor.list()}
    for container in node.containers:
        seen = watched.get(container.id)
        if container.alive and seen is None:
            await _end_unwatched(node, container)
        elif container.phase is containers.Phase.EXITED and seen is not None and seen.state != "exited":
            logger.warning("container %s failed to start, but runs: ending it", container.id[:12])
            await kill(node, container)
        _reconcile_container(node, container, seen)
    for sandbox in node.sandboxes:
        _reconcile_sandbox(node, sandbox, watched.get(sandbox.id))


async def _settle(node: Node) -> None:
    """A runtime's command that hangs, on a dead disk perhaps, must not keep the whole node down."""
    try:
        await node.monitor.settle()
    except MonitorUnavailable as error:
        logger.warning("a runtime's command of before is still running: %s", error)


def _read(node: Node) -> None:
    """Records into memory, in the order of their creation; what cannot be read or shown is set aside."""
    found, unreadable = node.records.read(sandboxes.KIND, showable_sandbox)
    for sandbox in sorted(found, key=lambda sandbox: sandbox.created_ns):
        node.sandboxes.add(sandbox)
    for bad in unreadable:
        node.quarantine.add(sandboxes.KIND, bad.id, bad.why)
    read, unreadable = node.records.read(containers.KIND, showable_container)
    for container in sorted(read, key=lambda container: container.created_ns):
        node.containers.add(container)
    for bad in unreadable:
        node.quarantine.add(containers.KIND, bad.id, bad.why)


async def _end_unwatched(node: Node, container: containers.Container) -> None:
    """Daemon and monitor were both killed: nobody holds the container's output any more, so that it
    cannot go on; ended here, the kubelet replaces it."""
    logger.error("container %s lost its monitor while no daemon ran: ending it", container.id[:12])
    if container.cgroup_path:
        await asyncio.to_thread(node.cgroups.kill, container.cgroup_path)


def _reconcile_container(node: Node, container: containers.Container, seen: Record | None) -> None:
    if not container.alive:
        return
    if seen is None:
        event = Exited(container.id, None, time.time_ns(), oom_killed=False)
        exits.apply(node, container, event)
    elif seen.state == "exited":
        container.started_ns = container.started_ns or seen.started_at_ns
        event = Exited(container.id, seen.exit_code, seen.finished_at_ns, seen.oom_killed)
        exits.apply(node, container, event)
    elif seen.state == "running" and container.phase is containers.Phase.CREATED:
        container.started_ns = container.started_ns or seen.started_at_ns
        lifecycle.move(node, container, containers.Phase.RUNNING)
    if container.phase is containers.Phase.EXITED:
        exits.tell(node, container)


def _reconcile_sandbox(node: Node, sandbox: sandboxes.Sandbox, seen: Record | None) -> None:
    if sandbox.phase is not sandboxes.Phase.READY:
        return
    gone = [kind for kind, path in sandbox.namespaces.items() if not is_pinned(path)]
    ended = bool(sandbox.pause_pid) and (seen is None or seen.state == "exited")
    if not gone and not ended:
        return
    what = f"its namespaces are gone: {', '.join(gone)}" if gone else "its pause process has ended"
    logger.warning("pod is not ready, %s", what, extra=fields(**of_sandbox(sandbox)))
    sandbox_lifecycle.move(node, sandbox, sandboxes.Phase.STOPPED)


async def _undo_unfinished(node: Node) -> None:
    """What was being created when the daemon ended; the kubelet asks again."""
    for container in node.containers:
        if container.phase is containers.Phase.CREATING:
            undo = Operation("undo CreateContainer", container.id)
            await _undone(node, undo, release_container(node, container, undo))
    for sandbox in node.sandboxes:
        if sandbox.phase is sandboxes.Phase.CREATING:
            undo = Operation("undo RunPodSandbox", sandbox.id)
            if await undo_sandbox(node, sandbox, undo) is None:
                logger.info("%s %s done", undo.verb, undo.subject[:12])


async def _undone(node: Node, operation: Operation, work: Awaitable[None]) -> None:
    """One that cannot be undone must not keep the daemon from starting: the next start tries again."""
    told = of_id(node, operation.subject)
    try:
        await work
        logger.info("%s done", operation.verb, extra=fields(**told))
    except Exception as error:
        logger.error(
            "%s failed: %s",
            operation.verb,
            message_of(error),
            exc_info=unforeseen(error),
            extra=fields(**told, steps=operation.describe_steps()),
        )


async def _sweep(node: Node) -> None:
    """Processes, then root file systems, of which neither a container nor a sandbox is known."""
    for watched in await node.monitor.list():
        if _is_unknown(node, watched.id):
            logger.warning("container %s has no record: ending it", watched.id[:12])
            await _end_unknown(node, ContainerId(watched.id))
    watched_ids = {watched.id for watched in await node.monitor.list()}
    for identifier in await asyncio.to_thread(node.rootfs.known):
        if _is_unknown(node, identifier) and identifier not in watched_ids:
            logger.info("removing the root file system of unknown container %s", identifier[:12])
            await node.rootfs.remove(identifier)
    await node.rootfs.restore()


def _is_unknown(node: Node, identifier: str) -> bool:
    """Whether nobody has a record of it, not even one that cannot be read."""
    held = (node.quarantine.find(kind, identifier) for kind in (containers.KIND, sandboxes.KIND))
    return not (node.containers.find(identifier) or node.sandboxes.find(identifier) or any(held))


async def _end_unknown(node: Node, identifier: ContainerId) -> None:
    with contextlib.suppress(NotLive, UnknownContainer):
        await node.monitor.signal(identifier, signal.SIGKILL)
    for name in node.handlers.names():
        await node.handlers.get(name).delete(identifier, force=True)
    with contextlib.suppress(MonitorFailed):
        await forget(node, identifier)
