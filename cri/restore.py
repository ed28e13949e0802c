"""After a restart: records from disk, the truth from the monitor, and what is half done is undone.

Nothing that is wrong with one object keeps the daemon from starting, or from serving the others:

    a record that cannot be read      told of, and nothing of its object is touched
    one that cannot be brought up     tried again in the background (cri/supervise.py)
    a leftover that cannot be removed
    what is half made                 undone now, or behind when that takes longer than UNDO_PATIENCE_S
"""

import asyncio
import contextlib
import logging
import re
import signal
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TypeVar

from api.errors import PodwrightError
from api.ids import ContainerId
from cri import exits
from cri.containers import lifecycle
from cri.containers import record as containers
from cri.containers.remove import undo as undo_container
from cri.containers.stop import kill
from cri.forget import forget
from cri.logs import fields
from cri.node import Node
from cri.operations import Operation
from cri.readback import showable_container, showable_sandbox
from cri.records import Unreadable
from cri.sandboxes import lifecycle as sandbox_lifecycle
from cri.sandboxes import record as sandboxes
from cri.sandboxes.release import undo as undo_sandbox
from cri.subject import of_id, of_sandbox
from cri.supervise import Work
from host.namespaces import is_pinned
from oci.monitor.protocol import Record
from oci.monitor.types import Exited, MonitorUnavailable, NotLive, UnknownContainer

logger = logging.getLogger(__name__)
R = TypeVar("R", containers.Container, sandboxes.Sandbox)

UNDO_PATIENCE_S = 60.0
RUNTIME_PATIENCE_S = 5.0
_ID = re.compile(r"[0-9a-f]{64}")


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
    with operation.step("undo of what is half made, and sweep"):
        works = _undo_unfinished(node) | await _unknown(node)
        await node.background.first_tries(works, UNDO_PATIENCE_S)
    with operation.step("root file systems"):
        await node.background.attempt("root file systems", partial(_restore_rootfs, node))
        _note_leftovers(node)
    with operation.step("address leases"):
        await node.background.attempt("address leases", partial(_collect, node))


async def _reconcile(node: Node) -> None:
    watched = {record.id: record for record in await node.monitor.list()}
    for container in node.containers:
        work = partial(_bring_up, node, container, watched.get(container.id))
        await node.background.attempt(f"restore of container {container.id}", work)
    for sandbox in node.sandboxes:
        work = partial(_reconcile_sandbox, node, sandbox, watched.get(sandbox.id))
        await node.background.attempt(f"restore of sandbox {sandbox.id}", work)


async def _settle(node: Node) -> None:
    """A runtime's command that hangs, on a dead disk perhaps, must not keep the whole node down."""
    try:
        await node.monitor.settle()
    except (MonitorUnavailable, OSError) as error:
        logger.warning("a runtime's command of before is still running: %s", error)


def _read(node: Node) -> None:
    """Records into memory, in the order of their creation; what cannot be read or shown is set aside."""
    found, unreadable = node.records.read(sandboxes.KIND, lambda row: _checked(showable_sandbox(row)))
    for sandbox in sorted(found, key=lambda sandbox: sandbox.created_ns):
        node.sandboxes.add(sandbox)
    for bad in unreadable:
        _set_aside(node, sandboxes.KIND, bad)
    read, unreadable = node.records.read(containers.KIND, lambda row: _checked(showable_container(row)))
    for container in sorted(read, key=lambda container: container.created_ns):
        node.containers.add(container)
    for bad in unreadable:
        _set_aside(node, containers.KIND, bad)


def _set_aside(node: Node, kind: str, bad: Unreadable) -> None:
    """Nothing of it is touched until somebody removes it by its id."""
    node.quarantine.add(kind, bad.id, bad.why)
    node.unreadable.add(bad.id)
    node.background.note(
        f"record of {kind} {bad.id}",
        f"cannot be read, {bad.why}; what it holds is left as it is: remove it by its id, or reboot the node",
    )


