"""Containers and pods in the JSON of CRI-O's /containers/ID, which cAdvisor and ``crio status`` read."""

from collections.abc import Mapping

from cri import spec_file
from cri.containers.record import Container
from cri.containers.status import get_finished
from cri.inspect import annotations
from cri.node import Node
from cri.sandboxes.record import Phase, Sandbox
from cri.store import RecordNotFound

Description = Mapping[str, object]


def one(node: Node, identifier: str) -> Description:
    """The container or the pod with this id, or the only one that begins so.

    Raises:
        RecordNotFound, AmbiguousId: see cri/store.py.
    """
    sandbox = node.sandboxes.find(identifier)
    if sandbox is not None and sandbox.phase is not Phase.CREATING:
        return of_sandbox(node, sandbox)
    try:
        return of_container(node, get_finished(node, identifier))
    except RecordNotFound:
        raise RecordNotFound(f"can't find the container with id {identifier}") from None


def of_container(node: Node, container: Container) -> Description:
    """A container, in whatever state it is."""
    sandbox = node.sandboxes.find(container.sandbox_id)
    root = _root(node, container)
    return {
        "name": container.name,
        "pid": container.pid if container.alive else 0,
        "image": container.image_spec().image,
        "image_ref": container.image_ref or container.image_id,
        "created_time": container.created_ns,
        "labels": dict(container.config.labels),
        "annotations": dict(container.config.annotations),
        "crio_annotations": annotations.of_container(node, container, root),
        "log_path": str(container.log_path or ""),
        "root": root,
        "sandbox": container.sandbox_id,
        "ip_addresses": [] if sandbox is None else list(sandbox.ips),
        "id": container.id,
        "state": str(container.phase),
    }


def of_sandbox(node: Node, sandbox: Sandbox) -> Description:
    """A pod, as CRI-O describes its infra container."""
    told = annotations.of_sandbox(node, sandbox, None)
    return {
        "name": told[f"{annotations.PREFIX}ContainerName"],
        "pid": sandbox.pause_pid,
        "image": node.config.image.pause_image,
        "image_ref": node.config.image.pause_image,
        "created_time": sandbox.created_ns,
        "labels": dict(sandbox.config.labels),
        "annotations": dict(sandbox.config.annotations),
        "crio_annotations": told,
        "log_path": str(sandbox.log_directory or ""),
        "root": "",
        "sandbox": sandbox.id,
        "ip_addresses": list(sandbox.ips),
        "id": sandbox.id,
        "state": str(sandbox.phase),
    }


def _root(node: Node, container: Container) -> str:
    try:
        return str(spec_file.read(node.paths.container(container.id))["root"]["path"])
    except (OSError, ValueError, KeyError, TypeError):  # gone, or never complete
        return ""
