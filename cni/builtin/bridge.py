"""The bridge plugin: a veth pair from the pod to a bridge of the host, with addresses, routes, masquerading.

Order: lease, bridge, veth (one message makes both ends, plugged in), the pod's side, masquerading. Every
step has an undo. The host's end is named after the attachment, so that DEL finds it without any memory.
"""

import errno
import hashlib
import ipaddress
import secrets
import threading
from collections.abc import Sequence
from contextlib import ExitStack, suppress
from dataclasses import dataclass, replace
from pathlib import Path

from cni import ruleset
from cni.builtin import bridge_config
from cni.builtin.base import Request
from cni.builtin.bridge_config import BridgeConfig
from cni.builtin.host_local import HostLocal
from cni.errors import NetworkConfigInvalid, PluginFailed
from cni.fields import IpInterface, Json, mapping
from cni.hostports import owner_of
from cni.nat import Nat, masquerade_elements
from cni.result import Interface, Result, Route, merged_dns
from host.namespaces import in_namespace
from host.netlink import route
from host.netlink.connection import Netlink
from host.netlink.message import Message, Reply
from host.netlink.route import Link, Peer

_PROC_NET = Path("/proc/sys/net")


@dataclass(frozen=True, slots=True)
class _Made:
    """The three interfaces of an attachment, as the result names them."""

    bridge: Link
    host: Link
    pod: Link


class Bridge:
    """The built-in ``bridge``; leases by the built-in host-local."""

    def __init__(self, ipam: HostLocal, nat: Nat) -> None:
        self._ipam = ipam
        self._nat = nat
        self._bridges = threading.Lock()

    def refuses(self, conf: Json) -> str:
        """Keys that only the plugin binary can do."""
        return bridge_config.refuses(conf)

    def add(self, request: Request) -> Result:
        """Attach the pod; a failure leaves nothing but the bridge.

        Raises:
            NetworkConfigInvalid: a key that is wrong or that only the plugin binary can do.
            OSError: a netlink request failed.
        """
        config = _checked(request)
        with ExitStack() as undo:
            leased = Result()
            if config.ipam_type:
                leased = self._ipam.add(request)
                undo.callback(self._ipam.delete, replace(request, previous=None))
                if not leased.ips:
                    raise PluginFailed(f"{request.where}: IPAM gave no address")
            wanted = bridge_config.with_gateways(config, leased)
            with Netlink() as netlink:
                made = self._plug(netlink, undo, request, config, wanted)
            if config.ip_masq and wanted.ips:
                owner = owner_of(request.call.container_id, request.call.ifname)
                undo.callback(self._nat.remove, owner, ruleset.MASQUERADE_SETS)
                addresses = [one.address.ip for one in wanted.ips]
                self._nat.add(owner, masquerade_elements(owner, addresses, config.bridge))
            undo.pop_all()
        return merged_dns(_result(made, wanted, request.call.netns), config.dns)

    def check(self, request: Request) -> None:
        """The pod's interface is there and has the addresses of the previous result."""
        if mapping(request.conf, "ipam", request.where):
            self._ipam.check(request)
        previous, call = request.previous, request.call
        if previous is None:
            raise PluginFailed(f"{request.where}: CHECK needs prevResult")

        def inside() -> set[str]:
            with Netlink() as netlink:
                link = route.parse_link(netlink.request(route.get_link(call.ifname))[0])
                found = [
                    route.parse_address(reply) for reply in netlink.dump(route.get_addresses(link.index))
                ]
                return {str(address.ip) for index, address in found if index == link.index}

        missing = [text for text in previous.pod_ips() if text not in in_namespace(call.netns, inside)]
        if missing:
            raise PluginFailed(f"{request.where}: {call.ifname} has lost {', '.join(missing)}")

    def delete(self, request: Request) -> None:
        """Detach the pod, whoever attached it: this built-in or the plugin binary."""
        call = request.call
        # The veth goes first: a lease must not pass to a new pod while the old one can still send from it.
        with Netlink() as netlink:
            names = {veth_name(call.container_id, call.ifname), *_host_ends(request)}
            removed = [name for name in sorted(names) if _delete_link(netlink, name)]
        if not removed and call.netns:
            in_namespace(call.netns, lambda: _delete_inside(call.ifname))
        if mapping(request.conf, "ipam", request.where).get("type"):
            self._ipam.delete(request)
        if request.conf.get("ipMasq"):
            self._nat.remove(owner_of(call.container_id, call.ifname), ruleset.MASQUERADE_SETS)

    def collect(self, conf: Json, valid: frozenset[tuple[str, str]]) -> None:
        """Release leases of attachments that are not valid; links and packet filter do not outlive a boot."""
        if mapping(conf, "ipam", "bridge GC").get("type"):
            self._ipam.collect(conf, valid)

    def _plug(
        self, netlink: Netlink, undo: ExitStack, request: Request, config: BridgeConfig, wanted: Result
    ) -> _Made:
        with self._bridges:  # two pods at once must not both make the bridge or give it an address
            bridge = _ensure_bridge(netlink, config)
            if config.is_gateway:
                _ensure_addresses(
                    netlink, bridge, bridge_config.bridge_addresses(wanted), config, request.where
                )
        if config.is_gateway:
            _enable_forwarding(wanted)
        call = request.call
        name = veth_name(call.container_id, call.ifname)
        mac = bridge_config.pod_mac(config, wanted)
        with Path(call.netns).open("rb") as namespace:
            peer = Peer(call.ifname, namespace.fileno(), mac)
            created = route.new_veth(name, peer, bridge.index, config.mtu or bridge.mtu)
            replies = _create(netlink, created, name, request)
            undo.callback(_delete_link_now, name)
            host = route.parse_link(replies)
            if config.hairpin:
                netlink.request(route.set_hairpin(host.index, name))
            pod = in_namespace(namespace.fileno(), lambda: _configure_pod(call.ifname, wanted))
        return _Made(bridge, host, pod)


