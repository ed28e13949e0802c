"""Forget tracked UDP flows (ctnetlink): one that began before a port mapping changed keeps the old way.

The kernel filters the dump (CTA_FILTER, Linux 5.8): a node with many flows costs no more.
"""

import errno
import socket
import struct

from host.netlink.connection import Netlink
from host.netlink.message import NLM_F_REQUEST, Message, attribute, attributes, nested

_SUBSYSTEM = 1 << 8
_GET, _DELETE = _SUBSYSTEM | 1, _SUBSYSTEM | 2
_TUPLE_ORIG, _ID, _FILTER = 1, 12, 25
_TUPLE_PROTO = 2
_PROTO_NUM, _PROTO_DST_PORT = 1, 3
_FILTER_ORIG_FLAGS = 1
_FLAG_PROTO_NUM, _FLAG_DST_PORT = 1 << 3, 1 << 5
_NFGENMSG = struct.Struct(">BBH")


def forget_udp(netlink: Netlink, port: int) -> int:
    """Delete the tracked UDP flows whose first packet went to ``port``; returns how many there were."""
    deleted = 0
    for family in (socket.AF_INET, socket.AF_INET6):
        for entry in netlink.dump(flows(family, port)):
            values = attributes(entry.payload, _NFGENMSG.size)
            if _TUPLE_ORIG not in values or not _goes_to(values[_TUPLE_ORIG], port):
                continue
            body = _NFGENMSG.pack(family, 0, 0) + nested(_TUPLE_ORIG, values[_TUPLE_ORIG])
            if _ID in values:
                body += attribute(_ID, values[_ID])
            try:
                netlink.request(Message(_DELETE, NLM_F_REQUEST, body, f"forget UDP flow to port {port}"))
                deleted += 1
            except OSError as error:
                if error.errno != errno.ENOENT:  # it ended by itself
                    raise
    return deleted


def flows(family: int, port: int) -> Message:
    """Ask for the UDP flows to ``port`` (a dump)."""
    protocol = nested(
        _TUPLE_PROTO,
        attribute(_PROTO_NUM, bytes((socket.IPPROTO_UDP,))),
        attribute(_PROTO_DST_PORT, struct.pack(">H", port)),
    )
    body = _NFGENMSG.pack(family, 0, 0) + nested(_TUPLE_ORIG, protocol)
    body += nested(_FILTER, attribute(_FILTER_ORIG_FLAGS, _FLAG_PROTO_NUM | _FLAG_DST_PORT))
    return Message(_GET, NLM_F_REQUEST, body, f"list UDP flows to port {port}")


def _goes_to(tuple_attribute: bytes, port: int) -> bool:
    protocol = attributes(attributes(tuple_attribute).get(_TUPLE_PROTO, b""))
    return protocol.get(_PROTO_NUM) == bytes((socket.IPPROTO_UDP,)) and protocol.get(
        _PROTO_DST_PORT
    ) == struct.pack(">H", port)
