"""The ``info`` of verbose status answers (api.proto): what CRI-O's has, under its keys, and some of our own.

    container  info    sandboxID, pid, privileged, runtimeSpec; cgroupPath
    sandbox    info    image, pid, runtimeSpec; cniResult, namespaces, directory
    image      info    labels, imageSpec: the image's whole config (image-spec v1.1, config.md)

``runtimeSpec`` is the document that the runtime got, with CRI-O's annotations over its own. A pod without
a process of its own has none on disk: its namespaces and cgroup are told in the same form.
"""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from cri import spec_file
from cri.containers.record import Container
from cri.inspect import annotations
from cri.node import Node
from cri.sandboxes import cgroup, files
from cri.sandboxes.idmaps import id_mappings
from cri.sandboxes.record import Sandbox
from oci.generate.container import OCI_VERSION
from oci.generate.namespaces import mapping_entries
from storage.catalogue import Image

Json = Mapping[str, Any]


def of_container(node: Node, container: Container) -> dict[str, str]:
    """Of a container; it may be removed at any moment, and then has no runtimeSpec."""
    details: dict[str, Any] = {
        "sandboxID": container.sandbox_id,
        "pid": container.pid,
        "privileged": container.config.linux.security_context.privileged,
        "cgroupPath": container.cgroup_path,
    }
    if (spec := _written(node.paths.container(container.id))) is not None:
        root = str(spec.get("root", {}).get("path", ""))
        details["runtimeSpec"] = _annotated(spec, annotations.of_container(node, container, root))
    return {"info": json.dumps(details)}


async def of_sandbox(node: Node, sandbox: Sandbox) -> dict[str, str]:
    """Of a pod."""
    directory = node.paths.sandbox(sandbox.id)
    result = None if sandbox.host_network else await node.network.result(sandbox.id)
    spec = _written(directory / "pause") or _without_process(sandbox)
    details = {
        "image": node.config.image.pause_image,
        "pid": sandbox.pause_pid,
        "runtimeSpec": _annotated(spec, annotations.of_sandbox(node, sandbox, result)),
        "namespaces": {kind: str(path) for kind, path in sandbox.namespaces.items()},
        "directory": str(directory),
    }
    if result is not None:
        details["cniResult"] = result
    return {"info": json.dumps(details)}


def of_image(node: Node, image: Image) -> dict[str, str]:
    """Of an image; one that cannot be read has labels alone."""
    details: dict[str, Any] = {"labels": dict(image.config.labels or {})}
    document = node.images.config_document(image.id)
    if document is not None:
        details["imageSpec"] = document
    return {"info": json.dumps(details)}


def _written(bundle: Path) -> dict[str, Any] | None:
    """What lies there; None once it is gone, or when it is damaged: to look must always work."""
    try:
        return spec_file.read(bundle)
    except (OSError, ValueError):
        return None


def _annotated(spec: Json, more: Mapping[str, str]) -> dict[str, Any]:
    return {**spec, "annotations": {**spec.get("annotations", {}), **more}}


def _without_process(sandbox: Sandbox) -> dict[str, Any]:
    """In the form of a runtime-spec document: what the pod is, with nothing that runs in it."""
    uids, gids = id_mappings(sandbox)
    namespaces = [{"type": kind, "path": str(path)} for kind, path in sandbox.oci_namespaces().items()]
    linux: dict[str, Any] = {
        "namespaces": namespaces,
        "cgroupsPath": cgroup.oci_path(cgroup.pause_cgroup(sandbox)),
        "sysctl": dict(sandbox.config.linux.sysctls),
        "uidMappings": mapping_entries(uids),
        "gidMappings": mapping_entries(gids),
    }
    return {
        "ociVersion": OCI_VERSION,
        "hostname": files.hostname_of(sandbox.id, sandbox.config),
        "linux": {key: value for key, value in linux.items() if value},
    }
