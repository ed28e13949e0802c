"""etcd, API server, controller manager, scheduler: a real control plane on an address of its own on ``lo``.

<state>/kubeadm.yaml   what kubeadm makes certificates from
<state>/pki   kubeconfigs   etcd   <program>.log

Only the certificates are kubeadm's work; the programs run as plain processes, so that nothing in here needs
the node that the cluster is to be tested with.
"""

import contextlib
import json
import shutil
import ssl
import subprocess
import tempfile
import time
import urllib.request
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from tests.critest.toolchain import TOOLS, ensure_tool
from tests.harness.cache import PROJECT
from tests.harness.patience import patient
from tests.kubelet.kubelet import NODE
from tests.kubelet.manifests import Json

ADDRESS = "198.51.100.1"
PORT = 6443
ETCD = "http://127.0.0.1:2379"
SERVICES = "10.96.0.0/16"
START_TIMEOUT_S = patient(60)
STOP_TIMEOUT_S = patient(30)
STEP_TIMEOUT_S = patient(60)
LOG_TAIL = 3000


class ControlPlaneFailed(Exception):
    """A program of the control plane does not start; the message carries the end of its log."""


@dataclass(frozen=True, slots=True)
class ControlPlane:
    """A running one; what it wrote is below ``state``."""

    state: Path

    @property
    def url(self) -> str:
        return f"https://{ADDRESS}:{PORT}"

    def kubeconfig(self, user: str) -> Path:
        """Of ``super-admin``, who may do all, ``kubelet``, ``controller-manager`` or ``scheduler``."""
        return self.state / f"kubeconfigs/{user}.conf"

    @property
    def kubeadm_config(self) -> Path:
        return self.state / "kubeadm.yaml"


@contextlib.contextmanager
def running_control_plane() -> Iterator[ControlPlane]:
    """One that answers; afterwards its processes, files and address are gone."""
    with contextlib.ExitStack() as undo:
        state = Path(tempfile.mkdtemp(prefix="cluster-", dir="/run"))
        undo.callback(shutil.rmtree, state)
        call("ip", "address", "add", f"{ADDRESS}/32", "dev", "lo")
        undo.callback(call, "ip", "address", "delete", f"{ADDRESS}/32", "dev", "lo")
        plane = ControlPlane(state)
        _make_certificates(plane)
        undo.callback(_keep_logs, plane)
        tls = ssl.create_default_context(cafile=str(state / "pki/ca.crt"))
        for name, options, ready in (
            ("etcd", etcd_options(state), lambda: answers(f"{ETCD}/health")),
            ("kube-apiserver", api_server_options(state), lambda: answers(f"{plane.url}/readyz", tls)),
            ("kube-controller-manager", controller_options(plane), lambda: True),
            ("kube-scheduler", scheduler_options(plane), lambda: True),
        ):
            undo.enter_context(running(plane, name, options, ready))
        yield plane


