"""CreateContainer: root file system, bundle, and the runtime's create through the monitor."""

import asyncio
import contextlib
import logging
import threading
import time
from collections.abc import Coroutine, Mapping
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

from api.errors import AlreadyExists, InvalidArgument
from api.ids import ContainerId, new_container_id
from api.runtime.v1 import api_pb2 as pb
from cri import exits, reach
from cri.containers import bundle, image_volumes, lifecycle, outcome, prepared_mounts, stdio
from cri.containers.record import Container, Phase
from cri.containers.remove import release, undo
from cri.containers.signals import stop_signal
from cri.containers.update import with_swap
from cri.grpc_errors import message_of, unforeseen
from cri.images import verbs as images
from cri.logs import fields
from cri.names import container_name
from cri.node import Node
from cri.operations import Operation
from cri.sandboxes import lifecycle as sandbox_lifecycle
from cri.sandboxes.cgroup import container_cgroup
from cri.sandboxes.record import Sandbox
from cri.subject import of_container, of_sandbox
from cri.together import together
from oci.monitor.types import CreateContainer
from oci.runtime import RuntimeFailed
from storage.catalogue import Image

logger = logging.getLogger(__name__)
T = TypeVar("T")

# Why a sandbox must be ready.
NEED = "containers need a ready one"


class ContainerExists(AlreadyExists):
    """A container of this name is there and was started."""


class BadLogPath(InvalidArgument):
    """The log would not lie in its pod's directory."""


class PodNotPrivileged(InvalidArgument):
    """A container asks for more than its pod is for."""


async def create_container(node: Node, request: pb.CreateContainerRequest) -> pb.CreateContainerResponse:
    """Make a container, not yet started; a failure leaves nothing of it.

    A repeat under the same metadata gets the container that was created, or joins the call that makes it.

    Raises:
        RecordNotFound: no such sandbox. SandboxNotReady: it is stopped. ImageNotFound: pull it first.
        SignatureValidationFailed: the policy does not let the image, or that of a volume, be used.
        BadContainer, BadMount, PodNotPrivileged: a field cannot be honoured.
        LogHung, LogRefused: the log cannot be opened.
        RuntimeFailed: the runtime's own words.
    """
    sandbox = node.sandboxes.get(request.pod_sandbox_id)
    require_privileged(request.config, request.sandbox_config, sandbox.config)
    name = container_name(request.config.metadata, sandbox.config.metadata)
    identifier = await node.operations.run(
        "CreateContainer",
        name,
        lambda operation: _create(node, operation, name, sandbox, request.config),
        {
            **of_sandbox(sandbox),
            "container": request.config.metadata.name,
            "image": request.config.image.user_specified_image or request.config.image.image,
        },
    )
    return pb.CreateContainerResponse(container_id=identifier)


def require_privileged(config: pb.ContainerConfig, *pods: pb.PodSandboxConfig) -> None:
    """Privileged containers are for pods that are said to have some: when the sandbox was made, or now, since
    an ephemeral container may be the first.

    Raises:
        PodNotPrivileged: neither.
    """
    asked = config.linux.security_context.privileged
    if asked and not any(pod.linux.security_context.privileged for pod in pods):
        raise PodNotPrivileged(
            "linux.security_context.privileged is true, but that of the sandbox is false: "
            "set it in the sandbox's configuration too"
        )


