"""RunPodSandbox: files, namespaces, network, and the pause process where one is needed."""

import asyncio
import contextlib
import logging
import time
from collections.abc import Collection
from pathlib import Path

from api.errors import AlreadyExists, FailedPrecondition
from api.ids import SandboxId, new_sandbox_id
from api.runtime.v1 import api_pb2 as pb
from cri.logs import fields
from cri.names import sandbox_name
from cri.node import Node
from cri.operations import Operation
from cri.sandboxes import files, lifecycle, network, pause, validate
from cri.sandboxes.idmaps import id_mappings
from cri.sandboxes.record import Phase, Sandbox
from cri.sandboxes.release import release, undo
from cri.subject import of_pod, of_sandbox
from cri.together import together
from host.namespaces import Kind, SysctlRefused, pin, sysctl_path
from host.userns import pin_owned
from oci.generate.namespaces import id_entries

logger = logging.getLogger(__name__)


class SandboxExists(AlreadyExists):
    """A sandbox of this name is there and not ready."""


class PauseEnded(FailedPrecondition):
    """The pause process did not live until the sandbox was ready."""


async def run_pod_sandbox(node: Node, request: pb.RunPodSandboxRequest) -> pb.RunPodSandboxResponse:
    """Make and start a pod sandbox; a failure leaves nothing of it, or one that is not ready when what was
    made cannot be given back.

    A repeat under the same metadata gets the sandbox that is ready, or joins the call that makes it.
    """
    validate.sandbox(request.config)
    node.cgroup_driver.parent(request.config.linux.cgroup_parent)
    name = sandbox_name(request.config.metadata)
    if validate.wants_user_namespace(request.config.linux.security_context.namespace_options):
        node.handlers.require_user_namespaces(request.runtime_handler, node.host)
    node.handlers.require_usable(request.runtime_handler)
    identifier = await node.operations.run(
        "RunPodSandbox",
        name,
        lambda operation: _run(node, operation, name, request),
        of_pod(request.config.metadata),
    )
    return pb.RunPodSandboxResponse(pod_sandbox_id=identifier)


async def _run(node: Node, operation: Operation, name: str, request: pb.RunPodSandboxRequest) -> SandboxId:
    present = node.sandboxes.named(name)
    if present is not None and (present.phase is Phase.CREATING or present.undo_failed):
        # Left by an attempt that failed and whose undo failed too: no name stays reserved for ever.
        async with present.queue.turn(operation):
            if node.sandboxes.holds(present):
                with operation.step("undo of an earlier attempt"):
                    await release(node, present, operation)
    elif present is not None:
        if present.phase is Phase.READY:
            return present.id
        raise SandboxExists(
            f"sandbox {name} exists as {present.id[:12]} and is {present.phase}: "
            "remove it, or ask with a higher metadata.attempt"
        )
    sandbox = Sandbox(new_sandbox_id(), name, request.config, request.runtime_handler, time.time_ns())
    operation.about["sandbox_id"] = sandbox.id
    sandbox.runtime = sandbox.handler or node.handlers.default
    sandbox.cgroup_parent = node.cgroup_driver.parent(request.config.linux.cgroup_parent)
    sandbox.cgroup_prefix = node.config.runtime.cgroup_prefix
    async with sandbox.queue.turn(operation):
        try:
            lifecycle.reserve(node, sandbox)
            await _make(node, operation, sandbox)
            lifecycle.move(node, sandbox, Phase.READY)
        except BaseException as error:
            # The client hears of the cause, not of what it also brought about.
            if (failed := await undo(node, sandbox, operation)) is not None:
                error.add_note(
                    f"its undo failed too ({failed}): "
                    f"stopping or removing sandbox {sandbox.id[:12]} repeats it"
                )
            raise
    told = fields(
        **of_sandbox(sandbox), ips=",".join(sandbox.ips), handler=sandbox.runtime, ms=operation.milliseconds()
    )
    logger.info("pod started", extra=told)
    return sandbox.id


async def _make(node: Node, operation: Operation, sandbox: Sandbox) -> None:
    directory = node.paths.sandbox(sandbox.id)
    node.moves.expect()  # of the containers to come, if not of a pause process
    with operation.step("cgroup"):
        await node.cgroup_driver.prepare(sandbox.cgroup_parent)
    await together(
        _make_files_and_namespaces(node, operation, sandbox), _settle_log(node, operation, sandbox)
    )
    if not sandbox.host_network:
        with operation.step("network"):
            # Noted before the first plugin runs: a crash from here on must detach.
            sandbox.attached = True
            lifecycle.save(node, sandbox)
            sandbox.ips = await network.attach(node, sandbox, operation)
    if pause.needed(node, sandbox):
        with operation.step("pause"):
            sandbox.pause_pid = await pause.start(node, sandbox, directory)
    if sandbox.pause_ended:
        raise PauseEnded(f"the pause process of sandbox {sandbox.id[:12]} ended as soon as it was started")


async def _make_files_and_namespaces(node: Node, operation: Operation, sandbox: Sandbox) -> None:
    with operation.step("files and namespaces"):
        await asyncio.to_thread(_make_files, node, sandbox)


async def _settle_log(node: Node, operation: Operation, sandbox: Sandbox) -> None:
    if sandbox.config.log_directory:
        with operation.step("log directory"):
            sandbox.log_directory = await node.monitor.settle_logs(
                Path(sandbox.config.log_directory), node.config.runtime.log_timeout_s
            )


def _make_files(node: Node, sandbox: Sandbox) -> None:
    directory = node.paths.sandbox(sandbox.id)
    size_bytes = node.config.runtime.pod_files_size
    files.make(directory, sandbox.id, sandbox.config, sandbox.root_ids, size_bytes)
    kinds = own_namespaces(sandbox)
    hostname = files.hostname_of(sandbox.id, sandbox.config)
    sysctls = {**default_sysctls(node, kinds), **sandbox.config.linux.sysctls}
    place = node.paths.namespaces(sandbox.id)
    if sandbox.has_user_namespace:
        uids, gids = map(id_entries, id_mappings(sandbox))
        pinned = pin_owned(kinds, place, uids, gids, sysctls=sysctls, hostname=hostname)
    else:
        pinned = pin(kinds, place, sysctls=sysctls, hostname=hostname)
    sandbox.namespaces = {kind.value: path for kind, path in pinned.items()}


def own_namespaces(sandbox: Sandbox) -> list[Kind]:
    """The kinds that the pod does not share with the node; UTS goes with the network."""
    kinds = []
    if not sandbox.host_network:
        kinds += [Kind.NET, Kind.UTS]
    if sandbox.options.ipc != pb.NODE:
        kinds.append(Kind.IPC)
    return kinds


def default_sysctls(node: Node, kinds: Collection[Kind]) -> dict[str, str]:
    """The configured ones; those of a namespace that the pod shares with the node are left out."""
    chosen = {}
    for assignment in node.config.runtime.default_sysctls:
        with contextlib.suppress(SysctlRefused):
            sysctl_path(assignment.name, kinds)
            chosen[assignment.name] = assignment.value
    return chosen
