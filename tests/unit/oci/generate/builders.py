"""A plain container and a plain host for the tests of spec generation; each test changes what it is about."""

from dataclasses import replace
from pathlib import Path
from typing import Any

from api.ids import ContainerId, SandboxId
from api.kernel import CAPABILITIES
from oci.generate.inputs import ContainerInput, HostView, SandboxView, SecurityContext

V1 = HostView(cgroup_version=1, capabilities=frozenset(CAPABILITIES), hugepage_sizes=frozenset({"2MB"}))
V2 = replace(V1, cgroup_version=2)
SANDBOX = SandboxView(
    SandboxId("5" * 64),
    namespaces={"network": Path("/run/ns/net"), "ipc": Path("/run/ns/ipc"), "uts": Path("/run/ns/uts")},
    pause_pid=77,
    target_pid=88,
    hostname="pod",
    shm_path=Path("/run/shm"),
    resolv_conf=Path("/run/resolv.conf"),
    hostname_file=Path("/run/hostname"),
)
CONTAINER = ContainerInput(
    ContainerId("c" * 64), SANDBOX, Path("/rootfs"), "/pods/cccc", command=("/bin/sh",), name="web"
)


def a_container(**changes: Any) -> ContainerInput:
    return replace(CONTAINER, **changes)


def secured(**changes: Any) -> ContainerInput:
    """A container whose security context has ``changes``."""
    return replace(CONTAINER, security=replace(SecurityContext(), **changes))
