"""A kubelet that kubeadm does not manage: its configuration and its systemd drop-in."""

from cri.cli.nodeconfig.facts import Facts
from cri.cli.nodeconfig.files import File, document

API_VERSION = "kubelet.config.k8s.io/v1beta1"
CONFIGURATION = "/etc/kubernetes/kubelet.yaml"
MANIFESTS = "/etc/kubernetes/manifests"

_KIND = {"apiVersion": API_VERSION, "kind": "KubeletConfiguration"}

_COMMENT = f"""\
Belongs to {CONFIGURATION}. A kubelet without an API server: it runs the pods that lie as
files in {MANIFESTS}, and nobody can log in to its own API. To join it to an API server,
take out authentication and authorization, and give it --kubeconfig in the drop-in."""

_DROP_IN = f"""\
# Belongs into /etc/systemd/system/kubelet.service.d/. Not for nodes of kubeadm, which has its own there.
[Unit]
Wants=podwright.service
After=podwright.service

[Service]
ExecStart=
ExecStart=/usr/bin/kubelet --config={CONFIGURATION}
"""


def files(facts: Facts) -> list[File]:
    """kubelet.yaml and the drop-in."""
    content = {
        **base(facts),
        "containerRuntimeEndpoint": facts.endpoint,
        "staticPodPath": MANIFESTS,
        "authentication": {"anonymous": {"enabled": False}, "webhook": {"enabled": False}},
        "authorization": {"mode": "AlwaysAllow"},
    }
    return [File("kubelet.yaml", document(_COMMENT, content)), File("20-podwright.conf", _DROP_IN)]


def base(facts: Facts) -> dict[str, object]:
    """A KubeletConfiguration with what the runtime and this host decide, whoever starts the kubelet.

    The kubelet asks the runtime for the cgroup driver and would correct it; a right one spares the doubt.
    """
    content: dict[str, object] = {
        **_KIND,
        "cgroupDriver": facts.cgroup_driver,
    }
    return content | (on_version_1() if facts.cgroup_version == 1 else {})


def on_version_1() -> dict[str, object]:
    """A KubeletConfiguration with what kubelets from 1.35 on need to start with cgroup version 1."""
    return {**_KIND, "failCgroupV1": False}