async def _create(
    node: Node, operation: Operation, name: str, sandbox: Sandbox, config: pb.ContainerConfig
) -> ContainerId:
    present = node.containers.named(name)
    if present is not None and present.phase is Phase.CREATING:
        # Left by an attempt that failed and whose undo failed too: no name stays reserved for ever.
        with operation.step("undo of an earlier attempt"):
            await undo(node, present)
    sandbox.require_ready(NEED)
    present = node.containers.named(name)
    if present is not None:
        if present.phase is Phase.CREATED:
            return present.id
        raise ContainerExists(
            f"container {name} exists as {present.id[:12]} and is {present.phase}: "
            "remove it, or ask with a higher metadata.attempt"
        )
    image = images.get(node, config.image.image)
    volume_images = image_volumes.find(node, config)
    namespace = sandbox.config.metadata.namespace
    await images.require_signed(node, image, config.image, namespace)
    for number, volume in volume_images.items():
        await images.require_signed(node, volume, config.mounts[number].image, namespace)
    config = image_volumes.with_digests(config, volume_images)
    container = _record(node, name, sandbox, config, image)
    operation.about["container_id"] = container.id
    async with container.queue.turn(operation):
        try:
            lifecycle.reserve(node, container)
            await _make(node, operation, container, sandbox, image, volume_images)
            sandbox.require_ready(NEED)  # it may have been stopped meanwhile
            lifecycle.move(node, container, Phase.CREATED)
        except BaseException as error:
            await _undo(node, operation, container, error)
            if isinstance(error, RuntimeFailed):
                sandbox.require_ready(NEED)  # a stop has ended the process under the runtime's hands
            raise
    told = fields(**of_container(node, container), image_id=image.id, ms=operation.milliseconds())
    logger.info("container created", extra=told)
    if container.early_exit is not None:
        exits.apply(node, container, container.early_exit)
        exits.tell(node, container)
    return container.id


async def _undo(node: Node, operation: Operation, container: Container, cause: BaseException) -> None:
    """Release what was made. If that fails too, a repeat or the removal of the sandbox does it; the client
    hears of the cause, with a note of that."""
    try:
        await release(node, container, operation)
    except Exception as error:
        told = fields(**of_container(node, container), steps=operation.describe_steps())
        logger.error(
            "the undo of CreateContainer failed: %s",
            message_of(error),
            exc_info=unforeseen(error),
            extra=told,
        )
        cause.add_note(
            f"its undo failed too ({error}): removing sandbox {container.sandbox_id[:12]} repeats it"
        )


def _record(node: Node, name: str, sandbox: Sandbox, config: pb.ContainerConfig, image: Image) -> Container:
    identifier = new_container_id()
    return Container(
        id=identifier,
        name=name,
        sandbox_id=sandbox.id,
        config=config,
        handler=sandbox.runtime,
        image_id=image.id,
        image_ref=next(iter(image.repo_digests), image.id),
        created_ns=time.time_ns(),
        log_path=_log_path(node, sandbox, config, identifier),
        cgroup_path=container_cgroup(sandbox, identifier),
        stop_signal=stop_signal(config.stop_signal, image.config.stop_signal),
    )


def _log_path(node: Node, sandbox: Sandbox, config: pb.ContainerConfig, identifier: ContainerId) -> Path:
    """Where the log goes: below the pod's log directory; a request without ``log_path`` has it by its id."""
    name = below(config.log_path) if config.log_path else f"{identifier}.log"
    return _log_directory(node, sandbox) / name


def _log_directory(node: Node, sandbox: Sandbox) -> Path:
    directory = sandbox.config.log_directory
    return Path(directory) if directory else node.config.log_dir / sandbox.id


async def _settle_log(
    node: Node, operation: Operation, container: Container, sandbox: Sandbox
) -> tuple[Path | None, int]:
    """The path by which the log is opened, and its file system; its directory is made."""
    if container.log_path is None:
        return None, 0
    with operation.step("log directory"):
        return await _settled_log(node, container.log_path, sandbox)


async def _settled_log(node: Node, log_path: Path, sandbox: Sandbox) -> tuple[Path, int]:
    timeout_s = node.config.runtime.log_timeout_s
    directory = _log_directory(node, sandbox)
    if sandbox.log_directory is None:  # an earlier daemon's sandbox, or one without a directory of its own
        sandbox.log_directory = await node.monitor.settle_logs(directory, timeout_s)
        sandbox_lifecycle.save(node, sandbox)
    settled = sandbox.log_directory / log_path.relative_to(directory)
    return settled, await node.monitor.prepare_logs(settled.parent, timeout_s)


def below(log_path: str) -> str:
    """A log's path as one below the pod's directory, whatever it begins with.

    Raises:
        BadLogPath: it leads out of there.
    """
    parts = [part for part in log_path.split("/") if part not in ("", ".")]
    if not parts or ".." in parts:
        raise BadLogPath(f"log_path {log_path!r} is not a path below the pod's log_directory")
    return "/".join(parts)


