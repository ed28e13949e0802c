"""A CRI client for tests: the generated stubs, and the requests that tests make most, each with a timeout."""

import json
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Self, TypeVar

import grpc

from api.runtime.v1 import api_pb2 as pb
from api.runtime.v1 import api_pb2_grpc
from tests.harness.patience import patient

PATIENCE_S = 60.0
TIMEOUT_S = patient(PATIENCE_S)
POLL_S = patient(0.02)

T = TypeVar("T")


class Client:
    """``runtime`` and ``image`` are the plain stubs; the methods fill in what a test does not care about."""

    def __init__(self, endpoint: str) -> None:
        self._channel = grpc.insecure_channel(
            endpoint, options=[("grpc.max_receive_message_length", 64 << 20)]
        )
        self.runtime = api_pb2_grpc.RuntimeServiceStub(self._channel)
        self.image = api_pb2_grpc.ImageServiceStub(self._channel)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        self._channel.close()

    def not_ready(self) -> str:
        """Why the runtime is not ready for pods; empty if it is.

        Raises:
            grpc.RpcError: nobody answers.
        """
        self.runtime.Version(pb.VersionRequest(), timeout=TIMEOUT_S)
        status = self.runtime.Status(pb.StatusRequest(), timeout=TIMEOUT_S).status
        bad = [condition for condition in status.conditions if not condition.status]
        return "; ".join(f"{one.type}: {one.reason} {one.message}" for one in bad)

    def pull(self, image: str) -> str:
        """Pull an image; returns its reference."""
        request = pb.PullImageRequest(image=pb.ImageSpec(image=image))
        return str(self.image.PullImage(request, timeout=TIMEOUT_S).image_ref)

    def run_pod(self, config: pb.PodSandboxConfig, handler: str = "") -> str:
        request = pb.RunPodSandboxRequest(config=config, runtime_handler=handler)
        return str(self.runtime.RunPodSandbox(request, timeout=TIMEOUT_S).pod_sandbox_id)

    def create_container(self, pod: str, config: pb.ContainerConfig, pod_config: pb.PodSandboxConfig) -> str:
        request = pb.CreateContainerRequest(pod_sandbox_id=pod, config=config, sandbox_config=pod_config)
        return str(self.runtime.CreateContainer(request, timeout=TIMEOUT_S).container_id)

    def start_container(self, container: str) -> None:
        self.runtime.StartContainer(pb.StartContainerRequest(container_id=container), timeout=TIMEOUT_S)

    def stop_container(self, container: str, grace_s: int = 0) -> None:
        request = pb.StopContainerRequest(container_id=container, timeout=grace_s)
        self.runtime.StopContainer(request, timeout=TIMEOUT_S + grace_s)

    def remove_container(self, container: str) -> None:
        self.runtime.RemoveContainer(pb.RemoveContainerRequest(container_id=container), timeout=TIMEOUT_S)

    def stop_pod(self, pod: str) -> None:
        self.runtime.StopPodSandbox(pb.StopPodSandboxRequest(pod_sandbox_id=pod), timeout=TIMEOUT_S)

    def remove_pod(self, pod: str) -> None:
        self.runtime.RemovePodSandbox(pb.RemovePodSandboxRequest(pod_sandbox_id=pod), timeout=TIMEOUT_S)

    def exec(self, container: str, *command: str, timeout_s: int = 10) -> pb.ExecSyncResponse:
        request = pb.ExecSyncRequest(container_id=container, cmd=command, timeout=timeout_s)
        return self.runtime.ExecSync(request, timeout=TIMEOUT_S)

    def container(self, container: str) -> pb.ContainerStatus:
        request = pb.ContainerStatusRequest(container_id=container)
        return self.runtime.ContainerStatus(request, timeout=TIMEOUT_S).status

    def pid_of(self, container: str) -> int:
        """The container's first process."""
        request = pb.ContainerStatusRequest(container_id=container, verbose=True)
        return int(json.loads(self.runtime.ContainerStatus(request, timeout=TIMEOUT_S).info["info"])["pid"])

    def pod(self, pod: str) -> pb.PodSandboxStatus:
        request = pb.PodSandboxStatusRequest(pod_sandbox_id=pod)
        return self.runtime.PodSandboxStatus(request, timeout=TIMEOUT_S).status

    def pods(self) -> list[pb.PodSandbox]:
        return list(self.runtime.ListPodSandbox(pb.ListPodSandboxRequest(), timeout=TIMEOUT_S).items)

    def containers(self) -> list[pb.Container]:
        return list(self.runtime.ListContainers(pb.ListContainersRequest(), timeout=TIMEOUT_S).containers)

    def remove_all(self) -> None:
        """Stop and remove every pod with its containers."""
        for pod in self.pods():
            self.stop_pod(pod.id)
            self.remove_pod(pod.id)

    def wait_exited(self, container: str, timeout_s: float = PATIENCE_S) -> pb.ContainerStatus:
        """The status once the container has exited."""
        return eventually(
            lambda: self.container(container),
            lambda status: status.state == pb.CONTAINER_EXITED,
            f"container {container} exits",
            timeout_s,
        )