def _checked(record: R) -> R:
    """A record of which lists can be made, and whose id and cgroup are its own.

    Raises:
        ValueError, TypeError: it is not.
    """
    if not _ID.fullmatch(record.id):
        raise ValueError(f"the id is {record.id[:80]!r}")
    if isinstance(record, containers.Container):
        _check_cgroup(record)
    if not isinstance(record.created_ns, int):
        raise TypeError("the time of its creation is no number")
    record.item().SerializeToString()
    record.to_row()
    return record


def _check_cgroup(container: containers.Container) -> None:
    """Everything in that cgroup is killed when the container is."""
    if container.cgroup_path and container.id not in container.cgroup_path:
        raise ValueError(f"the cgroup is {container.cgroup_path[:200]!r}")


async def _bring_up(node: Node, container: containers.Container, seen: Record | None) -> None:
    """Tried again it may meet verbs, so it waits for its turn; one that is gone needs nothing."""
    async with container.queue.turn(Operation("restore", container.id)):
        if not node.containers.holds(container):
            return
        if container.alive and seen is None:
            await _end_unwatched(node, container)
        elif container.alive and seen is not None and seen.state == "created" and seen.started_at_ns:
            seen = await _after_interrupted_start(node, container, seen)
        elif container.phase is containers.Phase.EXITED and seen is not None and seen.state != "exited":
            logger.warning("container %s failed to start, but runs: ending it", container.id[:12])
            await kill(node, container)
        _reconcile_container(node, container, seen)


async def _after_interrupted_start(node: Node, container: containers.Container, seen: Record) -> Record:
    """Daemon and monitor were both killed while it was started: the runtime knows whether it was.

    One that does not say leaves the container created, and a start of it fails or succeeds.
    """
    try:
        async with asyncio.timeout(RUNTIME_PATIENCE_S):
            state = await node.handlers.get(container.handler).state(container.id)
    except (PodwrightError, TimeoutError) as error:
        logger.warning("container %s may have been started: %s", container.id[:12], error)
        return seen
    if state is None or state.get("status") != "running":
        return seen
    await node.monitor.started(container.id)
    return seen._replace(state="running")


async def _end_unwatched(node: Node, container: containers.Container) -> None:
    """Daemon, monitor and keeper were all killed: nobody holds the container's output any more, so that it
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


async def _reconcile_sandbox(node: Node, sandbox: sandboxes.Sandbox, seen: Record | None) -> None:
    if sandbox.phase is not sandboxes.Phase.READY:
        return
    gone = [kind for kind, path in sandbox.namespaces.items() if not is_pinned(path)]
    ended = bool(sandbox.pause_pid) and (seen is None or seen.state == "exited")
    if not gone and not ended:
        return
    what = f"its namespaces are gone: {', '.join(gone)}" if gone else "its pause process has ended"
    logger.warning("pod is not ready, %s", what, extra=fields(**of_sandbox(sandbox)))
    sandbox_lifecycle.move(node, sandbox, sandboxes.Phase.STOPPED)


def _undo_unfinished(node: Node) -> dict[str, Work]:
    """What was being created when the daemon ended; the kubelet asks again."""
    works: dict[str, Work] = {}
    for container in node.containers:
        if container.phase is containers.Phase.CREATING:
            works[f"undo of CreateContainer {container.id}"] = partial(undo_container, node, container)
    for sandbox in node.sandboxes:
        if sandbox.phase is sandboxes.Phase.CREATING:
            works[f"undo of RunPodSandbox {sandbox.id}"] = partial(_undo_sandbox, node, sandbox)
    return works


async def _undo_sandbox(node: Node, sandbox: sandboxes.Sandbox) -> None:
    """One whose undo fails is listed as not ready from then on, for the kubelet to remove."""
    undo = Operation("undo RunPodSandbox", sandbox.id)
    async with sandbox.queue.turn(undo):
        if not node.sandboxes.holds(sandbox):
            return
        told = of_id(node, sandbox.id)
        if await undo_sandbox(node, sandbox, undo) is None:
            logger.info("%s done", undo.verb, extra=fields(**told))


async def _unknown(node: Node) -> dict[str, Work]:
    """Processes and root file systems of nobody; those of records that cannot be read are somebody's."""
    if node.records.damaged:
        await _spare_unknown(node)
    watched = {record.id for record in await node.monitor.list()}
    mounted = await asyncio.to_thread(node.rootfs.known)
    return {
        f"leftovers of unknown container {identifier}": partial(
            _end_unknown, node, ContainerId(identifier), watched=identifier in watched
        )
        for identifier in watched | mounted
        if not _is_known(node, identifier)
    }


