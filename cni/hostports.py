"""Host ports: the portmap plugin's work, and the runtime's own when no plugin of the network does it."""

import ipaddress
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from cni import ruleset
from cni.fields import IpAddress, integer, objects, string
from cni.nat import Nat, PortMapping, checked, hostport_elements, hostport_targets, targets
from cni.result import Result
from host.netlink import route
from host.netlink.connection import Netlink


@dataclass(frozen=True, slots=True)
class HostPorts:
    """Opens and closes the host ports of a pod. Blocking: call it off the event loop."""

    nat: Nat

    def open(self, owner: str, mappings: Sequence[PortMapping], result: Result, *, snat: bool = True) -> None:
        """Lead host ports to the pod that ``result`` describes; a mapping of host port 0 is none.

        Raises:
            HostPortTaken: another pod has one of them; none is open then.
        """
        wanted = [checked(mapping) for mapping in mappings if mapping.host_port]
        if not wanted:
            return
        addresses = [ipaddress.ip_address(text) for text in result.pod_ips()]
        links = routed_links(result)
        self.nat.add(owner, hostport_elements(owner, wanted, addresses, links, snat=snat))
        if snat:
            for link in links:
                self.nat.route_localnet(link)
        self.nat.forget_flows(wanted)

    def close(
        self, owner: str, mappings: Sequence[PortMapping] = (), addresses: Iterable[IpAddress] = ()
    ) -> None:
        """Close the host ports of ``owner``, whichever they were, and forget their flows; again is fine.

        ``mappings`` and the pod's ``addresses``, where they are known, find the flows that a close which was
        cut short has left.
        """
        removed = self.nat.remove(owner, ruleset.HOSTPORT_SETS)
        wanted = [checked(mapping) for mapping in mappings if mapping.host_port]
        self.nat.forget_flows(wanted)
        self.nat.forget_targets(targets(removed) | hostport_targets(wanted, addresses))

    def is_open(self, owner: str) -> bool:
        """Whether ``owner`` has a host port."""
        return owner in self.nat.owners(ruleset.HOSTPORT_SETS)

    def keep_only(self, valid: frozenset[str]) -> None:
        """Close the host ports of every owner that is not in ``valid``."""
        for owner in self.nat.owners(ruleset.HOSTPORT_SETS) - valid:
            self.close(owner)


def port_mappings_of(arguments: Mapping[str, object], where: str) -> list[PortMapping]:
    """The value of the ``portMappings`` capability among a call's arguments."""
    return [
        PortMapping(
            integer(item, "hostPort", where),
            integer(item, "containerPort", where),
            string(item, "protocol", where) or "tcp",
            string(item, "hostIP", where),
        )
        for item in objects(arguments, "portMappings", where)
    ]


def owner_of(container_id: str, ifname: str) -> str:
    """The comment that marks what belongs to one attachment."""
    return f"{container_id} {ifname}"


def routed_links(result: Result) -> list[str]:
    """The host's interfaces of a result that it routes through: bridges and free-standing ends, no ports."""
    found = []
    with Netlink() as netlink:
        for interface in result.interfaces:
            if interface.sandbox or not interface.name:
                continue
            try:
                link = route.parse_link(netlink.request(route.get_link(interface.name))[0])
            except OSError:
                continue  # not an interface of the host: nothing is routed there
            if not link.master:
                found.append(link.name)
    return found
