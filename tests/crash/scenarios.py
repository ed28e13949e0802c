"""The verbs that are cut short: what is there before each, and what it and its repeat must leave."""

import os
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from api.ids import ContainerId, SandboxId
from api.runtime.v1 import api_pb2 as pb
from cri.containers import create, exec_sync, remove, start, stop, update
from cri.containers.record import Container
from cri.containers.record import Phase as ContainerPhase
from cri.images import verbs as images
from cri.names import container_name, sandbox_name
from cri.node import Node
from cri.sandboxes import remove as sandbox_remove
from cri.sandboxes import run
from cri.sandboxes import stop as sandbox_stop
from cri.sandboxes import update as sandbox_update
from cri.sandboxes.record import Phase, Sandbox
from cri.stream_backend import StreamBackend
from cri.streaming.backend import ExecRequest, Streams
from tests.fakes.node import OTHER

SHARES = 77
WORDS = ("say", "something")


@dataclass(frozen=True)
class Client:
    """Asks a node for one pod and its one container, which are found by their names as a kubelet's are."""

    node: Node
    shared_pid: bool  # with a pause process, whose end says a lot by itself

    def pod_config(self) -> pb.PodSandboxConfig:
        config = pb.PodSandboxConfig(metadata=pb.PodSandboxMetadata(name="pod", namespace="tests", uid="u"))
        config.linux.cgroup_parent = "/kubepods/pod"
        config.linux.security_context.namespace_options.pid = pb.POD if self.shared_pid else pb.CONTAINER
        return config

    def container_config(self) -> pb.ContainerConfig:
        config = pb.ContainerConfig(metadata=pb.ContainerMetadata(name="main"), log_path="main.log")
        config.image.image = "registry.example/app:1"
        pid = pb.POD if self.shared_pid else pb.CONTAINER
        config.linux.security_context.namespace_options.pid = pid
        return config

    def pod(self) -> Sandbox | None:
        return self.node.sandboxes.named(sandbox_name(self.pod_config().metadata))

    def container(self) -> Container | None:
        name = container_name(self.container_config().metadata, self.pod_config().metadata)
        return self.node.containers.named(name)

    async def run_pod(self) -> None:
        await run.run_pod_sandbox(self.node, pb.RunPodSandboxRequest(config=self.pod_config()))

    async def create_container(self) -> None:
        request = pb.CreateContainerRequest(
            pod_sandbox_id=self._pod_id(), config=self.container_config(), sandbox_config=self.pod_config()
        )
        await create.create_container(self.node, request)

    async def start_container(self) -> None:
        """As who asks again does: not if it runs, which its status says."""
        found = self.container()
        if found is None or found.phase is not ContainerPhase.RUNNING:
            request = pb.StartContainerRequest(container_id=self._container_id())
            await start.start_container(self.node, request)

    async def update_container(self) -> None:
        resources = pb.LinuxContainerResources(cpu_shares=SHARES)
        request = pb.UpdateContainerResourcesRequest(container_id=self._container_id(), linux=resources)
        await update.update_container_resources(self.node, request)

    async def stop_container(self) -> None:
        request = pb.StopContainerRequest(container_id=self._container_id(), timeout=30)
        await stop.stop_container(self.node, request)

    async def remove_container(self) -> None:
        request = pb.RemoveContainerRequest(container_id=self._container_id())
        await remove.remove_container(self.node, request)

    async def stop_pod(self) -> None:
        request = pb.StopPodSandboxRequest(pod_sandbox_id=self._pod_id())
        await sandbox_stop.stop_pod_sandbox(self.node, request)

    async def remove_pod(self) -> None:
        request = pb.RemovePodSandboxRequest(pod_sandbox_id=self._pod_id())
        await sandbox_remove.remove_pod_sandbox(self.node, request)

    async def update_pod(self) -> None:
        resources = pb.LinuxContainerResources(cpu_shares=SHARES)
        request = pb.UpdatePodSandboxResourcesRequest(pod_sandbox_id=self._pod_id(), resources=resources)
        await sandbox_update.update_pod_sandbox_resources(self.node, request)

    async def exec_sync(self) -> None:
        request = pb.ExecSyncRequest(container_id=self._container_id(), cmd=WORDS, timeout=30)
        answer = await exec_sync.exec_sync(self.node, request)
        assert (answer.exit_code, answer.stdout) == (0, b"say something\n")

    async def exec(self) -> None:
        """As the streaming server does for a client."""
        backend = StreamBackend(lambda: self.node)
        request = ExecRequest(self._container_id(), WORDS, Streams(stdout=True))
        session = await backend.exec(request)
        assert await session.wait() == 0
        assert session.stdio.stdout is not None
        with os.fdopen(session.stdio.stdout, "rb") as output:
            assert output.read() == b"say something\n"
        await session.close(kill=False)

    async def pull_image(self) -> None:
        image = pb.ImageSpec(image=OTHER.repo_tags[0])
        await images.pull_image(self.node, pb.PullImageRequest(image=image))

    async def remove_image(self) -> None:
        image = pb.ImageSpec(image=OTHER.repo_tags[0])
        await images.remove_image(self.node, pb.RemoveImageRequest(image=image))

    def has_image(self) -> bool:
        return self.node.images.find(OTHER.id) is not None

    def _pod_id(self) -> SandboxId:
        found = self.pod()
        return SandboxId("0" * 64) if found is None else found.id

    def _container_id(self) -> ContainerId:
        found = self.container()
        return ContainerId("0" * 64) if found is None else found.id


