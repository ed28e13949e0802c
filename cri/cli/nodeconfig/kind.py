"""A kind node image with Podwright, and a cluster of it."""

from dataclasses import replace

from conf.sample import differences
from conf.schema import Config
from cri.cli.nodeconfig import crictl, kubeadm, kubelet
from cri.cli.nodeconfig.facts import Facts
from cri.cli.nodeconfig.files import File, document, template, yaml_text

IMAGE = "podwright-node"

_CONFIGURATION = """\
# /etc/podwright/podwright.conf of the kind nodes.
# Inside one the kernel says that AppArmor is enabled, but there are neither securityfs nor apparmor_parser:
# no profile can be loaded, hence "unconfined".
"""


def files(facts: Facts) -> list[File]:
    """Dockerfile, the files that it copies, and the cluster's configuration."""
    return [
        File("Dockerfile", template("kind.Dockerfile", {"IMAGE": IMAGE})),
        File("podwright.conf", _CONFIGURATION + differences(_inside(facts.config))),
        *crictl.files(facts),
        File(
            "cluster.yaml",
            document(f"kind create cluster --config cluster.yaml ({IMAGE} first)", _cluster(facts)),
        ),
    ]


def _inside(config: Config) -> Config:
    """This node's configuration as it can work in a kind node."""
    return replace(config, runtime=replace(config.runtime, apparmor_profile="unconfined"))


def _cluster(facts: Facts) -> dict[str, object]:
    registration = {"nodeRegistration": {"criSocket": facts.endpoint}}
    patches = [
        yaml_text({"apiVersion": kubeadm.API_VERSION, "kind": kind, **registration})
        for kind in ("InitConfiguration", "JoinConfiguration")
    ]
    if facts.cgroup_version == 1:  # kind itself skips kubeadm's preflight
        patches.append(yaml_text(kubelet.on_version_1()))
    return {
        "apiVersion": "kind.x-k8s.io/v1alpha4",
        "kind": "Cluster",
        "nodes": [{"role": "control-plane", "image": IMAGE}],
        "kubeadmConfigPatches": patches,
    }
