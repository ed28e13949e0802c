"""The bridge plugin's configuration as a value, and what of it only the plugin binary can do. Pure."""

import ipaddress
from dataclasses import dataclass, replace

from cni.builtin.base import Request
from cni.errors import NetworkConfigInvalid
from cni.fields import IpInterface, Json, boolean, integer, mapping, string
from cni.result import Address, Dns, Result, Route, parse_dns
from host.netlink.route import mac_bytes

_DEFAULT_BRIDGE = "cni0"
_IFNAME_LIMIT = 15
_ONLY_BINARY = (
    "vlan",
    "vlanTrunk",
    "macspoofchk",
    "portIsolation",
    "disableContainerInterface",
    "enabledad",
    "uplinkInterface",
)


@dataclass(frozen=True, slots=True)
class BridgeConfig:
    """The keys of the bridge plugin (containernetworking/plugins, bridge); ``mac`` is empty by default."""

    bridge: str
    is_gateway: bool
    default_gateway: bool
    force_address: bool
    ip_masq: bool
    mtu: int
    hairpin: bool
    promiscuous: bool
    ipam_type: str
    mac: bytes
    dns: Dns


def refuses(conf: Json) -> str:
    """The key that only the plugin binary can honour, "" if there is none."""
    for key in _ONLY_BINARY:
        if conf.get(key):
            return key
    if conf.get("ipMasqBackend") == "iptables":
        return "ipMasqBackend"
    kind = mapping(conf, "ipam", "bridge").get("type", "")
    return "" if kind in ("", "host-local") else f"ipam.type {kind}"


def parse(request: Request) -> BridgeConfig:
    """Read the configuration of one call.

    Raises:
        NetworkConfigInvalid: a wrong type or value, or keys that contradict each other.
    """
    conf, where = request.conf, request.where
    name = string(conf, "bridge", where) or _DEFAULT_BRIDGE
    if len(name.encode()) > _IFNAME_LIMIT or "/" in name or any(char.isspace() for char in name):
        raise NetworkConfigInvalid(f"{where}: bridge {name!r} cannot be an interface name")
    mtu = integer(conf, "mtu", where)
    if mtu < 0 or 0 < mtu < 68 or mtu > 65535:
        raise NetworkConfigInvalid(f"{where}: mtu {mtu} is not between 68 and 65535")
    default_gateway = boolean(conf, "isDefaultGateway", where)
    found = BridgeConfig(
        bridge=name,
        is_gateway=boolean(conf, "isGateway", where) or default_gateway,
        default_gateway=default_gateway,
        force_address=boolean(conf, "forceAddress", where),
        ip_masq=boolean(conf, "ipMasq", where),
        mtu=mtu,
        hairpin=boolean(conf, "hairpinMode", where),
        promiscuous=boolean(conf, "promiscMode", where),
        ipam_type=string(mapping(conf, "ipam", where), "type", where),
        mac=_mac(request),
        dns=parse_dns(conf, where),
    )
    if found.hairpin and found.promiscuous:
        raise NetworkConfigInvalid(f"{where}: hairpinMode and promiscMode exclude each other")
    return found


def with_gateways(config: BridgeConfig, ipam: Result) -> Result:
    """The IPAM result with a gateway for every address of a gateway bridge, and default routes if wanted."""
    if not config.is_gateway:
        return ipam
    ips = tuple(
        one if one.gateway is not None else replace(one, gateway=one.address.network.network_address + 1)
        for one in ipam.ips
    )
    routes = list(ipam.routes)
    if config.default_gateway:
        present = {route.destination.version for route in routes if not route.destination.prefixlen}
        for one in ips:
            if one.address.version not in present:
                present.add(one.address.version)
                routes.append(Route(_everything(one), one.gateway))
    return replace(ipam, ips=ips, routes=tuple(routes))


def bridge_addresses(result: Result) -> list[IpInterface]:
    """The gateways with their prefix lengths: what a gateway bridge has as addresses."""
    found = [
        ipaddress.ip_interface(f"{one.gateway}/{one.address.network.prefixlen}")
        for one in result.ips
        if one.gateway is not None
    ]
    return list(dict.fromkeys(found))


def pod_routes(result: Result) -> list[Route]:
    """The routes to make in the pod: without a gateway of its own a route takes that of its family."""
    gateways = {one.address.version: one.gateway for one in reversed(result.ips) if one.gateway is not None}
    return [
        route
        if route.gateway is not None
        else replace(route, gateway=gateways.get(route.destination.version))
        for route in result.routes
    ]


def pod_mac(config: BridgeConfig, result: Result) -> bytes:
    """The pod's hardware address: the one asked for, or 0a:58 and the IPv4 address.

    Neighbours that still know a lease's last holder reach its new one then: nothing has to expire.
    """
    if config.mac:
        return config.mac
    for one in result.ips:
        if one.address.version == 4:
            return b"\x0a\x58" + one.address.ip.packed
    return b""


def _mac(request: Request) -> bytes:
    text = string(request.runtime(), "mac", request.where) or string(request.cni_args(), "mac", request.where)
    for key, value in request.call.args:
        if key == "MAC" and not text:
            text = value
    try:
        return mac_bytes(text) if text else b""
    except ValueError as error:
        raise NetworkConfigInvalid(f"{request.where}: {error}") from error


def _everything(one: Address) -> ipaddress.IPv4Network | ipaddress.IPv6Network:
    return ipaddress.ip_network("0.0.0.0/0" if one.address.version == 4 else "::/0")
