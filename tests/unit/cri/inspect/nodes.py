"""A node with one pod and one container of it, as far as looking inside needs one."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

from api.ids import ContainerId, ImageId, SandboxId
from api.runtime.v1 import api_pb2 as pb
from conf.schema import Config
from cri import spec_file
from cri.containers.record import Container
from cri.containers.record import Phase as ContainerPhase
from cri.node import Node
from cri.paths import Paths
from cri.sandboxes.record import Phase, Sandbox
from cri.store import Store

RESULT = {"cniVersion": "1.0.0", "ips": [{"address": "10.88.0.2/16"}]}
CREATED_NS = 1_764_500_000_120_000_000  # 2025-11-30T10:53:20.12Z


def a_sandbox(**options: Any) -> Sandbox:
    metadata = pb.PodSandboxMetadata(name="web", namespace="tests", uid="u1", attempt=2)
    config = pb.PodSandboxConfig(
        metadata=metadata,
        hostname="web",
        labels={"app": "web"},
        port_mappings=[pb.PortMapping(protocol=pb.UDP, container_port=53, host_port=5353)],
    )
    config.linux.security_context.namespace_options.pid = pb.CONTAINER
    config.linux.sysctls["net.core.somaxconn"] = "5"
    return Sandbox(
        SandboxId("5" * 64),
        "k8s_web_tests_u1_2",
        config,
        "",
        CREATED_NS,
        **{
            "phase": Phase.READY,
            "ips": ("10.88.0.2", "fd00::2"),
            "cgroup_parent": "/kubepods/pod1",
            "namespaces": {"net": Path("/run/ns/net"), "ipc": Path("/run/ns/ipc")},
            **options,
        },
    )


def a_container(sandbox: Sandbox) -> Container:
    config = pb.ContainerConfig(
        metadata=pb.ContainerMetadata(name="main", attempt=1),
        image=pb.ImageSpec(image="sha256:1", user_specified_image="app:1"),
        mounts=[pb.Mount(container_path="/data", host_path="/srv", readonly=True)],
        tty=True,
    )
    config.linux.security_context.seccomp.profile_type = pb.SecurityProfile.RuntimeDefault
    return Container(
        ContainerId("c" * 64),
        "k8s_main_web_tests_u1_1",
        sandbox.id,
        config,
        "",
        ImageId("sha256:" + "1" * 64),
        "registry.example/app@sha256:2",
        CREATED_NS,
        log_path=Path("/var/log/pods/x/main/1.log"),
        pid=77,
        phase=ContainerPhase.RUNNING,
    )


def a_node(directory: Path, sandbox: Sandbox, container: Container, **parts: Any) -> Node:
    """With a config.json of the container, and none of the pod."""
    paths = Paths(directory)
    sandboxes, containers = Store[Sandbox]("sandbox"), Store[Container]("container")
    sandboxes.add(sandbox)
    containers.add(container)
    bundle = paths.container(container.id)
    bundle.mkdir(parents=True)
    (bundle / spec_file.NAME).write_text('{"root": {"path": "/merged"}, "annotations": {"a": "b"}}')

    async def result(sandbox_id: str) -> dict[str, object] | None:
        return dict(RESULT) if sandbox_id == sandbox.id else None

    all_parts: dict[str, Any] = dict.fromkeys(Node.__dataclass_fields__) | {
        "config": Config(),
        "paths": paths,
        "sandboxes": sandboxes,
        "containers": containers,
        "network": SimpleNamespace(result=result),
        **parts,
    }
    return Node(**all_parts)
