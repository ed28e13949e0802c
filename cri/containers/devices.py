"""Devices that a request names besides CRI's own field: by annotation, and by CDI name."""

import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from api.errors import InvalidArgument
from api.runtime.v1 import api_pb2 as pb
from conf.values import DeviceRule, WrongValue
from cri import translate
from oci import hostview
from oci.cdi import apply, registry
from oci.generate import inputs
from oci.generate.annotations import allowed as honoured

# CRI-O's names for the same, the newer first. With "/NAME" behind it, for the container of that name.
ANNOTATIONS = ("devices.crio.io", "io.kubernetes.cri-o.Devices")
CDI_PREFIX = "cdi.k8s.io/"


class DeviceNotAllowed(InvalidArgument):
    """A pod may not ask for this device by annotation, or asks in a form that is none."""


class DeviceInTheWay(InvalidArgument):
    """A device would hide one of the node's from a privileged container."""


def requested(
    config: pb.ContainerConfig,
    pod_annotations: Mapping[str, str],
    allowed: Sequence[Path],
    allowed_annotations: Sequence[str],
) -> tuple[inputs.Device, ...]:
    """The devices of a container: by annotation of its pod, as far as ``allowed``, then those of the request.

    As in CRI-O the annotation counts only if the handler's ``allowed_annotations`` name it, by either name.

    Raises:
        DeviceNotAllowed: see there; the message names the annotation.
    """
    if config.linux.security_context.privileged:
        _require_free(config.devices)
    by_request = tuple(translate.device(device) for device in config.devices)
    if not honoured(dict.fromkeys(ANNOTATIONS, ""), allowed_annotations):
        return by_request
    return (*_annotated(pod_annotations, config.metadata.name, allowed), *by_request)


def _require_free(devices: Iterable[pb.Device]) -> None:
    """A privileged container has the node's own devices: another must not take the place of one of them."""
    for device in devices:
        path = device.container_path
        if path and path != device.host_path and os.path.lexists(path):
            raise DeviceInTheWay(
                f"devices: container_path {path} of {device.host_path} is a device of the node, which a "
                "privileged container has already: choose another path"
            )


def _annotated(
    annotations: Mapping[str, str], container: str, allowed: Sequence[Path]
) -> Iterator[inputs.Device]:
    for name in (*ANNOTATIONS, *(f"{name}/{container}" for name in ANNOTATIONS)):
        for text in filter(None, (part.strip() for part in annotations.get(name, "").split(","))):
            try:
                rule = DeviceRule.parse(text)
            except WrongValue as error:
                raise DeviceNotAllowed(f"annotation {name}: {error}") from error
            if rule.host_path not in allowed:
                known = ", ".join(map(str, allowed)) or "none"
                raise DeviceNotAllowed(
                    f"annotation {name}: device {rule.host_path} is not in allowed_devices ({known})"
                )
            yield inputs.Device(str(rule.container_path), str(rule.host_path), rule.permissions)


def cdi_names(config: pb.ContainerConfig) -> list[str]:
    """The CDI devices of a request: its field, then the annotations that device plugins use; each once."""
    names = [device.name for device in config.CDI_devices]
    for key, value in sorted(config.annotations.items()):
        if key.startswith(CDI_PREFIX):
            names += [name.strip() for name in value.split(",")]
    return list(dict.fromkeys(names))


def add_cdi(document: dict[str, Any], config: pb.ContainerConfig, directories: Sequence[Path]) -> None:
    """Put the edits of the request's CDI devices into a runtime-spec document. Blocking.

    Raises:
        BadDeviceName, UnknownCdiDevice, BadContainer: the message names the device.
    """
    names = cdi_names(config)
    if names:
        apply.apply(document, registry.edits_for(names, directories), _host_node)


def _host_node(path: str) -> inputs.DeviceNode | None:
    nodes = hostview.device_nodes(Path(path))
    return nodes[0] if len(nodes) == 1 and nodes[0].path == path else None
