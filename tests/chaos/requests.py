"""What clients of the chaos ask: every RPC of both services, about what chance and the lists give.

A maker gets a :class:`View` and gives a request, or None where there is nothing that it could be about.
"""

import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from google.protobuf.message import Message

from api.runtime.v1 import api_pb2 as pb
from tests.harness.client import container_config, pod_config

PODS, CONTAINERS = 25, 80
PORTS = range(20000, 20040)
# What a container whose label says so exits with, if it is left alone.
CODE_LABEL = "code"
_ENDLESS = "i=0; while :; do i=$((i+1)); echo line $i; sleep 0.1; done"
_SCRIPTS = ((_ENDLESS, ""), ("exit 3", "3"), ("echo x > /mine; sleep 1; exit 5", "5"), ("sleep 100000", ""))
_USERS = pb.IDMapping(host_id=3949199360, container_id=0, length=65536)


@dataclass(frozen=True)
class View:
    """What a client has seen, its dice, and what it may name."""

    pods: Sequence[pb.PodSandbox]
    containers: Sequence[pb.Container]
    chance: random.Random
    images: Sequence[str]
    logs: Path
    cgroup: str

    def pod(self) -> str:
        """One of the pods; sometimes one that nobody has."""
        return self.chance.choice([*(one.id for one in self.pods), "0" * 64])

    def container(self) -> str:
        return self.chance.choice([*(one.id for one in self.containers), "0" * 64])

    def pod_config(self, name: str) -> pb.PodSandboxConfig:
        """The same for a name each time, for a repeat and for the containers of the pod."""
        dice = random.Random(name)
        config = pod_config(
            name,
            log_directory=self.logs / name,
            host_network=dice.random() < 0.3,
            cgroup_parent=self.cgroup,
        )
        namespaces = config.linux.security_context.namespace_options
        if dice.random() < 0.25:
            namespaces.pid = pb.POD
        if namespaces.network == pb.POD and dice.random() < 0.2:
            namespaces.userns_options.CopyFrom(pb.UserNamespace(mode=pb.POD, uids=[_USERS], gids=[_USERS]))
        if namespaces.network == pb.POD and dice.random() < 0.3:
            config.port_mappings.add(host_port=dice.choice(PORTS), container_port=80)
        return config


def _run_pod(view: View) -> Message | None:
    if len(view.pods) >= PODS:
        return None
    return pb.RunPodSandboxRequest(config=view.pod_config(f"p{view.chance.randrange(60)}"))


def _create(view: View) -> Message | None:
    if not view.pods or len(view.containers) >= CONTAINERS:
        return None
    pod = view.chance.choice(view.pods)
    config = view.pod_config(pod.metadata.name)
    script, code = view.chance.choice(_SCRIPTS)
    container = container_config(
        f"c{view.chance.randrange(3)}", view.chance.choice(view.images), ["sh", "-c", script]
    )
    container.labels[CODE_LABEL] = code
    options = config.linux.security_context.namespace_options
    container.linux.security_context.namespace_options.CopyFrom(options)
    container.linux.resources.memory_limit_in_bytes = 64 << 20
    return pb.CreateContainerRequest(pod_sandbox_id=pod.id, config=container, sandbox_config=config)


def _exec_sync(view: View) -> Message:
    command = view.chance.choice(("echo hi", "sleep 0.5", "sleep 30", "exit 4"))
    return pb.ExecSyncRequest(
        container_id=view.container(), cmd=["sh", "-c", command], timeout=view.chance.choice((1, 1, 3))
    )


def _exec(view: View) -> Message:
    terminal = view.chance.random() < 0.5
    return pb.ExecRequest(
        container_id=view.container(),
        cmd=["sh", "-c", "echo hi; sleep 2"],
        tty=terminal,
        stdin=True,
        stdout=True,
        stderr=not terminal,
    )


def _update(view: View) -> Message:
    resources = pb.LinuxContainerResources(
        cpu_shares=view.chance.randrange(10, 2000),
        memory_limit_in_bytes=view.chance.randrange(32, 128) << 20,
    )
    return pb.UpdateContainerResourcesRequest(container_id=view.container(), linux=resources)


def _update_pod(view: View) -> Message:
    resources = pb.LinuxContainerResources(cpu_shares=view.chance.randrange(10, 2000))
    return pb.UpdatePodSandboxResourcesRequest(pod_sandbox_id=view.pod(), overhead=resources)


def _image(view: View) -> pb.ImageSpec:
    return pb.ImageSpec(image=view.chance.choice(view.images[1:]))


Maker = Callable[[View], Message | None]


@dataclass(frozen=True)
class Verb:
    """An RPC; it is drawn in proportion to its weight."""

    weight: float
    make: Maker


