"""The annotations io.kubernetes.cri-o.*, by which tools that know CRI-O read pods and containers.

CRI-O writes them into config.json. Here they are computed when somebody asks, and laid over the document
that was written: no runtime sees them, and they say what is so now. Those that CRI-O needs for its own
restart only are among them as far as there is something to say.
"""

import json
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from pathlib import Path

from google.protobuf.json_format import MessageToDict

from api.runtime.v1 import api_pb2 as pb
from cri.containers.record import Container
from cri.node import Node
from cri.sandboxes import files
from cri.sandboxes.record import Sandbox

PREFIX = "io.kubernetes.cri-o."
NANO = 1_000_000_000


def of_sandbox(node: Node, sandbox: Sandbox, cni_result: Mapping[str, object] | None) -> dict[str, str]:
    """A pod's; ``cni_result`` is what its network's plugins said, None for one on the node's network."""
    config, metadata = sandbox.config, sandbox.config.metadata
    context = config.linux.security_context
    return _named(
        {
            **_of_pod(node, sandbox),
            "Annotations": _json(dict(config.annotations)),
            "CNIResult": "" if cni_result is None else _json(cni_result),
            "CgroupParent": sandbox.cgroup_parent,
            "ContainerID": sandbox.id,
            "ContainerName": f"k8s_POD_{sandbox.name.removeprefix('k8s_')}",
            "ContainerType": "sandbox",
            "Created": stamp(sandbox.created_ns),
            "HostName": files.hostname_of(sandbox.id, config),
            "HostNetwork": _truth(sandbox.host_network),
            "Image": node.config.image.pause_image,
            "KubeName": metadata.name,
            "Labels": _json(dict(config.labels)),
            "LogPath": str(sandbox.log_directory or ""),
            "Metadata": _json(
                {
                    "name": metadata.name,
                    "uid": metadata.uid,
                    "namespace": metadata.namespace,
                    "attempt": metadata.attempt,
                }
            ),
            "Name": sandbox.name,
            "Namespace": metadata.namespace,
            "NamespaceOptions": _json(_plain(sandbox.options)),
            "PortMappings": _json([_plain(mapping) for mapping in config.port_mappings]),
            "PrivilegedRuntime": _truth(context.privileged),
            "RuntimeHandler": sandbox.handler,
            "SandboxName": sandbox.name,
            "SeccompProfilePath": _profile(context.seccomp),
        },
    )


def of_container(node: Node, container: Container, root: str) -> dict[str, str]:
    """A container's; ``root`` is where its root file system is mounted, "" where nobody knows."""
    config, metadata = container.config, container.config.metadata
    sandbox = node.sandboxes.find(container.sandbox_id)
    mounts = [
        {
            "container_path": mount.container_path,
            "host_path": mount.host_path,
            "readonly": mount.readonly,
            "propagation": mount.propagation,
            "selinux_relabel": mount.selinux_relabel,
        }
        for mount in config.mounts
    ]
    return _named(
        {
            **({"SandboxID": container.sandbox_id} if sandbox is None else _of_pod(node, sandbox)),
            "Annotations": _json(dict(config.annotations)),
            "ContainerID": container.id,
            "ContainerName": metadata.name,
            "ContainerType": "container",
            "Created": stamp(container.created_ns),
            "Image": container.image_spec().image,
            "ImageName": container.image_ref or container.image_id,
            "ImageRef": container.image_id,
            "Labels": _json(dict(config.labels)),
            "LogPath": str(container.log_path or ""),
            "Metadata": _json({"name": metadata.name, "attempt": metadata.attempt}),
            "MountPoint": root,
            "Name": container.name,
            "SeccompProfilePath": _profile(config.linux.security_context.seccomp),
            "Stdin": _truth(config.stdin),
            "StdinOnce": _truth(config.stdin_once),
            "TTY": _truth(config.tty),
            "Volumes": _json(mounts),
        }
    )


def addresses(ips: Iterable[str]) -> dict[str, str]:
    """``IP.0``, ``IP.1`` and so on."""
    return {f"IP.{number}": address for number, address in enumerate(ips)}


def stamp(created_ns: int) -> str:
    """RFC 3339 with nanoseconds, in UTC, as Go writes it."""
    seconds, nanoseconds = divmod(created_ns, NANO)
    fraction = f".{nanoseconds:09}".rstrip("0").rstrip(".")
    return f"{datetime.fromtimestamp(seconds, UTC):%Y-%m-%dT%H:%M:%S}{fraction}Z"


def _of_pod(node: Node, sandbox: Sandbox) -> dict[str, str]:
    """What containers have of their pod."""
    directory = node.paths.sandbox(sandbox.id)
    place = files.place(directory)
    return {
        **addresses(sandbox.ips),
        "HostnamePath": str(place / "hostname"),
        "ResolvPath": str(place / "resolv.conf"),
        "SandboxID": sandbox.id,
        "SandboxName": sandbox.name,
        "ShmPath": str(Path("/dev/shm") if sandbox.options.ipc == pb.NODE else directory / "shm"),
    }


def _named(values: Mapping[str, str]) -> dict[str, str]:
    return {PREFIX + name: value for name, value in values.items() if value}


def _json(value: object) -> str:
    return json.dumps(value, separators=(",", ":"), sort_keys=isinstance(value, dict))


def _plain(message: pb.NamespaceOption | pb.PortMapping) -> dict[str, object]:
    """With numbers in the place of the enumerations' names, as Go's encoding has them."""
    plain: dict[str, object] = MessageToDict(
        message, preserving_proto_field_name=True, use_integers_for_enums=True
    )
    return plain


def _profile(profile: pb.SecurityProfile) -> str:
    match profile.profile_type:
        case pb.SecurityProfile.RuntimeDefault:
            return "runtime/default"
        case pb.SecurityProfile.Localhost:
            return f"localhost/{profile.localhost_ref}"
    return "unconfined"


def _truth(value: bool) -> str:
    return "true" if value else "false"
