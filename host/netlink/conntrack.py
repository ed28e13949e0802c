"""Forget tracked flows (ctnetlink): one that began before a port mapping changed keeps the old way.

The kernel filters the dump (CTA_FILTER, Linux 5.8): a node with many flows costs no more.
"""

import errno
import ipaddress
import socket
import struct

from host.netlink.connection import Netlink
from host.netlink.message import NLM_F_REQUEST, Message, attribute, attributes, nested

_SUBSYSTEM = 1 << 8
_GET, _DELETE = _SUBSYSTEM | 1, _SUBSYSTEM | 2
_TUPLE_ORIG, _TUPLE_REPLY, _ID, _FILTER = 1, 2, 12, 25
_TUPLE_IP, _TUPLE_PROTO = 1, 2
_IP_SOURCE = {socket.AF_INET: 1, socket.AF_INET6: 3}
_PROTO_NUM, _PROTO_DST_PORT = 1, 3
_FILTER_ORIG_FLAGS = 1
_FLAG_PROTO_NUM, _FLAG_DST_PORT = 1 << 3, 1 << 5
_NFGENMSG = struct.Struct(">BBH")


def forget_udp(netlink: Netlink, port: int) -> int:
    """Delete the tracked UDP flows whose first packet went to ``port``; returns how many there were."""
    return sum(
        _forget(netlink, family, socket.IPPROTO_UDP, port, None)
        for family in (socket.AF_INET, socket.AF_INET6)
    )


def forget_led(
    netlink: Netlink, protocol: int, port: int, address: ipaddress.IPv4Address | ipaddress.IPv6Address
) -> int:
    """Delete the tracked flows of ``protocol`` (its number in IP) to ``port`` of this host that are led to
    ``address``, by the answers' source; returns how many there were."""
    family = socket.AF_INET if address.version == 4 else socket.AF_INET6
    return _forget(netlink, family, protocol, port, address.packed)


def _forget(netlink: Netlink, family: int, protocol: int, port: int, answered_by: bytes | None) -> int:
    deleted = 0
    for entry in netlink.dump(flows(family, protocol, port)):
        values = attributes(entry.payload, _NFGENMSG.size)
        if _TUPLE_ORIG not in values or not _goes_to(values[_TUPLE_ORIG], protocol, port):
            continue
        if answered_by is not None and _source(values.get(_TUPLE_REPLY, b""), family) != answered_by:
            continue
        body = _NFGENMSG.pack(family, 0, 0) + nested(_TUPLE_ORIG, values[_TUPLE_ORIG])
        if _ID in values:
            body += attribute(_ID, values[_ID])
        try:
            netlink.request(Message(_DELETE, NLM_F_REQUEST, body, f"forget a flow to port {port}"))
            deleted += 1
        except OSError as error:
            if error.errno != errno.ENOENT:  # it ended by itself
                raise
    return deleted


def flows(family: int, number: int, port: int) -> Message:
    """Ask for the flows of the protocol ``number`` to ``port`` (a dump)."""
    protocol = nested(
        _TUPLE_PROTO,
        attribute(_PROTO_NUM, bytes((number,))),
        attribute(_PROTO_DST_PORT, struct.pack(">H", port)),
    )
    body = _NFGENMSG.pack(family, 0, 0) + nested(_TUPLE_ORIG, protocol)
    body += nested(_FILTER, attribute(_FILTER_ORIG_FLAGS, _FLAG_PROTO_NUM | _FLAG_DST_PORT))
    return Message(_GET, NLM_F_REQUEST, body, f"list flows to port {port}")


def _goes_to(tuple_attribute: bytes, number: int, port: int) -> bool:
    protocol = attributes(attributes(tuple_attribute).get(_TUPLE_PROTO, b""))
    wanted = bytes((number,)), struct.pack(">H", port)
    return (protocol.get(_PROTO_NUM), protocol.get(_PROTO_DST_PORT)) == wanted


def _source(tuple_attribute: bytes, family: int) -> bytes | None:
    addresses = attributes(attributes(tuple_attribute).get(_TUPLE_IP, b""))
    return addresses.get(_IP_SOURCE[socket.AddressFamily(family)])