# By the names of api.proto; all of them, which a test compares.
VERBS: dict[str, Verb] = {
    "Version": Verb(1, lambda _: pb.VersionRequest()),
    "Status": Verb(1, lambda _: pb.StatusRequest(verbose=True)),
    "RuntimeConfig": Verb(1, lambda _: pb.RuntimeConfigRequest()),
    "UpdateRuntimeConfig": Verb(1, lambda _: pb.UpdateRuntimeConfigRequest()),
    "RunPodSandbox": Verb(20, _run_pod),
    "StopPodSandbox": Verb(3, lambda view: pb.StopPodSandboxRequest(pod_sandbox_id=view.pod())),
    "RemovePodSandbox": Verb(6, lambda view: pb.RemovePodSandboxRequest(pod_sandbox_id=view.pod())),
    "PodSandboxStatus": Verb(
        2, lambda view: pb.PodSandboxStatusRequest(pod_sandbox_id=view.pod(), verbose=True)
    ),
    "ListPodSandbox": Verb(2, lambda _: pb.ListPodSandboxRequest()),
    "StreamPodSandboxes": Verb(1, lambda _: pb.StreamPodSandboxesRequest()),
    "CreateContainer": Verb(25, _create),
    "StartContainer": Verb(10, lambda view: pb.StartContainerRequest(container_id=view.container())),
    "StopContainer": Verb(
        6,
        lambda view: pb.StopContainerRequest(
            container_id=view.container(), timeout=view.chance.choice((0, 0, 1, 5))
        ),
    ),
    "RemoveContainer": Verb(8, lambda view: pb.RemoveContainerRequest(container_id=view.container())),
    "ListContainers": Verb(2, lambda _: pb.ListContainersRequest()),
    "StreamContainers": Verb(1, lambda _: pb.StreamContainersRequest()),
    "ContainerStatus": Verb(
        2, lambda view: pb.ContainerStatusRequest(container_id=view.container(), verbose=True)
    ),
    "UpdateContainerResources": Verb(6, _update),
    "ReopenContainerLog": Verb(3, lambda view: pb.ReopenContainerLogRequest(container_id=view.container())),
    "ExecSync": Verb(8, _exec_sync),
    "Exec": Verb(4, _exec),
    "Attach": Verb(3, lambda view: pb.AttachRequest(container_id=view.container(), stdout=True, stderr=True)),
    "PortForward": Verb(2, lambda view: pb.PortForwardRequest(pod_sandbox_id=view.pod(), port=[80])),
    "ContainerStats": Verb(2, lambda view: pb.ContainerStatsRequest(container_id=view.container())),
    "ListContainerStats": Verb(2, lambda _: pb.ListContainerStatsRequest()),
    "StreamContainerStats": Verb(1, lambda _: pb.StreamContainerStatsRequest()),
    "PodSandboxStats": Verb(2, lambda view: pb.PodSandboxStatsRequest(pod_sandbox_id=view.pod())),
    "ListPodSandboxStats": Verb(2, lambda _: pb.ListPodSandboxStatsRequest()),
    "StreamPodSandboxStats": Verb(1, lambda _: pb.StreamPodSandboxStatsRequest()),
    "UpdatePodSandboxResources": Verb(3, _update_pod),
    "GetContainerEvents": Verb(2, lambda _: pb.GetEventsRequest()),
    "CheckpointContainer": Verb(
        0.2, lambda view: pb.CheckpointContainerRequest(container_id=view.container())
    ),
    "CheckpointPod": Verb(0.2, lambda view: pb.CheckpointPodRequest(pod_sandbox_id=view.pod())),
    "RestorePod": Verb(0.2, lambda _: pb.RestorePodRequest()),
    "ListMetricDescriptors": Verb(0.2, lambda _: pb.ListMetricDescriptorsRequest()),
    "ListPodSandboxMetrics": Verb(0.2, lambda _: pb.ListPodSandboxMetricsRequest()),
    "StreamPodSandboxMetrics": Verb(0.2, lambda _: pb.StreamPodSandboxMetricsRequest()),
    "ListImages": Verb(2, lambda _: pb.ListImagesRequest()),
    "StreamImages": Verb(1, lambda _: pb.StreamImagesRequest()),
    "ImageStatus": Verb(2, lambda view: pb.ImageStatusRequest(image=_image(view))),
    "PullImage": Verb(8, lambda view: pb.PullImageRequest(image=_image(view))),
    "RemoveImage": Verb(5, lambda view: pb.RemoveImageRequest(image=_image(view))),
    "ImageFsInfo": Verb(1, lambda _: pb.ImageFsInfoRequest()),
}


WEIGHTS = {name: verb.weight for name, verb in VERBS.items()}


def draw(view: View, weights: Mapping[str, float] = WEIGHTS) -> tuple[str, Message]:
    """A verb and its request; those without a weight are not drawn."""
    while True:
        (name,) = view.chance.choices(list(weights), list(weights.values()))
        if (request := VERBS[name].make(view)) is not None:
            return name, request
