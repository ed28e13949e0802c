"""A node on one machine: registries, Podwright and a kubelet, with the certainty that nothing of it stays."""

import contextlib
import re
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

from api.runtime.v1 import api_pb2 as pb
from tests.critest.images import registry_directory
from tests.critest.toolchain import ensure_tool
from tests.harness.cache import PROJECT
from tests.harness.client import Client, eventually
from tests.harness.daemon import Daemon, Settings
from tests.harness.images import Entry, Image, Layer
from tests.harness.patience import patient
from tests.harness.registry import Registry
from tests.harness.runs import scratch
from tests.kubelet.cgroups import Cgroups
from tests.kubelet.kubelet import Kubelet
from tests.kubelet.machine import NODE_ADDRESS, furnished
from tests.kubelet.manifests import IMAGE, Json
from tests.kubelet.views import PodView

PATIENCE_S = 60.0
POLL_S = patient(0.05)  # each look at the kubelet is a TLS handshake


class Node:
    """The parts, and what tests do with them; ``own`` is a registry to push to, ``public`` has IMAGE."""

    def __init__(
        self, daemon: Daemon, kubelet: Kubelet, own: Registry, public: Registry, cgroups: Cgroups
    ) -> None:
        self.daemon = daemon
        self.kubelet = kubelet
        self.own = own
        self.cgroups = cgroups
        self._public = public

    @property
    def client(self) -> Client:
        return self.daemon.client

    def image(self, name: str, *entries: Entry, **config: object) -> str:
        """Push a busybox with these files on top, and these keys in its configuration; its reference."""
        base = self._public.fetch(IMAGE)
        self.own.push(Image([*base.layers, Layer.of(entries)], {**base.config, **config}), name)
        return f"{self.own.address}/{name}"

    def run(self, manifest: Json, patience_s: float = PATIENCE_S) -> PodView:
        """Give the kubelet a pod and wait until it is Ready."""
        name = self.kubelet.apply(manifest)
        return self.until(name, lambda pod: pod.ready, "it is Ready", patience_s)

    def until(
        self, name: str, right: Callable[[PodView], bool], what: str, patience_s: float = PATIENCE_S
    ) -> PodView:
        """Wait until the kubelet shows the pod as wanted.

        Raises:
            TimeoutError: it does not; with the kubelet's view and the end of its log.
        """
        try:
            pod = eventually(
                lambda: self.kubelet.pods().get(name),
                lambda view: view is not None and right(view),
                f"of pod {name} {what}",
                patience_s,
                POLL_S,
            )
        except TimeoutError as error:
            raise TimeoutError(f"{error}\n{self.kubelet.log_tail()}\n{self.daemon.log_tail()}") from None
        assert pod is not None
        return pod

    def exec(self, pod: PodView, script: str, container: str = "main") -> str:
        """Run a script in a container; what it wrote on standard output."""
        done = self.client.exec(pod[container].id, "sh", "-c", script)
        assert done.exit_code == 0, done
        return done.stdout.decode()

    def attempts(self, pod: PodView, container: str = "main") -> list[int]:
        """The attempt numbers of the containers that the runtime has for it, in order."""
        return sorted(one.metadata.attempt for one in self.containers(pod) if one.metadata.name == container)

    def containers(self, pod: PodView) -> list[pb.Container]:
        """What the runtime has of a pod's containers, ended ones among them."""
        return [one for one in self.client.containers() if one.labels["io.kubernetes.pod.uid"] == pod.uid]

    def sandboxes(self, pod: PodView) -> list[pb.PodSandbox]:
        return [one for one in self.client.pods() if one.metadata.uid == pod.uid]

    def recover(self) -> None:
        """Start again what a test stopped and, as it failed, did not start."""
        if not self.daemon.running:
            self.daemon.start()
        if not self.kubelet.running:
            self.kubelet.start()

    def idle(self) -> None:
        """Withdraw every pod; wait until none runs and the kubelet has given back volumes and cgroups."""
        for manifest in self.kubelet.manifests.iterdir():
            manifest.unlink()
        eventually(self._busy, lambda left: not left, "the node is idle", PATIENCE_S)

    def _busy(self) -> list[str]:
        sandboxes = [one.metadata.name for one in self.client.pods() if one.state == pb.SANDBOX_READY]
        volumes = [path.name for path in (self.kubelet.state / "root/pods").glob("*")]
        return sandboxes + volumes + sorted(self.cgroups.pods())


@contextlib.contextmanager
def running_node(handler: str = "crun", kubeconfig: Path | None = None) -> Iterator[Node]:
    """A node that is up; afterwards nothing of it is left, and nothing had to be forced.

    With a ``kubeconfig`` it joins the cluster that this names.
    """
    program, images = ensure_tool("kubelet"), registry_directory()
    cgroups = Cgroups()
    with contextlib.ExitStack() as undo:
        state = Path(tempfile.mkdtemp(prefix="kubelet-", dir=scratch()))
        undo.callback(shutil.rmtree, state)
        undo.enter_context(furnished())
        public = undo.enter_context(Registry(images, readonly=True))
        (state / "registry").mkdir()
        own = undo.enter_context(Registry(state / "registry"))
        undo.callback(cgroups.remove)
        cgroups.create()
        insecure = f'\n[[registry]]\nlocation = "{own.address}"\ninsecure = true\n'
        daemon = Daemon(
            Settings(
                handler=handler,
                registries_conf=public.registries_conf() + insecure,
                tables={
                    "crio.runtime": {"cgroup_manager": cgroups.driver},
                    "crio.stats": {"included_pod_metrics": ["all"]},
                },
            )
        )
        undo.callback(_end, daemon)
        daemon.start()
        undo.callback(_keep_logs, daemon, state, f"{'cluster' if kubeconfig else 'kubelet'}-{handler}")
        kubelet = Kubelet(program, daemon.endpoint, state, cgroups, NODE_ADDRESS, kubeconfig)
        undo.callback(_unmount_below, state)
        undo.callback(kubelet.stop)
        kubelet.start()
        node = Node(daemon, kubelet, own, public, cgroups)
        yield node
        node.idle()


def _keep_logs(daemon: Daemon, state: Path, name: str) -> None:
    """What both said, for reading after the run: build/<name>.*.log."""
    target = PROJECT / f"build/{name}"
    target.parent.mkdir(exist_ok=True)
    target.with_suffix(".daemon.log").write_text(daemon.log())
    shutil.copyfile(state / "kubelet.log", target.with_suffix(".kubelet.log"))


def _end(daemon: Daemon) -> None:
    assert daemon.teardown() == []


def _unmount_below(state: Path) -> None:
    """A pod that a failed test leaves behind has volumes."""
    mounts = [line.split()[4] for line in Path("/proc/self/mountinfo").read_text().splitlines()]
    for mount in reversed([mount for mount in mounts if re.match(f"{re.escape(str(state))}/", mount)]):
        subprocess.run(["umount", "-l", mount], check=False, timeout=30)
