"""Pause and unpause: all processes of a container are frozen, and go on as if nothing had been.

    running ──pause──▶ frozen ──unpause, or StopContainer──▶ running

The state is the kernel's own (cgroup freezer), so that it outlives the daemon and there is nothing to repair.
The CRI knows no such state: a frozen container is RUNNING, and its probes fail.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable

from api.errors import FailedPrecondition
from cri.containers.record import Container, Phase
from cri.containers.status import get_finished
from cri.logs import fields
from cri.node import Node
from cri.operations import Operation
from cri.subject import of_container

logger = logging.getLogger(__name__)

Work = Callable[[Node, Container], Awaitable[None]]


class NotRunning(FailedPrecondition):
    """Only what runs can be paused."""


class NotPaused(FailedPrecondition):
    """Only what is paused can go on."""


async def pause(node: Node, identifier: str) -> None:
    """Freeze it; done when every process stands still.

    Raises:
        RecordNotFound: there is none. NotRunning: it does not run, or is paused already.
        WillNotFreeze: a process of it sleeps in the kernel; all go on then.
    """
    await _run(node, "PauseContainer", get_finished(node, identifier), _pause)


async def unpause(node: Node, identifier: str) -> None:
    """Let it go on.

    Raises:
        RecordNotFound: there is none. NotPaused: it is not paused.
    """
    await _run(node, "UnpauseContainer", get_finished(node, identifier), _unpause)


async def _run(node: Node, verb: str, container: Container, work: Work) -> None:
    async def turn(operation: Operation) -> None:
        async with container.queue.turn(operation):
            node.containers.require(container)
            await work(node, container)

    await node.operations.run(verb, container.id, turn)


async def _pause(node: Node, container: Container) -> None:
    if container.phase is not Phase.RUNNING:
        raise NotRunning(f"container {container.id[:12]} is {container.phase}, not running")
    if node.cgroups.is_frozen(container.cgroup_path):
        raise NotRunning(f"container {container.id[:12]} is paused already")
    await asyncio.to_thread(node.cgroups.freeze, container.cgroup_path)
    logger.info("container paused", extra=fields(**of_container(node, container)))


async def _unpause(node: Node, container: Container) -> None:
    if not container.alive or not node.cgroups.is_frozen(container.cgroup_path):
        raise NotPaused(f"container {container.id[:12]} is not paused")
    await asyncio.to_thread(node.cgroups.thaw, container.cgroup_path)
    logger.info("container unpaused", extra=fields(**of_container(node, container)))
