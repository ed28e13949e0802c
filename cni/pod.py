"""A pod as the network sees it, and what it tells plugins about it (CNI CONVENTIONS.md)."""

import ipaddress
import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from decimal import Decimal
from pathlib import Path

from cni.call import Call
from cni.errors import NetworkConfigInvalid
from cni.nat import PortMapping, checked
from cni.result import Dns
from host.namespaces import is_pinned

IFNAME = "eth0"

_INGRESS = "kubernetes.io/ingress-bandwidth"
_EGRESS = "kubernetes.io/egress-bandwidth"
_QUANTITY = re.compile(r"(\d+(?:\.\d*)?|\.\d+)([eE][+-]?\d+|[kMGTPE]i?|Ki|m)?")
_FACTORS = {
    **{unit: Decimal(1000) ** power for power, unit in enumerate("kMGTPE", 1)},
    **{f"{unit}i": Decimal(1024) ** power for power, unit in enumerate("KMGTPE", 1)},
    "m": Decimal("0.001"),
}
_BURST_BITS = 2**31 - 1


@dataclass(frozen=True, slots=True)
class PodNetwork:
    """What attach and detach need to know of a sandbox."""

    sandbox_id: str
    netns: Path
    namespace: str
    name: str
    uid: str
    port_mappings: tuple[PortMapping, ...] = ()
    annotations: Mapping[str, str] = field(default_factory=dict)
    cgroup_path: str = ""
    dns: Dns = field(default_factory=Dns)


@dataclass(frozen=True, slots=True)
class Attachment:
    """A pod on its network: addresses (the primary one first), interface names, the raw CNI result."""

    ips: tuple[str, ...]
    interfaces: tuple[str, ...]
    result: Mapping[str, object]


def call_for(pod: PodNetwork) -> Call:
    """The plugin call for a pod; the namespace is left out once it is gone.

    Raises:
        NetworkConfigInvalid: a port mapping or a bandwidth annotation is wrong.
    """
    args = (
        ("IgnoreUnknown", "1"),
        ("K8S_POD_NAMESPACE", pod.namespace),
        ("K8S_POD_NAME", pod.name),
        ("K8S_POD_INFRA_CONTAINER_ID", pod.sandbox_id),
        ("K8S_POD_UID", pod.uid),
    )
    netns = str(pod.netns) if is_pinned(pod.netns) else ""
    return Call(pod.sandbox_id, netns, IFNAME, args, capabilities(pod))


def call_for_removal(pod: PodNetwork) -> Call:
    """The plugin call to detach a pod: wishes that no attach could have met must not stand in the way."""
    try:
        return call_for(pod)
    except NetworkConfigInvalid:
        return call_for(replace(pod, port_mappings=(), annotations={}))


def capabilities(pod: PodNetwork) -> dict[str, object]:
    """The capability arguments that a pod has a value for, by their conventional names."""
    found: dict[str, object] = {}
    mappings = host_ports(pod)
    if mappings:
        found["portMappings"] = [_port_mapping(mapping) for mapping in mappings]
    bandwidth = _bandwidth(pod.annotations)
    if bandwidth:
        found["bandwidth"] = bandwidth
    if pod.dns.nameservers or pod.dns.search:
        found["dns"] = {"servers": list(pod.dns.nameservers), "searches": list(pod.dns.search)}
    if pod.cgroup_path:
        found["cgroupPath"] = pod.cgroup_path
    if pod.annotations:
        found["io.kubernetes.cri.pod-annotations"] = dict(pod.annotations)
    return found


def host_ports(pod: PodNetwork) -> list[PortMapping]:
    """The mappings that have a host port, checked."""
    return [checked(mapping) for mapping in pod.port_mappings if mapping.host_port]


def quantity(text: str, what: str) -> int:
    """A Kubernetes quantity as a whole number.

    Raises:
        NetworkConfigInvalid: not a quantity.
    """
    match = _QUANTITY.fullmatch(text.strip())
    if match is None:
        raise NetworkConfigInvalid(f"{what}: {text!r} is not a quantity such as 10M")
    number, unit = Decimal(match[1]), match[2] or ""
    if unit[:1] in ("e", "E") and unit[1:] and unit[1:] != "i":
        return int(number.scaleb(int(unit[1:])))
    return int(number * _FACTORS.get(unit, Decimal(1)))


def _bandwidth(annotations: Mapping[str, str]) -> dict[str, int]:
    """Rates in bits a second; the burst is the largest that the bandwidth plugin takes."""
    found = {}
    for direction, key in (("ingress", _INGRESS), ("egress", _EGRESS)):
        if annotations.get(key):
            found[f"{direction}Rate"] = quantity(annotations[key], f"annotation {key}")
            found[f"{direction}Burst"] = _BURST_BITS
    return found


def _port_mapping(mapping: PortMapping) -> dict[str, object]:
    document: dict[str, object] = {
        "hostPort": mapping.host_port,
        "containerPort": mapping.container_port,
        "protocol": mapping.protocol,
    }
    # The reference plugin takes an unspecified address literally: leave out what means "all".
    if mapping.host_ip and not ipaddress.ip_address(mapping.host_ip).is_unspecified:
        document["hostIP"] = mapping.host_ip
    return document