async def _make(
    node: Node,
    operation: Operation,
    container: Container,
    sandbox: Sandbox,
    image: Image,
    volume_images: Mapping[int, Image],
) -> None:
    node.moves.expect()
    expected, log = await together(
        _make_bundle(node, operation, container, sandbox, image, volume_images),
        _settle_log(node, operation, container, sandbox),
    )
    sandbox.require_ready(NEED)  # else its namespaces are gone
    with operation.step("runtime create"):
        created = await node.monitor.create(_request(node, container, sandbox, *log))
    container.pid = created.pid
    with operation.step("look at the outcome"):
        looking = partial(outcome.check, node, container, expected)
        await _while_ready(sandbox, node.volume_threads.run(looking))
    limits = with_swap(
        container.config.linux.resources, pb.LinuxContainerResources(), counted=node.host.swap_accounting
    )
    with operation.step("limits"):
        await node.cgroup_driver.keep(container.cgroup_path, limits)
    await asyncio.to_thread(_put_aids_away, node, container.id)


async def _make_bundle(
    node: Node,
    operation: Operation,
    container: Container,
    sandbox: Sandbox,
    image: Image,
    volume_images: Mapping[int, Image],
) -> outcome.Expected:
    with operation.step("root file system"):
        rootfs = await node.rootfs.prepare(container.id, image, sandbox.namespaces.get("user"))
    with operation.step("spec"):
        writing = _Writing(node, container, sandbox, image, volume_images, rootfs)
        try:
            written = await _while_ready(sandbox, node.volume_threads.run(writing))
        except BaseException:
            writing.is_given_up.set()
            raise
    container.user = written.user
    return written.expected


class _Writing:
    """The call that writes a bundle. It may hang on a volume, and come back when the creation has been given
    up and undone: then it removes itself what it has made since."""

    def __init__(
        self,
        node: Node,
        container: Container,
        sandbox: Sandbox,
        image: Image,
        volume_images: Mapping[int, Image],
        rootfs: Path,
    ) -> None:
        self.is_given_up = threading.Event()
        self._node, self._container = node, container
        self._write = partial(bundle.write, node, container, sandbox, image, volume_images, rootfs)

    def __call__(self) -> bundle.Written:
        try:
            return self._write()
        finally:
            if self.is_given_up.is_set():
                self._sweep()

    def _sweep(self) -> None:
        """The undo may be at it, too: what one of them does not find, the other has removed."""
        paths, identifier = self._node.paths, self._container.id
        for step in (
            partial(prepared_mounts.release, self._node, identifier),
            partial(reach.remove, paths, identifier),
            partial(bundle.remove, paths.container(identifier)),
        ):
            with contextlib.suppress(FileNotFoundError):
                step()


def _put_aids_away(node: Node, identifier: ContainerId) -> None:
    """What only the creation needs."""
    prepared_mounts.release(node, identifier)
    reach.detach(node.paths, identifier)


async def _while_ready(sandbox: Sandbox, work: Coroutine[Any, Any, T]) -> T:
    """The result of ``work``, which may hang; the stop of the sandbox does not wait for it.

    Raises:
        SandboxNotReady: the sandbox was stopped first; ``work`` is cancelled.
    """
    working = asyncio.ensure_future(work)
    ended = asyncio.ensure_future(sandbox.ended.wait())
    try:
        await asyncio.wait({working, ended}, return_when=asyncio.FIRST_COMPLETED)
        if not working.done():
            sandbox.require_ready(NEED)
        return working.result()
    finally:
        ended.cancel()
        working.cancel()


def _request(
    node: Node, container: Container, sandbox: Sandbox, log_path: Path | None, log_device: int
) -> CreateContainer:
    runtime = node.config.runtime
    handler = runtime.runtimes.get(container.handler)
    return CreateContainer(
        id=container.id,
        runtime=node.handlers.get(container.handler),
        bundle=node.paths.container(container.id),
        log_path=log_path,
        log_device=log_device,
        log_rate=max(0, runtime.log_rate_max),
        log_timeout_s=runtime.log_timeout_s,
        terminal=container.config.tty,
        stdin=container.config.stdin,
        stdin_once=container.config.stdin_once,
        no_pivot=runtime.no_pivot,
        log_size_max=max(0, runtime.log_size_max),
        timeout_s=handler.container_create_timeout if handler else 240.0,
        stdio_owner=stdio.owner(container, sandbox),
    )
