"""What happens when a process that the monitor watches has ended."""

import asyncio
import logging
import time
from functools import partial

from api.runtime.v1 import api_pb2 as pb
from cri.containers import lifecycle
from cri.containers import record as containers
from cri.logs import fields, under
from cri.node import Node
from cri.sandboxes import lifecycle as sandbox_lifecycle
from cri.sandboxes import record as sandboxes
from cri.subject import of_container, of_id
from oci.monitor.types import Exited

logger = logging.getLogger(__name__)

# Reported when nobody could see how a process ended.
UNSEEN_EXIT_CODE = 255


def reason_of(exit_code: int, *, oom_killed: bool) -> str:
    """The words that the kubelet shows; who ends well in spite of a lost child is completed."""
    if oom_killed and exit_code:
        return "OOMKilled"
    return "Completed" if exit_code == 0 else "Error"


def apply(node: Node, container: containers.Container, event: Exited) -> None:
    """Note an exit: of one that is being created for later; one that failed to start keeps its own story."""
    if container.phase is containers.Phase.CREATING:
        container.early_exit = event
    if not container.alive:
        return
    container.exit_code = UNSEEN_EXIT_CODE if event.exit_code is None else event.exit_code
    container.finished_ns = event.finished_at_ns or time.time_ns()
    # One that we end was not ended by the kernel, whatever it did to a child before.
    oom_killed = event.oom_killed and container.stop_deadline is None
    container.reason = reason_of(container.exit_code, oom_killed=oom_killed)
    if event.exit_code is None:
        container.message = "its end was not seen: the monitor was not running"
    try:
        lifecycle.move(node, container, containers.Phase.EXITED)
    finally:
        container.exited.set()


async def handle(node: Node, event: Exited) -> None:
    """Bring the record of a container, or of a sandbox whose pause process it was, up to date.

    May be repeated: when the record cannot be written, memory has the truth already.
    """
    with under(partial(of_id, node, event.id)):
        await _handle(node, event)


async def _handle(node: Node, event: Exited) -> None:
    container = node.containers.find(event.id)
    if container is not None:
        if container.phase is containers.Phase.EXITED:
            lifecycle.save(node, container)  # an attempt before this one may have failed to
        apply(node, container, event)
        if container.phase is containers.Phase.EXITED:
            tell(node, container)
        await _end_stragglers(node, container)
        return
    sandbox = node.sandboxes.find(event.id)
    if sandbox is None:
        return
    if sandbox.phase is sandboxes.Phase.CREATING:
        sandbox.pause_ended = True
    if sandbox.phase is sandboxes.Phase.READY:
        logger.warning(
            "the pause process of sandbox %s ended by itself: the sandbox is not ready", sandbox.id[:12]
        )
        sandbox_lifecycle.move(node, sandbox, sandboxes.Phase.STOPPED)


def tell(node: Node, container: containers.Container) -> None:
    """One line of the log about a container that has ended."""
    ran_s = (container.finished_ns - container.started_ns) / 1e9 if container.started_ns else None
    told = fields(
        **of_container(node, container),
        exit_code=container.exit_code,
        reason=container.reason,
        ran_s=None if ran_s is None else round(ran_s, 3),
    )
    logger.info("container exited", extra=told)
    why = "" if container.reason == "Completed" else f"{container.reason}, exit code {container.exit_code}"
    node.operations.note("Exited", container.id, of_container(node, container), why)


async def _end_stragglers(node: Node, container: containers.Container) -> None:
    """In a shared PID namespace children outlive their container's first process: end them with it."""
    if (
        container.config.linux.security_context.namespace_options.pid == pb.CONTAINER
        or not container.cgroup_path
    ):
        return
    if not await asyncio.to_thread(node.cgroups.kill, container.cgroup_path):
        logger.warning("processes of container %s outlive it in %s", container.id[:12], container.cgroup_path)
