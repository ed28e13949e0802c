"""kubeadm's configuration for the first node, and for one that joins (kubeadm.k8s.io/v1beta4)."""

import re
from dataclasses import dataclass
from typing import Self

from api.errors import InvalidArgument
from cni.fields import IpNetwork
from cri.cli.nodeconfig import kubelet
from cri.cli.nodeconfig.facts import Facts
from cri.cli.nodeconfig.files import File, document

API_VERSION = "kubeadm.k8s.io/v1beta4"

# What the controller manager gives a node unless told otherwise, and how much smaller that may be than the
# whole (kubeadm, ValidatePodSubnetNodeMask).
NODE_PREFIX = {4: 24, 6: 64}
MOST_NODE_BITS = 16

_TOKEN = re.compile(r"[a-z0-9]{6}\.[a-z0-9]{16}")
_ENDPOINT = re.compile(r"(?:\[[0-9a-fA-F:]+\]|[^\s:/\[\]]+):[0-9]{1,5}")
_CA_HASH = re.compile(r"sha256:[0-9a-f]{64}")


class BadJoin(InvalidArgument):
    """What a node joins with is missing or has another form."""


@dataclass(frozen=True, slots=True)
class Join:
    """How a node finds and trusts its cluster: what ``kubeadm init`` prints at its end."""

    endpoint: str
    token: str
    ca_hash: str

    @classmethod
    def parse(cls, endpoint: str, token: str, ca_hash: str) -> Self:
        """Check the three; kubeadm's own messages for these come late and are long.

        Raises:
            BadJoin: One is missing or malformed.
        """
        advice = "; `kubeadm token create --print-join-command` on the first node prints all three"
        for name, pattern, text in (
            ("--join", _ENDPOINT, endpoint),
            ("--token", _TOKEN, token),
            ("--discovery-token-ca-cert-hash", _CA_HASH, ca_hash),
        ):
            if not pattern.fullmatch(text):
                problem = f"{text!r} has another form" if text else "is missing"
                raise BadJoin(f"{name}: {problem}{advice}")
        return cls(endpoint, token, ca_hash)


def files(facts: Facts, join: Join | None = None) -> list[File]:
    """One file: for ``kubeadm init``, or for ``kubeadm join`` if ``join`` is given."""
    documents = [_join(facts, join)] if join else [_init(facts), _cluster(facts), _kubelet(facts)]
    return [File("kubeadm.yaml", "---\n".join(documents))]


def _init(facts: Facts) -> str:
    content = {"apiVersion": API_VERSION, "kind": "InitConfiguration", **_node(facts)}
    return document(_comment("For the first node: kubeadm init --config kubeadm.yaml", facts), content)


def _join(facts: Facts, join: Join) -> str:
    token = {"apiServerEndpoint": join.endpoint, "token": join.token, "caCertHashes": [join.ca_hash]}
    content = {
        "apiVersion": API_VERSION,
        "kind": "JoinConfiguration",
        "discovery": {"bootstrapToken": token},
        **_node(facts),
    }
    return document(_comment("For a node that joins: kubeadm join --config kubeadm.yaml", facts), content)


def _node(facts: Facts) -> dict[str, object]:
    registration: dict[str, object] = {"criSocket": facts.endpoint}
    if facts.cgroup_version == 1:
        registration["ignorePreflightErrors"] = ["SystemVerification"]
    return {"nodeRegistration": registration}


def _comment(text: str, facts: Facts) -> str:
    if facts.cgroup_version != 1:
        return text
    return f"{text}\nWith cgroup version 1 kubeadm's SystemVerification fails, whatever failCgroupV1 says."


def _cluster(facts: Facts) -> str:
    content: dict[str, object] = {"apiVersion": API_VERSION, "kind": "ClusterConfiguration"}
    if not facts.pod_networks:
        comment = f"No pod range is set: {facts.network}.\nAn add-on may ask for one: networking.podSubnet."
        return document(comment, content)
    ranges = ",".join(map(str, facts.pod_networks))
    content["networking"] = {"podSubnet": ranges}
    if arguments := [_mask(one) for one in facts.pod_networks if not _fits(one)]:
        content["controllerManager"] = {"extraArgs": arguments}
    return document(f"The pod range is that of {facts.network}.", content)


def _fits(network: IpNetwork) -> bool:
    bits = NODE_PREFIX[network.version] - network.prefixlen
    return 0 <= bits <= MOST_NODE_BITS


def _mask(network: IpNetwork) -> dict[str, str]:
    """The argument that gives a node as much of the range as there is, or a part that is allowed."""
    wanted = max(network.prefixlen, min(NODE_PREFIX[network.version], network.prefixlen + MOST_NODE_BITS))
    return {"name": f"node-cidr-mask-size-ipv{network.version}", "value": str(wanted)}


def _kubelet(facts: Facts) -> str:
    return document("The rest of the kubelet's configuration is kubeadm's.", kubelet.base(facts))