@contextlib.contextmanager
def running(
    plane: ControlPlane, name: str, options: Mapping[str, object], ready: Callable[[], bool]
) -> Iterator[None]:
    """A program of the toolchain, once it is ``ready``; ended by SIGTERM.

    Raises:
        ControlPlaneFailed: it ends, or is not ready in time.
    """
    log = plane.state / f"{name}.log"
    line = [str(ensure_tool(name)), *(f"--{key}={value}" for key, value in options.items())]
    with log.open("wb") as output:
        process = subprocess.Popen(line, stdin=subprocess.DEVNULL, stdout=output, stderr=output)
    try:
        end = time.monotonic() + START_TIMEOUT_S
        while not ready():
            if process.poll() is not None or time.monotonic() > end:
                said = log.read_text(errors="replace")[-LOG_TAIL:]
                raise ControlPlaneFailed(f"{name} is not ready\n{said}")
            time.sleep(0.1)
        yield
    finally:
        process.terminate()
        try:
            process.wait(STOP_TIMEOUT_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait(STOP_TIMEOUT_S)
            raise


def etcd_options(state: Path) -> Mapping[str, object]:
    """One member, in memory: what it syncs is not worth waiting for."""
    peers = "http://127.0.0.1:2380"
    return {
        "name": "one",
        "data-dir": state / "etcd",
        "listen-client-urls": ETCD,
        "advertise-client-urls": ETCD,
        "listen-peer-urls": peers,
        "initial-advertise-peer-urls": peers,
        "initial-cluster": f"one={peers}",
        "unsafe-no-fsync": "true",
        "log-level": "warn",
    }


def api_server_options(state: Path) -> Mapping[str, object]:
    """As kubeadm would start it, with etcd on loopback."""
    pki = state / "pki"
    return {
        "advertise-address": ADDRESS,
        "secure-port": PORT,
        "etcd-servers": ETCD,
        "authorization-mode": "Node,RBAC",
        "enable-admission-plugins": "NodeRestriction",
        "allow-privileged": "true",
        "client-ca-file": pki / "ca.crt",
        "tls-cert-file": pki / "apiserver.crt",
        "tls-private-key-file": pki / "apiserver.key",
        "kubelet-client-certificate": pki / "apiserver-kubelet-client.crt",
        "kubelet-client-key": pki / "apiserver-kubelet-client.key",
        "kubelet-preferred-address-types": "InternalIP",
        "service-account-issuer": "https://kubernetes.default.svc.cluster.local",
        "service-account-key-file": pki / "sa.pub",
        "service-account-signing-key-file": pki / "sa.key",
        "service-cluster-ip-range": SERVICES,
    }


def controller_options(plane: ControlPlane) -> Mapping[str, object]:
    """All controllers, with an account each; one manager needs no election."""
    pki, own = plane.state / "pki", plane.kubeconfig("controller-manager")
    return {
        "kubeconfig": own,
        "authentication-kubeconfig": own,
        "authorization-kubeconfig": own,
        "bind-address": "127.0.0.1",
        "leader-elect": "false",
        "use-service-account-credentials": "true",
        "service-account-private-key-file": pki / "sa.key",
        "root-ca-file": pki / "ca.crt",
        "cluster-signing-cert-file": pki / "ca.crt",
        "cluster-signing-key-file": pki / "ca.key",
    }


def scheduler_options(plane: ControlPlane) -> Mapping[str, object]:
    own = plane.kubeconfig("scheduler")
    return {
        "kubeconfig": own,
        "authentication-kubeconfig": own,
        "authorization-kubeconfig": own,
        "bind-address": "127.0.0.1",
        "leader-elect": "false",
    }


def kubeadm_configuration(state: Path) -> list[Json]:
    """InitConfiguration and ClusterConfiguration (kubeadm.k8s.io/v1beta4)."""
    version = {"apiVersion": "kubeadm.k8s.io/v1beta4"}
    return [
        {
            **version,
            "kind": "InitConfiguration",
            "localAPIEndpoint": {"advertiseAddress": ADDRESS, "bindPort": PORT},
            "nodeRegistration": {"name": NODE, "criSocket": "unix:///run/podwright.sock"},  # not called here
        },
        {
            **version,
            "kind": "ClusterConfiguration",
            "kubernetesVersion": TOOLS["kubeadm"].release(),
            "certificatesDir": str(state / "pki"),
            "encryptionAlgorithm": "ECDSA-P256",
            "networking": {"serviceSubnet": SERVICES},
        },
    ]


def _make_certificates(plane: ControlPlane) -> None:
    # JSON is YAML too.
    plane.kubeadm_config.write_text("\n---\n".join(map(json.dumps, kubeadm_configuration(plane.state))))
    config = f"--config={plane.kubeadm_config}"
    kubeadm, target = ensure_tool("kubeadm"), plane.kubeconfig("any").parent
    call(kubeadm, "init", "phase", "certs", "all", config)
    call(kubeadm, "init", "phase", "kubeconfig", "all", config, f"--kubeconfig-dir={target}")


def answers(url: str, tls: ssl.SSLContext | None = None) -> bool:
    """Whether a GET of it is answered with 200."""
    try:
        with urllib.request.urlopen(url, timeout=STEP_TIMEOUT_S, context=tls) as response:
            return bool(response.status == 200)
    except OSError:
        return False


def _keep_logs(plane: ControlPlane) -> None:
    """For reading after the run: build/cluster.<program>.log."""
    target = PROJECT / "build"
    target.mkdir(exist_ok=True)
    for log in plane.state.glob("*.log"):
        shutil.copyfile(log, target / f"cluster.{log.name}")


def call(*argv: str | Path) -> str:
    """Run a command to its end; what it wrote on standard output.

    Raises:
        ControlPlaneFailed: it fails; with all that it wrote.
    """
    done = subprocess.run(argv, capture_output=True, text=True, timeout=STEP_TIMEOUT_S, check=False)
    if done.returncode:
        raise ControlPlaneFailed(f"{argv}: exit code {done.returncode}\n{done.stdout}{done.stderr}")
    return done.stdout
