"""A sandbox's network: its request in CNI's terms, and the host ports that no plugin maps."""

import asyncio
from collections.abc import Iterable, Sequence

from api.errors import FailedPrecondition
from api.runtime.v1 import api_pb2 as pb
from cni.nat import PortMapping
from cni.pod import PodNetwork
from cni.result import Dns
from cri.node import Node
from cri.operations import Operation
from cri.sandboxes.record import Sandbox
from host import listeners


class HostPortInUse(FailedPrecondition):
    """A process of the host listens on a port that the pod wants."""


_PROTOCOL = {pb.TCP: "tcp", pb.UDP: "udp", pb.SCTP: "sctp"}


def port_mappings(config: pb.PodSandboxConfig) -> tuple[PortMapping, ...]:
    """The mappings that name a host port; the kubelet declares the others too."""
    return tuple(
        PortMapping(mapping.host_port, mapping.container_port, _PROTOCOL[mapping.protocol], mapping.host_ip)
        for mapping in config.port_mappings
        if mapping.host_port > 0
    )


def led_away(sandboxes: Iterable[Sandbox]) -> set[int]:
    """The TCP ports of the host that lead to these pods: what listens on one later is not reached."""
    mappings = (mapping for sandbox in sandboxes for mapping in port_mappings(sandbox.config))
    return {mapping.host_port for mapping in mappings if mapping.protocol == "tcp"}


def dns(config: pb.DNSConfig) -> Dns:
    """For plugins that declare the capability; resolv.conf is the daemon's to write."""
    return Dns(tuple(config.servers), "", tuple(config.searches), tuple(config.options))


def request_of(node: Node, sandbox: Sandbox) -> PodNetwork:
    """What CNI is told about the pod."""
    metadata = sandbox.config.metadata
    return PodNetwork(
        sandbox_id=sandbox.id,
        netns=sandbox.namespaces.get("net", node.paths.namespaces(sandbox.id) / "net"),
        namespace=metadata.namespace,
        name=metadata.name,
        uid=metadata.uid,
        port_mappings=() if node.config.runtime.disable_hostport_mapping else port_mappings(sandbox.config),
        annotations=dict(sandbox.config.annotations),
        cgroup_path=sandbox.config.linux.cgroup_parent,
        dns=dns(sandbox.config.dns_config),
    )


async def attach(node: Node, sandbox: Sandbox, operation: Operation) -> tuple[str, ...]:
    """Connect the pod, each plugin in a step; its addresses, the primary one first.

    Raises:
        HostPortInUse: a process of the host listens on one of its host ports.
    """
    request = request_of(node, sandbox)
    if request.port_mappings:
        await asyncio.to_thread(require_free, request.port_mappings)
    attachment = await node.network.attach(request, operation.step)
    return attachment.ips


def require_free(mappings: Sequence[PortMapping]) -> None:
    """Refuse a host port that a process of the host has: the pod would take its traffic, unnoticed. Blocking.

    Raises:
        HostPortInUse: naming the process.
    """
    for mapping in mappings:
        found = listeners.taker(mapping.protocol, mapping.host_ip, mapping.host_port)
        if found is not None:
            raise HostPortInUse(
                f"host port {mapping.host_port}/{mapping.protocol} is in use by {listeners.owner(found)}: "
                "end that, or give the pod another hostPort"
            )


async def detach(node: Node, sandbox: Sandbox) -> None:
    """Disconnect the pod; one that is not connected is fine."""
    await node.network.detach(request_of(node, sandbox))
