"""rtnetlink requests and answers as values: links, addresses, routes (rtnetlink(7)). Pure."""

import ipaddress
import socket
import struct
from dataclasses import dataclass

from host.netlink.message import (
    NLM_F_CREATE,
    NLM_F_EXCL,
    NLM_F_REQUEST,
    Message,
    Reply,
    attribute,
    attributes,
    nested,
    text,
)

IpInterface = ipaddress.IPv4Interface | ipaddress.IPv6Interface
IpNetwork = ipaddress.IPv4Network | ipaddress.IPv6Network
IpAddress = ipaddress.IPv4Address | ipaddress.IPv6Address

RTM_NEWLINK, RTM_DELLINK, RTM_GETLINK, RTM_SETLINK = 16, 17, 18, 19
RTM_NEWADDR, RTM_DELADDR, RTM_GETADDR = 20, 21, 22
RTM_NEWROUTE, RTM_DELROUTE, RTM_GETROUTE = 24, 25, 26

IFF_UP = 0x1
IFF_PROMISC = 0x100

_IFLA_ADDRESS, _IFLA_IFNAME, _IFLA_MTU, _IFLA_MASTER, _IFLA_PROTINFO = 1, 3, 4, 10, 12
_IFLA_LINKINFO, _IFLA_NET_NS_FD = 18, 28
_INFO_KIND, _INFO_DATA = 1, 2
_VETH_INFO_PEER = 1
_BRPORT_MODE_HAIRPIN = 4
_IFA_ADDRESS, _IFA_LOCAL, _IFA_BROADCAST, _IFA_FLAGS = 1, 2, 4, 8
_IFA_F_NODAD = 0x02
_RTA_DST, _RTA_OIF, _RTA_GATEWAY, _RTA_PRIORITY, _RTA_METRICS = 1, 4, 5, 6, 8
_RTAX_MTU, _RTAX_ADVMSS = 2, 8

_RT_TABLE_MAIN = 254
_RTPROT_BOOT = 3
_RTN_UNICAST = 1
_SCOPE_UNIVERSE, _SCOPE_LINK, _SCOPE_HOST = 0, 253, 254

_IFINFO = struct.Struct("=BxHiII")
_IFADDR = struct.Struct("=BBBBi")
_RTMSG = struct.Struct("=BBBBBBBBI")

_CREATE = NLM_F_REQUEST | NLM_F_CREATE | NLM_F_EXCL


@dataclass(frozen=True, slots=True)
class Link:
    """What RTM_NEWLINK says of an interface; ``master`` is 0 without one, ``kind`` "" for real devices."""

    index: int
    name: str
    flags: int
    mac: str
    mtu: int
    master: int
    kind: str


@dataclass(frozen=True, slots=True)
class Peer:
    """The other end of a veth pair: its name, hardware address and the namespace it is born in."""

    name: str
    namespace: int
    mac: bytes = b""


def mac_bytes(mac: str) -> bytes:
    """The six bytes of ``aa:bb:cc:dd:ee:ff``.

    Raises:
        ValueError: another form.
    """
    data = bytes.fromhex(mac.replace(":", ""))
    if len(data) != 6 or mac.count(":") != 5:
        raise ValueError(f"{mac!r} is not a hardware address of the form 0a:58:0a:55:00:02")
    return data


def get_link(name: str) -> Message:
    """Ask for one interface by name; ENODEV when there is none."""
    return Message(
        RTM_GETLINK,
        NLM_F_REQUEST,
        _IFINFO.pack(0, 0, 0, 0, 0) + attribute(_IFLA_IFNAME, name),
        f"find {name}",
    )


def get_links() -> Message:
    """Ask for all interfaces (a dump)."""
    return Message(RTM_GETLINK, NLM_F_REQUEST, _IFINFO.pack(0, 0, 0, 0, 0), "list interfaces")


def new_bridge(name: str, mac: bytes, mtu: int = 0) -> Message:
    """Make a bridge, up. With an address of its own it does not take (and change) that of its ports."""
    body = (
        _IFINFO.pack(0, 0, 0, IFF_UP, IFF_UP) + attribute(_IFLA_IFNAME, name) + attribute(_IFLA_ADDRESS, mac)
    )
    if mtu:
        body += attribute(_IFLA_MTU, mtu)
    body += nested(_IFLA_LINKINFO, attribute(_INFO_KIND, "bridge"))
    return Message(RTM_NEWLINK, _CREATE, body, f"create bridge {name}")