def veth_name(container_id: str, ifname: str) -> str:
    """The host's end of an attachment: the same at ADD and DEL, 15 characters."""
    return "veth" + hashlib.sha256(owner_of(container_id, ifname).encode()).hexdigest()[:11]


def _checked(request: Request) -> BridgeConfig:
    refused = bridge_config.refuses(request.conf)
    if refused:
        raise NetworkConfigInvalid(f"{request.where}: {refused} needs the bridge plugin binary")
    return bridge_config.parse(request)


def _create(netlink: Netlink, created: Message, name: str, request: Request) -> Reply:
    try:
        return netlink.request(created, route.get_link(name))[0]
    except FileExistsError as error:
        raise PluginFailed(
            f"{request.where}: {request.call.ifname} exists in the pod, or {name} on the host, already"
        ) from error


def _ensure_bridge(netlink: Netlink, config: BridgeConfig) -> Link:
    """Find or make the bridge, and set what the configuration asks of it."""
    try:
        link = route.parse_link(netlink.request(route.get_link(config.bridge))[0])
    except OSError as error:
        if error.errno != errno.ENODEV:
            raise
        # Locally administered, not multicast.
        mac = bytes((secrets.randbits(8) & 0xFC | 0x02,)) + secrets.token_bytes(5)
        try:
            netlink.request(route.new_bridge(config.bridge, mac, config.mtu))
        except FileExistsError:
            pass  # another process was faster
        link = route.parse_link(netlink.request(route.get_link(config.bridge))[0])
        # The pod network's routes are ours: none from router advertisements of a pod.
        _set_sysctl(_PROC_NET / "ipv6/conf" / config.bridge / "accept_ra", "0")
    if link.kind != "bridge":
        raise PluginFailed(f"{config.bridge} exists, but is a {link.kind or 'device'} and not a bridge")
    if not link.flags & route.IFF_UP:
        netlink.request(route.set_up(link.index, link.name))
    if config.promiscuous and not link.flags & route.IFF_PROMISC:
        netlink.request(route.set_promiscuous(link.index, link.name))
    return link


