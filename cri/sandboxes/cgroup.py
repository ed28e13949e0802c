"""Cgroup paths of a pod's processes: absolute, the same in every hierarchy.

    cgroupfs   <parent>/podwright-<id>
    systemd    <parent>.slice/podwright-<id>.scope

The name begins as ``cgroup_prefix`` of [crio.runtime] says: monitoring tools know the peers' names. A path
tells by itself what it is, so that a daemon with another driver or prefix still handles what it finds.
"""

from api.ids import ContainerId, SandboxId
from cri.sandboxes.record import Sandbox
from host import slices


def has_own_parent(sandbox: Sandbox) -> bool:
    """Whether the pod's cgroup is its own: the kubelet's are; the default parent is shared by many."""
    return bool(sandbox.config.linux.cgroup_parent.strip("/"))


def container_cgroup(sandbox: Sandbox, identifier: ContainerId) -> str:
    """A container's own; cAdvisor finds containers by the 64 digits in the name."""
    return _below(sandbox, identifier)


def pause_cgroup(sandbox: Sandbox) -> str:
    """The pause process's own."""
    return _below(sandbox, sandbox.id)


def _below(sandbox: Sandbox, identifier: ContainerId | SandboxId) -> str:
    parent, prefix = sandbox.cgroup_parent, sandbox.cgroup_prefix
    suffix = slices.SCOPE if parent.endswith(slices.SLICE) else ""
    return f"{parent.rstrip('/')}/{prefix}-{identifier}{suffix}"


def oci_path(path: str) -> str:
    """linux.cgroupsPath for a process' cgroup: the path itself, or slice:prefix:name of a scope."""
    parent, _, name = path.rpartition("/")
    if not name.endswith(slices.SCOPE):
        return path
    prefix, _, identifier = name.removesuffix(slices.SCOPE).rpartition("-")
    return f"{parent.rpartition('/')[2]}:{prefix}:{identifier}"