def eventually(
    look: Callable[[], T],
    right: Callable[[T], bool],
    what: str,
    timeout_s: float = PATIENCE_S,
    poll_s: float = POLL_S,
) -> T:
    """Look until it is right; TimeoutError names what was waited for and what was seen last.

    ``timeout_s`` is stretched where `tests.harness.patience` says so.
    """
    bound_s = patient(timeout_s)
    end = time.monotonic() + bound_s
    while True:
        seen = look()
        if right(seen):
            return seen
        if time.monotonic() > end:
            raise TimeoutError(f"waited {bound_s:.0f} s until {what}; last seen: {seen}")
        time.sleep(poll_s)


def pod_config(
    name: str,
    *,
    namespace: str = "tests",
    log_directory: Path | None = None,
    labels: Mapping[str, str] | None = None,
    cgroup_parent: str = "",
    host_network: bool = False,
) -> pb.PodSandboxConfig:
    """A pod as the kubelet would ask for it, with a uid made from its name."""
    network = pb.NODE if host_network else pb.POD
    return pb.PodSandboxConfig(
        metadata=pb.PodSandboxMetadata(name=name, uid=f"uid-{name}", namespace=namespace),
        hostname="" if host_network else name,
        log_directory=str(log_directory or ""),
        labels=dict(labels or {}),
        linux=pb.LinuxPodSandboxConfig(
            cgroup_parent=cgroup_parent,
            security_context=pb.LinuxSandboxSecurityContext(
                namespace_options=pb.NamespaceOption(network=network, pid=pb.CONTAINER),
                seccomp=pb.SecurityProfile(profile_type=pb.SecurityProfile.RuntimeDefault),
            ),
        ),
    )


def container_config(
    name: str,
    image: str,
    command: Sequence[str] = (),
    *,
    attempt: int = 0,
    env: Mapping[str, str] | None = None,
) -> pb.ContainerConfig:
    """A container whose log lies in ``<log directory of the pod>/<name>/<attempt>.log``."""
    return pb.ContainerConfig(
        metadata=pb.ContainerMetadata(name=name, attempt=attempt),
        image=pb.ImageSpec(image=image),
        command=command,
        envs=[pb.KeyValue(key=key, value=value.encode()) for key, value in (env or {}).items()],
        log_path=f"{name}/{attempt}.log",
        linux=pb.LinuxContainerConfig(
            security_context=pb.LinuxContainerSecurityContext(
                namespace_options=pb.NamespaceOption(pid=pb.CONTAINER),
                seccomp=pb.SecurityProfile(profile_type=pb.SecurityProfile.RuntimeDefault),
            )
        ),
    )
