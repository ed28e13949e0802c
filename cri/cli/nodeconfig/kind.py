"""A kind node image with Podwright, and a cluster of it."""

from cri.cli.nodeconfig import crictl, kubeadm
from cri.cli.nodeconfig.facts import Facts
from cri.cli.nodeconfig.files import File, document, template, yaml_text

IMAGE = "podwright-node"


def files(facts: Facts) -> list[File]:
    """Dockerfile, the files that it copies, and the cluster's configuration."""
    return [
        File("Dockerfile", template("kind.Dockerfile", {"IMAGE": IMAGE})),
        File("podwright.conf", f"# /etc/podwright/podwright.conf of the kind nodes.\n{facts.differences}"),
        *crictl.files(facts),
        File(
            "cluster.yaml",
            document(f"kind create cluster --config cluster.yaml ({IMAGE} first)", _cluster(facts)),
        ),
    ]


def _cluster(facts: Facts) -> dict[str, object]:
    registration = {"nodeRegistration": {"criSocket": facts.endpoint}}
    patches = [
        yaml_text({"apiVersion": kubeadm.API_VERSION, "kind": kind, **registration})
        for kind in ("InitConfiguration", "JoinConfiguration")
    ]
    return {
        "apiVersion": "kind.x-k8s.io/v1alpha4",
        "kind": "Cluster",
        "nodes": [{"role": "control-plane", "image": IMAGE}],
        "kubeadmConfigPatches": patches,
    }