async def _spare_unknown(node: Node) -> None:
    """Records were lost with a damaged file: that an object has none says nothing then."""
    found = {record.id for record in await node.monitor.list()}
    for identifier in found | await asyncio.to_thread(node.rootfs.known):
        if not _is_known(node, identifier):
            node.unreadable.add(identifier)
            node.background.note(
                f"container {identifier}",
                "its record was lost, and it is left as it is: drain and reboot the node, or end it by hand",
            )


def _is_known(node: Node, identifier: str) -> bool:
    """Whether a container or a sandbox has this id, or may have it."""
    return (
        node.containers.find(identifier) is not None
        or node.sandboxes.find(identifier) is not None
        or identifier in node.unreadable
    )


async def _end_unknown(node: Node, identifier: ContainerId, *, watched: bool) -> None:
    """Processes first: nothing is taken away from under one that lives."""
    logger.warning("container %s has no record: removing what is left of it", identifier[:12])
    if watched:
        await _end_processes(node, identifier)
    if identifier in await asyncio.to_thread(node.rootfs.known):
        await node.rootfs.remove(identifier)


async def _end_processes(node: Node, identifier: ContainerId) -> None:
    """
    Raises:
        MonitorFailed: they live on.
    """
    with contextlib.suppress(NotLive, UnknownContainer):
        await node.monitor.signal(identifier, signal.SIGKILL)
    for name in node.handlers.names():
        # One that does not answer must not keep the others from theirs.
        if name not in node.handlers.unusable():
            with contextlib.suppress(PodwrightError):
                await node.handlers.get(name).delete(identifier, force=True)
    await forget(node, identifier)


async def _restore_rootfs(node: Node) -> None:
    known = await asyncio.to_thread(node.rootfs.known)
    unused = {identifier for identifier in known if not _may_be_in_use(node, identifier)}
    for path, error in (await node.rootfs.restore(unused)).items():
        _leftover(node, path, error, partial(node.rootfs.discard, path))


def _may_be_in_use(node: Node, identifier: str) -> bool:
    """Whether a process may see this root file system; else it waits for its removal, or the rest of it."""
    container = node.containers.find(identifier)
    return _is_known(node, identifier) and (container is None or container.alive)


def _note_leftovers(node: Node) -> None:
    """What the store found and could not remove when it was opened."""
    for path, error in node.images.leftovers.items():
        _leftover(node, path, error, partial(node.images.discard, path))
    if (problem := node.images.registries_problem) is not None:
        node.background.until_done("registries.conf", node.images.load_registries)
        node.background.note("registries.conf", problem)


def _leftover(node: Node, path: Path, error: OSError, remove: Callable[[], None]) -> None:
    key = f"leftover {path}"
    node.background.note(key, f"cannot be removed: {error}")
    node.background.until_done(key, lambda: asyncio.to_thread(remove))


async def _collect(node: Node) -> None:
    """Addresses of pods that are gone; whose record cannot be read, or was lost, is not."""
    if node.records.damaged:
        return
    await node.network.collect([*(sandbox.id for sandbox in node.sandboxes), *node.unreadable])
