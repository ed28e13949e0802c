import pytest

from api.ids import ContainerId, SandboxId
from api.runtime.v1 import api_pb2 as pb
from cri.sandboxes.cgroup import container_cgroup, has_own_parent, oci_path, pause_cgroup
from cri.sandboxes.record import Sandbox

POD, MAIN = SandboxId("a" * 64), ContainerId("b" * 64)


def _sandbox(parent: str, asked: str = "") -> Sandbox:
    config = pb.PodSandboxConfig(linux=pb.LinuxPodSandboxConfig(cgroup_parent=asked))
    return Sandbox(POD, "pod", config, "", 1, cgroup_parent=parent)


@pytest.mark.parametrize(
    ("parent", "path", "oci"),
    [
        ("/kubepods/pod1", f"/kubepods/pod1/podwright-{MAIN}", f"/kubepods/pod1/podwright-{MAIN}"),
        ("/", f"/podwright-{MAIN}", f"/podwright-{MAIN}"),
        (
            "/kubepods.slice/kubepods-pod1.slice",
            f"/kubepods.slice/kubepods-pod1.slice/podwright-{MAIN}.scope",
            f"kubepods-pod1.slice:podwright:{MAIN}",
        ),
    ],
)
def test_a_container_has_a_cgroup_of_its_own(parent: str, path: str, oci: str) -> None:
    assert container_cgroup(_sandbox(parent), MAIN) == path
    assert oci_path(path) == oci


def test_the_pause_process_too() -> None:
    assert pause_cgroup(_sandbox("/test.slice")) == f"/test.slice/podwright-{POD}.scope"


@pytest.mark.parametrize("prefix", ["crio", "cri-containerd"])
def test_names_may_begin_as_those_of_the_peers(prefix: str) -> None:
    sandbox = _sandbox("/kubepods.slice/kubepods-pod1.slice")
    sandbox.cgroup_prefix = prefix
    path = container_cgroup(
        Sandbox.from_row(sandbox.to_row()), MAIN
    )  # also when the option has changed since
    assert path == f"/kubepods.slice/kubepods-pod1.slice/{prefix}-{MAIN}.scope"
    assert oci_path(path) == f"kubepods-pod1.slice:{prefix}:{MAIN}"


@pytest.mark.parametrize(("asked", "own"), [("", False), ("/", False), ("/kubepods/pod1", True)])
def test_only_a_parent_that_was_given_is_the_pods_own(asked: str, own: bool) -> None:
    assert has_own_parent(_sandbox("/x", asked)) == own
