"""kube-proxy: what turns a Service's address into that of a pod, by nftables of this network namespace."""

import contextlib
import json
from collections.abc import Iterator

from tests.cluster.control_plane import ControlPlane, answers, call, running
from tests.critest.toolchain import ensure_tool
from tests.harness.daemon import Settings
from tests.kubelet.kubelet import NODE
from tests.kubelet.manifests import Json

USER = "system:kube-proxy"
HEALTH = "127.0.0.1:10256"


@contextlib.contextmanager
def running_proxy(plane: ControlPlane) -> Iterator[None]:
    """It, healthy; its tables are gone afterwards."""
    config = plane.state / "kube-proxy.yaml"
    config.write_text(json.dumps(configuration(plane)))  # JSON is YAML too
    _make_kubeconfig(plane)
    with contextlib.ExitStack() as undo:
        undo.callback(call, ensure_tool("kube-proxy"), "--cleanup", f"--config={config}")
        undo.enter_context(
            running(plane, "kube-proxy", {"config": config}, lambda: answers(f"http://{HEALTH}/healthz"))
        )
        yield


def configuration(plane: ControlPlane) -> Json:
    """KubeProxyConfiguration (kubeproxy.config.k8s.io/v1alpha1); limits of conntrack are the machine's."""
    return {
        "apiVersion": "kubeproxy.config.k8s.io/v1alpha1",
        "kind": "KubeProxyConfiguration",
        "mode": "nftables",
        "hostnameOverride": NODE,
        "clusterCIDR": Settings().subnet,
        "clientConnection": {"kubeconfig": str(plane.kubeconfig("proxy"))},
        "healthzBindAddress": HEALTH,
        "conntrack": {
            "maxPerCore": 0,
            "min": 0,
            "tcpEstablishedTimeout": "0s",
            "tcpCloseWaitTimeout": "0s",
        },
    }


def _make_kubeconfig(plane: ControlPlane) -> None:
    line = ["kubeconfig", "user", f"--client-name={USER}", f"--config={plane.kubeadm_config}"]
    plane.kubeconfig("proxy").write_text(call(ensure_tool("kubeadm"), *line))
