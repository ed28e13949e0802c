"""StopContainer: a signal, a grace period that later callers may shorten, then SIGKILL."""

import asyncio
import contextlib
import logging
import signal
import time

from api.errors import DeadlineExceeded
from api.runtime.v1 import api_pb2 as pb
from cri.containers.record import Container
from cri.logs import fields
from cri.node import Node
from cri.operations import Operation
from cri.subject import of_container
from oci.monitor.types import NotLive

logger = logging.getLogger(__name__)

# A year; the field has numbers for which no timer has room.
_LONGEST_S = 365 * 24 * 3600


class WillNotDie(DeadlineExceeded):
    """Processes outlive SIGKILL."""


async def stop_container(node: Node, request: pb.StopContainerRequest) -> pb.StopContainerResponse:
    """Stop a container; one that has ended or is not there is fine. ``timeout`` 0 is SIGKILL at once."""
    container = node.containers.find(request.container_id)
    if container is not None:
        await stop(node, container, min(max(0, request.timeout), _LONGEST_S))
    return pb.StopContainerResponse()


async def stop(node: Node, container: Container, grace_s: float) -> None:
    """End a container's processes; returns when its exit is on record.

    Raises:
        WillNotDie: they outlived SIGKILL for ctr_stop_timeout.
    """
    if not container.alive:
        return
    deadline = time.monotonic() + grace_s
    if container.stop_deadline is None or deadline < container.stop_deadline:
        container.stop_deadline = deadline
        container.hurry.set()
    await node.operations.run(
        "StopContainer",
        container.id,
        lambda operation: _stop(node, operation, container),
        of_container(node, container),
    )


async def _stop(node: Node, operation: Operation, container: Container) -> None:
    try:
        if container.stop_deadline is not None and container.stop_deadline > time.monotonic():
            with operation.step(f"signal {container.stop_signal} and grace"):
                await _signal(node, container, container.stop_signal)
                await _exited_in_grace(container)
        if not container.exited.is_set():
            with operation.step("kill"):
                await _kill_and_wait(node, container)
        told = fields(**of_container(node, container), ms=operation.milliseconds())
        logger.info("container stopped", extra=told)
    finally:
        container.stop_deadline = None


async def _signal(node: Node, container: Container, signo: int) -> None:
    """One that has just ended is fine: the word of its exit is on its way. One that was paused goes on, or it
    would never hear of it."""
    if container.cgroup_path and node.cgroups.is_frozen(container.cgroup_path):
        await asyncio.to_thread(node.cgroups.thaw, container.cgroup_path)
    with contextlib.suppress(NotLive):
        await node.monitor.signal(container.id, signo)


async def kill(node: Node, container: Container) -> None:
    """SIGKILL to all processes of a container; that they have ended is told later, if at all."""
    await _signal(node, container, signal.SIGKILL)
    if container.cgroup_path:
        await asyncio.to_thread(node.cgroups.kill, container.cgroup_path)


async def _exited_in_grace(container: Container) -> None:
    """Wait for the exit until the deadline, wherever other callers move it meanwhile."""
    waiting = asyncio.ensure_future(container.exited.wait())
    try:
        while not container.exited.is_set():
            left = (container.stop_deadline or 0.0) - time.monotonic()
            if left <= 0:
                return
            container.hurry.clear()
            hurried = asyncio.ensure_future(container.hurry.wait())
            await asyncio.wait({waiting, hurried}, timeout=left, return_when=asyncio.FIRST_COMPLETED)
            hurried.cancel()
    finally:
        waiting.cancel()


async def _kill_and_wait(node: Node, container: Container) -> None:
    await kill(node, container)
    patience_s = node.config.runtime.ctr_stop_timeout
    try:
        await asyncio.wait_for(container.exited.wait(), patience_s)
    except TimeoutError:
        raise WillNotDie(
            f"container {container.id[:12]} has not ended {patience_s:g} s after SIGKILL: probably a "
            f"process of it is in uninterruptible sleep; look at /proc/{container.pid}/stack"
        ) from None