def _ensure_addresses(
    netlink: Netlink, bridge: Link, wanted: Sequence[IpInterface], config: BridgeConfig, where: str
) -> None:
    """Give the bridge the gateways' addresses; another of the family is in the way, or is replaced."""
    found = [route.parse_address(reply) for reply in netlink.dump(route.get_addresses(bridge.index))]
    present = [one for index, one in found if index == bridge.index]
    for address in wanted:
        if address in present:
            continue
        for other in present:
            if not _conflicts(address, other) or other in wanted:
                continue
            if not config.force_address:
                raise PluginFailed(
                    f"{where}: {bridge.name} has the address {other}, not {address};"
                    " forceAddress would replace it"
                )
            netlink.request(route.delete_address(bridge.index, other, bridge.name))
        try:
            netlink.request(route.new_address(bridge.index, address, bridge.name))
        except FileExistsError:
            pass  # another process was faster


def _conflicts(address: IpInterface, other: IpInterface) -> bool:
    """IPv4 has one address a bridge; IPv6 several, if their subnets differ."""
    if address.version != other.version:
        return False
    if isinstance(address, ipaddress.IPv4Interface) or isinstance(other, ipaddress.IPv4Interface):
        return True
    return not other.ip.is_link_local and address.network.overlaps(other.network)


def _enable_forwarding(result: Result) -> None:
    versions = {one.address.version for one in result.ips}
    if 4 in versions:
        _set_sysctl(_PROC_NET / "ipv4/ip_forward", "1")
    if 6 in versions:
        _set_sysctl(_PROC_NET / "ipv6/conf/all/forwarding", "1")


def _configure_pod(ifname: str, wanted: Result) -> Link:
    """The pod's side; runs in a thread that has joined the pod's namespace."""
    settings = _PROC_NET / "ipv4/conf" / ifname / "arp_notify"
    _set_sysctl(settings, "1")  # the kernel announces the address when the interface comes up
    _refuse_routers(ifname)
    if any(one.address.version == 6 for one in wanted.ips):
        base = _PROC_NET / "ipv6/conf" / ifname
        _set_sysctl(base / "disable_ipv6", "0")
        _set_sysctl(base / "accept_dad", "0")  # in hairpin mode the bridge would echo the probe
        _set_sysctl(base / "ndisc_notify", "1")
    with Netlink() as netlink:
        link = route.parse_link(netlink.request(route.get_link(ifname))[0])
        messages = [route.new_address(link.index, one.address, ifname) for one in wanted.ips]
        messages.append(route.set_up(link.index, ifname))
        for one in bridge_config.pod_routes(wanted):
            messages.append(route.new_route(link.index, _kernel_route(one), ifname))
        netlink.request(*messages)
        return link


def _refuse_routers(ifname: str) -> None:
    """Addresses and routes are what the configuration says, not what another pod advertises (CVE-2020-10749);
    a pod that asked for advertisements by its sysctls has another value than the kernel's own."""
    path = _PROC_NET / "ipv6/conf" / ifname / "accept_ra"
    with suppress(FileNotFoundError):
        if path.read_text().strip() == "1":
            path.write_text("0")


def _kernel_route(one: Route) -> route.Route:
    return route.Route(one.destination, one.gateway, one.priority, one.mtu, one.advmss, one.scope, one.table)


def _set_sysctl(path: Path, value: str) -> None:
    """Write a sysctl that is there and differs; a kernel without IPv6 has fewer."""
    try:
        if path.read_text().strip() != value:
            path.write_text(value)
    except FileNotFoundError:
        pass


def _result(made: _Made, wanted: Result, netns: str) -> Result:
    interfaces = (
        Interface(made.bridge.name, made.bridge.mac),
        Interface(made.host.name, made.host.mac),
        Interface(made.pod.name, made.pod.mac, netns),
    )
    return replace(wanted, interfaces=interfaces, ips=tuple(replace(one, interface=2) for one in wanted.ips))


def _host_ends(request: Request) -> list[str]:
    """The host's end as a previous result has it: the plugin binary names it at random."""
    if request.previous is None:
        return []
    return [
        one.name for one in request.previous.interfaces if not one.sandbox and one.name.startswith("veth")
    ]


def _delete_link_now(name: str) -> None:
    with Netlink() as netlink:
        _delete_link(netlink, name)


def _delete_link(netlink: Netlink, name: str) -> bool:
    try:
        netlink.request(route.delete_link(name))
    except OSError as error:
        if error.errno != errno.ENODEV:
            raise
        return False
    return True


def _delete_inside(ifname: str) -> None:
    with Netlink() as netlink:
        _delete_link(netlink, ifname)
