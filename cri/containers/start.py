"""StartContainer."""

import logging
import time

from api.errors import FailedPrecondition
from api.runtime.v1 import api_pb2 as pb
from cri.containers import lifecycle
from cri.containers.ending import told_by_its_end
from cri.containers.record import Container, Phase
from cri.containers.status import get_finished
from cri.containers.stop import kill
from cri.logs import fields
from cri.node import Node
from cri.operations import Operation
from cri.sandboxes.record import Phase as SandboxPhase
from cri.subject import of_container
from cri.supervise import describe
from oci.monitor.types import MonitorUnavailable, UnknownContainer

logger = logging.getLogger(__name__)

# What a shell answers when a program cannot be started, and what the kubelet knows from the peers.
START_FAILED = 128


class NotStartable(FailedPrecondition):
    """The container, or its sandbox, is not in the state that a start needs."""


async def start_container(node: Node, request: pb.StartContainerRequest) -> pb.StartContainerResponse:
    """Let the created process run its program.

    Raises:
        RecordNotFound: no such container. NotStartable: it is not CREATED, or its sandbox is not ready.
        RuntimeFailed: the runtime's own words; the container is EXITED with StartError then.
        Ended: its process had ended, or was being ended.
    """
    container = get_finished(node, request.container_id)
    await node.operations.run(
        "StartContainer",
        container.id,
        lambda operation: _start(node, operation, container),
        of_container(node, container),
    )
    return pb.StartContainerResponse()


async def _start(node: Node, operation: Operation, container: Container) -> None:
    async with container.queue.turn(operation):
        node.containers.require(container)
        await _start_alone(node, operation, container)


async def _start_alone(node: Node, operation: Operation, container: Container) -> None:
    sandbox = node.sandboxes.get(container.sandbox_id)
    if container.phase is not Phase.CREATED:
        raise NotStartable(
            f"container {container.id[:12]} is {container.phase}: only a created one can be started"
        )
    if sandbox.phase is not SandboxPhase.READY:
        raise NotStartable(f"sandbox {sandbox.id[:12]} is {sandbox.phase}: its containers cannot be started")
    container.started_ns = time.time_ns()
    try:
        with operation.step("runtime start"):
            runtime = node.handlers.get(container.handler)
            timeout_s = node.config.runtime.runtime_command_timeout_s
            async with told_by_its_end(node, container, "its program"):
                await node.monitor.start(container.id, runtime, timeout_s)
    except Exception as error:
        try:
            # On record before the kill: a daemon that dies in between ends what runs.
            if container.alive:  # else its exit came first, and is what is told
                _failed(node, container, describe(error))
        finally:
            with operation.step("kill"):
                await _end(node, container)
            container.exited.set()
        raise
    if not container.alive:
        lifecycle.save(node, container)  # its exit came before the runtime's answer
        return
    lifecycle.move(node, container, Phase.RUNNING)
    told = fields(**of_container(node, container), pid=container.pid, ms=operation.milliseconds())
    logger.info("container started", extra=told)


async def _end(node: Node, container: Container) -> None:
    """A start that took too long, or whose answer was lost, may have succeeded: nothing of it goes on."""
    try:
        await kill(node, container)
    except (UnknownContainer, MonitorUnavailable) as error:
        logger.warning("container %s may have processes: %s", container.id[:12], error)


def _failed(node: Node, container: Container, message: str) -> None:
    container.exit_code = START_FAILED
    container.reason = "StartError"
    container.message = message
    container.finished_ns = time.time_ns()
    container.started_ns = 0
    lifecycle.move(node, container, Phase.EXITED)
