"""What is measured: a daemon of a revision of Podwright, or Debian's containerd, each on a state of its own.

Everything that a target causes is below the cgroup ``/bench/<name>``: the daemon and what it starts in
``daemon``, its pods in ``pods``.
"""

import os
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import grpc

from api.runtime.v1 import api_pb2 as pb
from host.cgroups import Hierarchy
from tests.harness import processes
from tests.harness.client import Client
from tests.harness.daemon import Daemon, Settings
from tests.harness.debian import find, unpacked
from tests.harness.registry import Registry

TOP = "/bench"
PAUSE_IMAGE = "bench/pause:1"
_PROGRAM = "import sys; sys.path.insert(0, {tree!r}); from cri.cli import main; sys.exit(main())"
_ANSWER_TIMEOUT_S = 60.0
_CONTAINERD = """\
version = 2
root = "{state}/root"
state = "{runroot}/state"
[grpc]
address = "{runroot}/podwright.sock"
[ttrpc]
address = "{runroot}/ttrpc.sock"
[plugins."io.containerd.internal.v1.opt"]
path = "{state}/opt"
[plugins."io.containerd.grpc.v1.cri"]
sandbox_image = "{registry}/{pause}"
restrict_oom_score_adj = true
netns_mounts_under_state_dir = true
[plugins."io.containerd.grpc.v1.cri".containerd]
default_runtime_name = "main"
[plugins."io.containerd.grpc.v1.cri".containerd.runtimes.main]
runtime_type = "io.containerd.runc.v2"
[plugins."io.containerd.grpc.v1.cri".containerd.runtimes.main.options]
BinaryName = "/usr/bin/crun"
SystemdCgroup = false
[plugins."io.containerd.grpc.v1.cri".cni]
bin_dir = "/usr/lib/cni"
conf_dir = "{state}/net.d"
[plugins."io.containerd.grpc.v1.cri".registry]
config_path = "{state}/certs.d"
"""


class Target(Daemon):
    """A daemon that can be measured; ``with`` starts it and takes everything away."""

    def __init__(self, name: str, number: int, registry: Registry, program: Sequence[str]) -> None:
        """``number`` tells its bridge and subnet from those of others."""
        self.name = name
        self.registry = registry
        self.hierarchy = Hierarchy.detect()
        for part in ("daemon", "pods"):
            self.hierarchy.create(f"{self.cgroup}/{part}")
        super().__init__(
            Settings(
                bridge=f"pw-bench{number}",
                subnet=f"10.{200 + number}.0.0/16",
                registries_conf=registry.registries_conf(),
            ),
            program=program,
        )

    @property
    def cgroup(self) -> str:
        """Of all that it causes."""
        return f"{TOP}/{self.name}"

    def launch(self) -> None:
        """Start it, in its cgroup before it starts anything itself."""
        super().launch()
        for directory in self.hierarchy.directories(f"{self.cgroup}/daemon"):
            (directory / "cgroup.procs").write_text(str(self.pid))

    def cpu_ms(self) -> float:
        """What all that it has caused has used until now."""
        return (self.hierarchy.cpu_usage_ns(self.cgroup) or 0) / 1e6

    def helpers(self) -> list[int]:
        """The processes that it keeps beside itself; those of the pods' containers are not among them."""
        return sorted(self.hierarchy.pids(f"{self.cgroup}/daemon") - {self.pid})

    def started_ms(self) -> float:
        """Start it; the time until it answers Version."""
        begun = time.perf_counter()
        self.launch()
        while not self._answers():
            if time.perf_counter() - begun > _ANSWER_TIMEOUT_S:
                raise TimeoutError(f"{self.name} does not answer\n{self.log_tail()}")
            time.sleep(0.001)
        return (time.perf_counter() - begun) * 1e3

    def _answers(self) -> bool:
        if not Path(self.endpoint.removeprefix("unix://")).exists():
            return False
        with Client(self.endpoint) as client:
            try:
                client.runtime.Version(pb.VersionRequest(), timeout=5)
            except grpc.RpcError:
                return False
            return True

    def teardown(self) -> list[str]:
        """See Daemon; its cgroups go too."""
        left = super().teardown()
        self.hierarchy.kill(self.cgroup)
        self.hierarchy.remove(self.cgroup)
        return left


class Podwright(Target):
    """The daemon of a checkout, with the Python and the libraries of this one."""

    def __init__(self, name: str, number: int, registry: Registry, tree: Path) -> None:
        super().__init__(name, number, registry, [sys.executable, "-c", _PROGRAM.format(tree=str(tree))])


class Containerd(Target):
    """Debian's containerd with crun, unpacked into the cache, never installed."""

    def __init__(self, name: str, number: int, registry: Registry) -> None:
        tree, _ = unpacked(["containerd"])
        self._directory = find(tree, "containerd").parent
        super().__init__(name, number, registry, [str(self._directory / "containerd")])

    def _write_configuration(self) -> None:
        super()._write_configuration()
        address = self.registry.address
        hosts = self.state / "certs.d" / address / "hosts.toml"
        hosts.parent.mkdir(parents=True)
        hosts.write_text(
            f'server = "http://{address}"\n[host."http://{address}"]\ncapabilities = ["pull", "resolve"]\n'
        )
        self.config.write_text(
            _CONTAINERD.format(state=self.state, runroot=self.runroot, registry=address, pause=PAUSE_IMAGE)
        )

    def command(self, verb: str, *arguments: str) -> list[str]:
        """Its only one; see Daemon."""
        # Its shims are looked for in PATH.
        path = f"PATH={self._directory}:{os.environ['PATH']}"
        return ["env", path, *self._program, "-c", str(self.config)]


def busy_s() -> float:
    """CPU seconds that the whole machine has been busy."""
    fields = [int(field) for field in Path("/proc/stat").read_text().split("\n", 1)[0].split()[1:]]
    return (sum(fields) - fields[3] - fields[4]) / os.sysconf("SC_CLK_TCK")


def pss_mib(pid: int) -> float:
    """The memory of a process, shared pages divided among those who share them; 0 when it is gone."""
    return (processes.smaps_kib(pid, "Pss") or 0) / 1024


def checkout(revision: str, directory: Path) -> Path:
    """A working tree of ``revision`` in ``directory``, which the caller removes with :func:`forget`."""
    tree = directory / "tree"
    _git("worktree", "add", "--quiet", "--detach", str(tree), revision)
    return tree


def forget(tree: Path) -> None:
    """Remove what ``checkout`` made."""
    _git("worktree", "remove", "--force", str(tree))


def _git(*arguments: str) -> None:
    subprocess.run(["git", "-C", str(Path(__file__).parents[1]), *arguments], check=True)