def new_veth(name: str, peer: Peer, master: int, mtu: int = 0) -> Message:
    """Make a veth pair in one step: this end up and a port of ``master``, the peer down in its namespace."""
    size = attribute(_IFLA_MTU, mtu) if mtu else b""
    # The kernel answers ENOTCONN when the peer is to be born up: it is set up afterwards, from inside.
    other = _IFINFO.pack(0, 0, 0, 0, 0) + attribute(_IFLA_IFNAME, peer.name)
    other += attribute(_IFLA_NET_NS_FD, peer.namespace) + size
    if peer.mac:
        other += attribute(_IFLA_ADDRESS, peer.mac)
    body = _IFINFO.pack(0, 0, 0, IFF_UP, IFF_UP) + attribute(_IFLA_IFNAME, name)
    body += attribute(_IFLA_MASTER, master) + size
    body += nested(
        _IFLA_LINKINFO, attribute(_INFO_KIND, "veth"), nested(_INFO_DATA, nested(_VETH_INFO_PEER, other))
    )
    return Message(RTM_NEWLINK, _CREATE, body, f"create veth {name} with peer {peer.name}")


def set_up(index: int, label: str) -> Message:
    """Set an interface up; ``label`` names it in errors."""
    body = _IFINFO.pack(0, 0, index, IFF_UP, IFF_UP)
    return Message(RTM_NEWLINK, NLM_F_REQUEST, body, f"set {label} up")


def set_promiscuous(index: int, label: str) -> Message:
    """Let an interface receive every frame."""
    body = _IFINFO.pack(0, 0, index, IFF_PROMISC, IFF_PROMISC)
    return Message(RTM_NEWLINK, NLM_F_REQUEST, body, f"set {label} promiscuous")


def set_hairpin(index: int, label: str) -> Message:
    """Let a bridge port send a frame back to where it came from."""
    body = _IFINFO.pack(socket.AF_BRIDGE, 0, index, 0, 0)
    body += nested(_IFLA_PROTINFO, attribute(_BRPORT_MODE_HAIRPIN, b"\1"))
    # Only SETLINK reaches the bridge: NEWLINK accepts the same bytes and ignores them.
    return Message(RTM_SETLINK, NLM_F_REQUEST, body, f"set hairpin mode of {label}")


def delete_link(name: str) -> Message:
    """Remove an interface by name; ENODEV when there is none."""
    body = _IFINFO.pack(0, 0, 0, 0, 0) + attribute(_IFLA_IFNAME, name)
    return Message(RTM_DELLINK, NLM_F_REQUEST, body, f"delete {name}")


def new_address(index: int, interface: IpInterface, label: str) -> Message:
    """Give an interface an address with its network's broadcast address; IPv6 is usable at once (no DAD)."""
    body = _address_head(index, interface)
    if interface.version == 4 and interface.network.prefixlen < 31:
        body += attribute(_IFA_BROADCAST, interface.network.broadcast_address.packed)
    if interface.version == 6:
        body += attribute(_IFA_FLAGS, _IFA_F_NODAD)
    return Message(RTM_NEWADDR, _CREATE, body, f"add address {interface} to {label}")


def delete_address(index: int, interface: IpInterface, label: str) -> Message:
    """Take an address from an interface."""
    body = _address_head(index, interface)
    return Message(RTM_DELADDR, NLM_F_REQUEST, body, f"delete address {interface} of {label}")


def get_addresses(index: int = 0) -> Message:
    """Ask for the addresses of one or (0) all interfaces (a dump); old kernels answer with all."""
    return Message(RTM_GETADDR, NLM_F_REQUEST, _IFADDR.pack(0, 0, 0, 0, index), "list addresses")


@dataclass(frozen=True, slots=True)
class Route:
    """A route of the main table; without a gateway the destination is on the link."""

    destination: IpNetwork
    gateway: IpAddress | None = None
    priority: int = 0
    mtu: int = 0
    advmss: int = 0
    scope: int | None = None
    table: int | None = None


