"""Reading versions: of Go, and of the tools that go.mod pins."""

import pytest

from tests.critest.toolchain import TOOLS, ToolchainFailed, parse_go_version, pinned_version


@pytest.mark.parametrize(
    ("text", "version"),
    [
        ("go version go1.26.8 linux/amd64\n", (1, 26)),
        ("go version go1.19.8 linux/arm64", (1, 19)),
        ("go version devel go1.27-abcdef linux/amd64", (1, 27)),
        ("command not found", (0, 0)),
        ("", (0, 0)),
    ],
)
def test_a_go_version_is_read_from_what_go_prints(text: str, version: tuple[int, int]) -> None:
    assert parse_go_version(text) == version


@pytest.mark.parametrize(
    ("name", "release"),
    [
        ("crictl", "v1.36.0"),
        ("critest", "v1.36.0"),
        ("ginkgo", "v1.36.0"),
        ("kubelet", "v1.36.2"),
        ("kube-apiserver", "v1.36.2"),
        ("kubeadm", "v1.36.2"),
        ("etcd", "v3.6.8"),
        ("coredns", "v1.14.2"),
        ("kind", "v0.33.0"),
    ],
)
def test_a_tool_is_that_of_its_committed_module(name: str, release: str) -> None:
    assert TOOLS[name].release() == release


def test_a_module_without_the_tools_is_an_error() -> None:
    with pytest.raises(ToolchainFailed, match="does not require"):
        pinned_version("module x\n")
