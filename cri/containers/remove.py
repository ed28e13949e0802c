"""RemoveContainer: end it, delete it in the runtime, give back its files."""

import asyncio
import logging
from collections.abc import Sequence

from api.ids import ContainerId, ImageId, SandboxId
from api.runtime.v1 import api_pb2 as pb
from cri import reach
from cri.cgroups.clear import clear
from cri.containers import bundle, lifecycle, prepared_mounts
from cri.containers.record import KIND, Container, Phase
from cri.containers.stop import stop
from cri.forget import forget
from cri.logs import fields
from cri.node import Node
from cri.operations import Operation
from cri.subject import of_container

logger = logging.getLogger(__name__)


async def remove_container(node: Node, request: pb.RemoveContainerRequest) -> pb.RemoveContainerResponse:
    """Remove a container, by force if it runs; one that is not there is fine. Its log stays."""
    container = node.containers.find(request.container_id)
    if container is not None:
        await remove_and_wait(node, container)
    elif (unreadable := node.quarantine.find(KIND, request.container_id)) is not None:
        await remove_and_wait(node, _stand_in(node, unreadable))
    return pb.RemoveContainerResponse()


def _stand_in(node: Node, identifier: str) -> Container:
    """For one whose record cannot be read: its id is all that a release cannot do without."""
    return Container(
        id=ContainerId(identifier),
        name=identifier,
        sandbox_id=SandboxId(""),
        config=pb.ContainerConfig(),
        handler=node.handlers.default,
        image_id=ImageId(""),
        image_ref="",
        created_ns=0,
        phase=Phase.EXITED,
    )


async def remove_and_wait(node: Node, container: Container) -> None:
    """The operation behind RemoveContainer; repeats join it."""
    await node.operations.run(
        "RemoveContainer",
        container.id,
        lambda operation: _remove(node, operation, container),
        of_container(node, container),
    )


async def _remove(node: Node, operation: Operation, container: Container) -> None:
    with operation.step("stop"):
        await stop(node, container, 0)
    container.abandoned = True
    async with container.queue.turn(operation):
        if not lifecycle.is_there(node, container):
            return  # a failed creation has given it back itself
        await stop(node, container, 0)
        await release(node, container, operation)
    told = fields(**of_container(node, container), ms=operation.milliseconds())
    logger.info("container removed", extra=told)


async def undo(node: Node, container: Container) -> None:
    """Give back what a CreateContainer that did not come to its end has made; callers at once share it.

    Raises:
        Exception: of a step of ``release``; whoever asks again repeats it.
    """
    await node.operations.run(
        "undo CreateContainer",
        container.id,
        lambda operation: _undo(node, operation, container),
        of_container(node, container),
    )


async def _undo(node: Node, operation: Operation, container: Container) -> None:
    async with container.queue.turn(operation):
        if node.containers.holds(container):  # else a removal came first
            await release(node, container, operation)


def _handlers(node: Node, container: Container) -> Sequence[str]:
    """Its own; of one whose record cannot be read, any may be."""
    return [container.handler] if container.sandbox_id else node.handlers.names()


async def release(node: Node, container: Container, operation: Operation) -> None:
    """Give back what a container holds. Every step may be repeated: this is also the undo of
    CreateContainer and the repair after a crash."""
    directory = node.paths.container(container.id)
    if (directory / "config.json").exists():  # else the runtime never heard of it
        with operation.step("runtime delete"):
            for handler in _handlers(node, container):
                await node.handlers.get(handler).delete(container.id, force=True)
            if container.cgroup_path:
                await clear(node.cgroup_driver, node.cgroups, container.cgroup_path)
    with operation.step("file system release"):
        await asyncio.to_thread(prepared_mounts.release, node, container.id)
        await asyncio.to_thread(reach.remove, node.paths, container.id)
        await node.rootfs.remove(container.id)
        await asyncio.to_thread(bundle.remove, directory)
    with operation.step("monitor forget"):
        await forget(node, container.id)
    lifecycle.forget(node, container)