def new_route(index: int, route: Route, label: str) -> Message:
    """Add a route through an interface; EEXIST when its destination has one already."""
    family = socket.AF_INET if route.destination.version == 4 else socket.AF_INET6
    scope = route.scope
    if scope is None:
        # IPv6 knows no scope here; an IPv4 route without a gateway reaches the link only.
        scope = _SCOPE_LINK if family == socket.AF_INET and route.gateway is None else _SCOPE_UNIVERSE
    table = route.table or _RT_TABLE_MAIN
    body = _RTMSG.pack(
        family,
        route.destination.prefixlen,
        0,
        0,
        table if table < 256 else 0,
        _RTPROT_BOOT,
        scope,
        _RTN_UNICAST,
        0,
    )
    if route.destination.prefixlen:
        body += attribute(_RTA_DST, route.destination.network_address.packed)
    if route.gateway is not None:
        body += attribute(_RTA_GATEWAY, route.gateway.packed)
    body += attribute(_RTA_OIF, index)
    if route.priority:
        body += attribute(_RTA_PRIORITY, route.priority)
    if table >= 256:
        body += attribute(15, table)
    metrics = [
        attribute(kind, value)
        for kind, value in ((_RTAX_MTU, route.mtu), (_RTAX_ADVMSS, route.advmss))
        if value
    ]
    if metrics:
        body += nested(_RTA_METRICS, *metrics)
    way = f" via {route.gateway}" if route.gateway else ""
    return Message(RTM_NEWROUTE, _CREATE, body, f"add route {route.destination}{way} on {label}")


def get_routes(version: int) -> Message:
    """Ask for the routes of IPv4 or IPv6 (a dump)."""
    family = socket.AF_INET if version == 4 else socket.AF_INET6
    return Message(RTM_GETROUTE, NLM_F_REQUEST, _RTMSG.pack(family, 0, 0, 0, 0, 0, 0, 0, 0), "list routes")


def parse_link(reply: Reply) -> Link:
    """Read an RTM_NEWLINK answer."""
    _, _, index, flags, _ = _IFINFO.unpack_from(reply.payload)
    values = attributes(reply.payload, _IFINFO.size)
    info = attributes(values.get(_IFLA_LINKINFO, b""))
    return Link(
        index=index,
        name=text(values.get(_IFLA_IFNAME, b"")),
        flags=flags,
        mac=values.get(_IFLA_ADDRESS, b"").hex(":"),
        mtu=_u32(values.get(_IFLA_MTU)),
        master=_u32(values.get(_IFLA_MASTER)),
        kind=text(info.get(_INFO_KIND, b"")),
    )


def parse_address(reply: Reply) -> tuple[int, IpInterface]:
    """Read an RTM_NEWADDR answer: interface index and address with prefix length."""
    _, prefix, _, _, index = _IFADDR.unpack_from(reply.payload)
    values = attributes(reply.payload, _IFADDR.size)
    address = ipaddress.ip_address(values.get(_IFA_LOCAL) or values[_IFA_ADDRESS])
    return index, ipaddress.ip_interface(f"{address}/{prefix}")


def parse_route(reply: Reply) -> tuple[int, Route]:
    """Read an RTM_NEWROUTE answer: the outgoing interface's index (0 without one) and the route."""
    family, prefix, _, _, table, _, scope, _, _ = _RTMSG.unpack_from(reply.payload)
    values = attributes(reply.payload, _RTMSG.size)
    empty = bytes(4 if family == socket.AF_INET else 16)
    destination = ipaddress.ip_network((values.get(_RTA_DST, empty), prefix))
    gateway = values.get(_RTA_GATEWAY)
    return _u32(values.get(_RTA_OIF)), Route(
        destination,
        ipaddress.ip_address(gateway) if gateway else None,
        priority=_u32(values.get(_RTA_PRIORITY)),
        scope=scope,
        table=table,
    )


def _address_head(index: int, interface: IpInterface) -> bytes:
    family = socket.AF_INET if interface.version == 4 else socket.AF_INET6
    scope = _SCOPE_HOST if interface.ip.is_loopback and interface.version == 4 else _SCOPE_UNIVERSE
    address = interface.ip.packed
    head = _IFADDR.pack(family, interface.network.prefixlen, 0, scope, index)
    return head + attribute(_IFA_LOCAL, address) + attribute(_IFA_ADDRESS, address)


def _u32(value: bytes | None) -> int:
    return int(struct.unpack("=I", value)[0]) if value else 0
