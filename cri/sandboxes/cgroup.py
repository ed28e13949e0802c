"""Cgroup paths of a pod's processes (cgroupfs driver): absolute, the same in every hierarchy."""

from api.ids import ContainerId
from cri.sandboxes.record import Sandbox

# For pods that come without a parent: crictl's and critest's.
DEFAULT_PARENT = "/podwright"


def parent(sandbox: Sandbox) -> str:
    """The pod's cgroup, as the kubelet gave it."""
    return "/" + (sandbox.config.linux.cgroup_parent or DEFAULT_PARENT).strip("/")


def has_own_parent(sandbox: Sandbox) -> bool:
    """Whether the pod's cgroup is its own: the kubelet's are; the default parent is shared by many."""
    return bool(sandbox.config.linux.cgroup_parent.strip("/"))


def container_cgroup(sandbox: Sandbox, identifier: ContainerId) -> str:
    """A container's own; cAdvisor finds containers by the 64 digits in the name."""
    return f"{parent(sandbox).rstrip('/')}/podwright-{identifier}"


def pause_cgroup(sandbox: Sandbox) -> str:
    """The pause process's own."""
    return f"{parent(sandbox).rstrip('/')}/podwright-{sandbox.id}"
