"""What CreateContainer asks of a request before anything is made."""

import pytest

from api.runtime.v1 import api_pb2 as pb
from cri.containers.create import PodNotPrivileged, require_privileged


def _pod(privileged: bool) -> pb.PodSandboxConfig:
    context = pb.LinuxSandboxSecurityContext(privileged=privileged)
    return pb.PodSandboxConfig(linux=pb.LinuxPodSandboxConfig(security_context=context))


def _container(privileged: bool) -> pb.ContainerConfig:
    context = pb.LinuxContainerSecurityContext(privileged=privileged)
    return pb.ContainerConfig(linux=pb.LinuxContainerConfig(security_context=context))


def test_a_privileged_container_needs_a_pod_that_may_have_one() -> None:
    with pytest.raises(PodNotPrivileged, match="privileged is true, but that of the sandbox is false"):
        require_privileged(_container(True), _pod(False), _pod(False))
    require_privileged(_container(False), _pod(False), _pod(False))


@pytest.mark.parametrize("now", [False, True])
def test_the_pod_says_so_when_it_is_made_or_when_an_ephemeral_container_comes(now: bool) -> None:
    require_privileged(_container(True), _pod(now), _pod(not now))
