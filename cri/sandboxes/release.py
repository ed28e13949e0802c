"""Give back what a sandbox holds. Every step may be repeated, so this is at once the undo of
RunPodSandbox, the work of StopPodSandbox and RemovePodSandbox, and the repair after a crash."""

import asyncio
import logging
from pathlib import Path

from cri.grpc_errors import message_of, unforeseen
from cri.logs import fields
from cri.node import Node
from cri.operations import Operation
from cri.sandboxes import files, lifecycle, network, pause
from cri.sandboxes.record import Phase, Sandbox
from cri.subject import of_sandbox
from host.namespaces import unpin
from oci.monitor.types import LogHung

logger = logging.getLogger(__name__)


async def shut_down(node: Node, sandbox: Sandbox, operation: Operation) -> None:
    """End the pause process, detach the network and drop the namespaces; files and record stay."""
    with operation.step("pause end"):
        await pause.end(node, sandbox)
    if sandbox.attached:
        with operation.step("network release"):
            await network.detach(node, sandbox)
            sandbox.attached = False
            lifecycle.save(node, sandbox)
    if sandbox.namespaces:
        with operation.step("namespaces release"):
            await asyncio.to_thread(_unpin, sandbox)


def _unpin(sandbox: Sandbox) -> None:
    for path in sandbox.namespaces.values():
        unpin(path)


async def release(node: Node, sandbox: Sandbox, operation: Operation) -> None:
    """``shut_down``, then files and record; afterwards the name is free."""
    await shut_down(node, sandbox, operation)
    with operation.step("files release"):
        await asyncio.to_thread(_remove_files, node, sandbox)
        if not sandbox.config.log_directory:
            await _remove_logs(node, node.config.log_dir / sandbox.id)
    with operation.step("cgroup release"):
        await node.cgroup_driver.retire(sandbox.cgroup_parent, lambda: _shares_cgroup(node, sandbox))
    lifecycle.forget(node, sandbox)


async def undo(node: Node, sandbox: Sandbox, operation: Operation) -> Exception | None:
    """Release a sandbox whose RunPodSandbox did not come to its end; the error when that fails too.

    It is listed then, as not ready: the kubelet's garbage collection stops and removes it until that works,
    also when the pod was deleted and is never asked for again.
    """
    try:
        await release(node, sandbox, operation)
    except Exception as error:
        told = fields(**of_sandbox(sandbox), steps=operation.describe_steps())
        logger.error(
            "the undo of RunPodSandbox failed: %s", message_of(error), exc_info=unforeseen(error), extra=told
        )
        sandbox.undo_failed = True
        lifecycle.move(node, sandbox, Phase.STOPPED)
        return error
    return None


def _shares_cgroup(node: Node, sandbox: Sandbox) -> bool:
    """Whether another pod's processes go below the same parent."""
    return any(one.cgroup_parent == sandbox.cgroup_parent for one in node.sandboxes if one is not sandbox)


def _remove_files(node: Node, sandbox: Sandbox) -> None:
    """Namespaces by what lies there: a daemon that was killed may have pinned some without a record."""
    recorded = {path.parent for path in sandbox.namespaces.values()}
    for directory in {node.paths.namespaces(sandbox.id), *recorded}:
        if directory.is_dir():
            for path in directory.iterdir():
                unpin(path)
            directory.rmdir()
    files.remove(node.paths.sandbox(sandbox.id))


async def _remove_logs(node: Node, directory: Path) -> None:
    """Nobody else knows of these logs; where their file system hangs they stay, and the sandbox goes."""
    try:
        await node.monitor.remove_logs(directory, node.config.runtime.log_timeout_s)
    except LogHung as error:
        logger.error("logs are left behind: %s", error)
