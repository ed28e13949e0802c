"""A node that ``kubeadm init`` makes with the file of ``podwright node-config kubeadm``.

    python -m tests.harness.private python -m tests.cluster.kubeadm

Without systemd nobody starts the kubelet for kubeadm: this does, once its configuration is written. What is
changed in the printed file is where the pods' cgroups lie, and what a network namespace of its own forbids.
Prints ``{"nodes": …, "pods": …}`` as the API server has them.
"""

import contextlib
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

from tests.critest.toolchain import ensure_tool
from tests.harness.client import eventually
from tests.harness.daemon import Daemon, Settings
from tests.harness.patience import patient
from tests.kubelet.cgroups import Cgroups
from tests.kubelet.machine import LINK, NODE_ADDRESS, furnished
from tests.node.kubernetes import image_archives, wanted_images

STATE = Path("/var/lib/kubelet")
PLACES = (Path("/etc/kubernetes"), Path("/var/lib/etcd"))
KUBECONFIG = "/etc/kubernetes/admin.conf"
NODE = "node"
SUBNET = "10.85.0.0/16"
# It wants settings of the whole machine that are read-only in other network namespaces.
PROXY = """\
---
apiVersion: kubeproxy.config.k8s.io/v1alpha1
kind: KubeProxyConfiguration
conntrack: {maxPerCore: 0, min: 0, tcpEstablishedTimeout: 0s, tcpCloseWaitTimeout: 0s}
"""
# What may be different here and does not concern the runtime: cgroup version 1, swap.
IGNORED = "SystemVerification,Swap"
STEP_TIMEOUT_S = patient(300)
INIT_TIMEOUT_S = patient(600)
STOP_TIMEOUT_S = patient(30)
LOG_TAIL = 4000


def configuration(daemon: Daemon, cgroups: Cgroups) -> str:
    """The printed file with what this place needs."""
    printed = run(*daemon.command("node-config kubeadm"))
    kubelet = {"cgroupRoot": cgroups.kubelet_root, "enforceNodeAllocatable": ["none"], "failSwapOn": False}
    kubelet |= {"evictionHard": {"memory.available": "50Mi"}, "oomScoreAdj": 0}
    extra = "".join(f"{key}: {json.dumps(value)}\n" for key, value in kubelet.items())
    named = printed.replace("nodeRegistration:\n", f"nodeRegistration:\n  name: {NODE}\n")
    version = (
        f"kind: ClusterConfiguration\nkubernetesVersion: {run(tool('kubeadm'), 'version', '-o', 'short')}"
    )
    return named.replace("kind: ClusterConfiguration\n", version) + extra + PROXY


@contextlib.contextmanager
def running_daemon() -> Iterator[Daemon]:
    """One with the images that kubeadm asks for."""
    daemon = Daemon(Settings(subnet=SUBNET, handler=os.environ.get("HANDLER") or "crun"))
    try:
        for archive in sorted(image_archives().iterdir()):
            run(*daemon.command("image import", str(archive)))
        daemon.start()
        yield daemon
    finally:
        forced = daemon.teardown()
    assert forced == [], forced


@contextlib.contextmanager
def running_kubelet(log: Path) -> Iterator[None]:
    """The kubelet with the files and flags that kubeadm wrote for it."""
    flags = (STATE / "kubeadm-flags.env").read_text().partition("=")[2].strip().strip('"').split()
    line = [tool("kubelet"), f"--config={STATE}/config.yaml", "--kubeconfig=/etc/kubernetes/kubelet.conf"]
    line += [*flags, f"--hostname-override={NODE}", f"--node-ip={NODE_ADDRESS}"]
    with log.open("wb") as output:
        process = subprocess.Popen(line, stdin=subprocess.DEVNULL, stdout=output, stderr=output)
    try:
        yield
    finally:
        process.terminate()
        process.wait(STOP_TIMEOUT_S)


def initialise(config: Path, undo: contextlib.ExitStack) -> None:
    """``kubeadm init``, and the kubelet in the midst of it."""
    line = [tool("kubeadm"), "init", f"--config={config}", f"--ignore-preflight-errors={IGNORED}"]
    environment = {**os.environ, "PATH": f"{Path(tool('kubelet')).parent}:{os.environ['PATH']}"}
    kubeadm = subprocess.Popen(line, env=environment, stdin=subprocess.DEVNULL, stdout=sys.stderr)
    undo.callback(kubeadm.kill)
    eventually(
        lambda: kubeadm.poll() is not None or (STATE / "config.yaml").exists(),
        bool,
        "of kubeadm's files for the kubelet",
        INIT_TIMEOUT_S,
    )
    log = config.with_name("kubelet.log")
    log.touch()
    if kubeadm.poll() is None:
        undo.enter_context(running_kubelet(log))
    if kubeadm.wait(INIT_TIMEOUT_S) != 0:
        raise SystemExit(f"kubeadm init failed\n{log.read_text()[-LOG_TAIL:]}")


def judge() -> str:
    """Wait for what a user waits for; what there is then."""
    ready = f"--timeout={STEP_TIMEOUT_S:.0f}s"
    kubectl("wait", "--for=condition=Ready", "node", "--all", ready)
    kubectl("taint", "nodes", "--all", "node-role.kubernetes.io/control-plane-")
    image = next(name for name in wanted_images() if "/pause:" in name)
    kubectl("create", "deployment", "web", f"--image={image}", "--replicas=2", "--", "sleep", "100000")
    kubectl("wait", "--for=condition=Available", "deployment/web", ready)
    kubectl("-n", "kube-system", "wait", "--for=condition=Available", "deployment/coredns", ready)
    listed = {
        what: json.loads(kubectl("get", what, "-A", "-o", "json"))["items"] for what in ("nodes", "pods")
    }
    return json.dumps(listed)


def main() -> int:
    with contextlib.ExitStack() as undo:
        undo.enter_context(furnished(PLACES))
        run("ip", "route", "add", "default", "dev", LINK)
        run("sysctl", "-qw", "net.ipv4.ip_forward=1")
        cgroups = Cgroups()
        cgroups.create()
        undo.callback(cgroups.remove)
        daemon = undo.enter_context(running_daemon())
        config = daemon.state / "kubeadm.yaml"
        config.write_text(configuration(daemon, cgroups))
        undo.callback(run, tool("kubeadm"), "reset", "--force", f"--cri-socket={daemon.endpoint}")
        initialise(config, undo)
        print(judge())
    return 0


def kubectl(*arguments: str) -> str:
    return run(tool("kubectl"), f"--kubeconfig={KUBECONFIG}", *arguments)


def tool(name: str) -> str:
    return str(ensure_tool(name))


def run(*argv: str) -> str:
    """Its standard output; its errors are ours."""
    return subprocess.run(
        argv, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True, timeout=STEP_TIMEOUT_S, check=True
    ).stdout


if __name__ == "__main__":
    sys.exit(main())
