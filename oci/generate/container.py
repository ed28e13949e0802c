"""The runtime-spec document of a container (runtime-spec v1.1, config.md and config-linux.md)."""

from typing import Any

from oci.generate.annotations import container_annotations
from oci.generate.devices import devices
from oci.generate.inputs import ContainerInput, HostView, Observed, RuntimeView
from oci.generate.labels import mount_label
from oci.generate.mounts import mounts, root_is_readonly, root_propagation
from oci.generate.namespaces import mapping_entries, namespaces
from oci.generate.paths import masked_paths, readonly_paths
from oci.generate.process import process
from oci.generate.resources import linux_resources
from oci.generate.seccomp import linux_seccomp

OCI_VERSION = (
    "1.0.2"  # what runc 1.1 and crun 1.8 accept; newer keys are ignored by those that do not know them
)


def generate(
    container: ContainerInput,
    host: HostView,
    runtime: RuntimeView | None = None,
    observed: Observed | None = None,
) -> dict[str, Any]:
    """The config.json document for ``container``.

    The hostname is not in it: the pod's UTS namespace is pinned and has its name already.

    Raises:
        BadContainer: a field of the request cannot be honoured; the message names field and value.
    """
    runtime, observed = runtime or RuntimeView(), observed or Observed()
    document: dict[str, Any] = {
        "ociVersion": OCI_VERSION,
        "process": process(container, host),
        "root": {"path": str(container.rootfs), "readonly": root_is_readonly(container)},
        "mounts": mounts(container, host, runtime, observed.mount_points),
        "annotations": container_annotations(container),
    }
    document["linux"] = _linux(container, host, observed, document["process"]["capabilities"]["bounding"])
    return document


def _linux(
    container: ContainerInput, host: HostView, observed: Observed, capabilities: list[str]
) -> dict[str, Any]:
    nodes, rules = devices(container, observed)
    resources = linux_resources(container.resources, host, container.defaults.pids_limit)
    optional = {
        "devices": nodes,
        "maskedPaths": masked_paths(container.security),
        "readonlyPaths": readonly_paths(container.security),
        "seccomp": linux_seccomp(container.security, container.defaults, host, capabilities),
        "rootfsPropagation": root_propagation(container.mounts),
        "mountLabel": mount_label(container, host),
        "uidMappings": mapping_entries(container.sandbox.uid_mappings),
        "gidMappings": mapping_entries(container.sandbox.gid_mappings),
    }
    return {
        "namespaces": namespaces(container, host),
        "cgroupsPath": container.cgroups_path,
        "resources": resources | {"devices": rules},
        **{key: value for key, value in optional.items() if value},
    }