Step = Callable[[Client], Awaitable[None]]
RUNNING = (Client.run_pod, Client.create_container, Client.start_container)


@dataclass(frozen=True)
class Scenario:
    """``verb`` is killed after the steps ``before``; it and its repeat leave these phases, None for none."""

    verb: Step
    before: tuple[Step, ...]
    pod: Phase | None
    container: ContainerPhase | None
    shared_pid: bool = False
    image: bool = False  # whether the one that it pulls is there in the end

    def client(self, node: Node) -> Client:
        return Client(node, self.shared_pid)


def _scenarios(shared_pid: bool) -> dict[str, Scenario]:
    ready, exited = Phase.READY, ContainerPhase.EXITED
    created, running = ContainerPhase.CREATED, ContainerPhase.RUNNING
    return {
        "RunPodSandbox": Scenario(Client.run_pod, (), ready, None, shared_pid),
        "CreateContainer": Scenario(Client.create_container, RUNNING[:1], ready, created, shared_pid),
        "StartContainer": Scenario(Client.start_container, RUNNING[:2], ready, running, shared_pid),
        "UpdateContainerResources": Scenario(Client.update_container, RUNNING, ready, running, shared_pid),
        "StopContainer": Scenario(Client.stop_container, RUNNING, ready, exited, shared_pid),
        "RemoveContainer": Scenario(Client.remove_container, RUNNING, ready, None, shared_pid),
        "StopPodSandbox": Scenario(Client.stop_pod, RUNNING, Phase.STOPPED, exited, shared_pid),
        "RemovePodSandbox": Scenario(Client.remove_pod, RUNNING, None, None, shared_pid),
        "UpdatePodSandboxResources": Scenario(Client.update_pod, RUNNING, ready, running, shared_pid),
        "ExecSync": Scenario(Client.exec_sync, RUNNING, ready, running, shared_pid),
        "Exec": Scenario(Client.exec, RUNNING, ready, running, shared_pid),
    }


_SHARED = ("RunPodSandbox", "StopPodSandbox", "RemovePodSandbox")
_IMAGES = {
    "PullImage": Scenario(Client.pull_image, (), None, None, image=True),
    "RemoveImage": Scenario(Client.remove_image, (Client.pull_image,), None, None),
}
SCENARIOS = (
    _scenarios(shared_pid=False)
    | {f"{name}/pause": scenario for name, scenario in _scenarios(shared_pid=True).items() if name in _SHARED}
    | _IMAGES
)
