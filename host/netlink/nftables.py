"""Elements of nftables sets and maps through nfnetlink: add, delete, list (linux/netfilter/nf_tables.h).

Tables, chains and rules are made once by nft(8); what changes with every pod is a few elements, sent
as one transaction. Keys and data are the raw register contents: each part of a concatenation padded to
four bytes, in network byte order. A comment is kept with an element as nft(8) would store it.
"""

import errno
import socket
import struct
from collections.abc import Sequence
from dataclasses import dataclass

from host.netlink.connection import Netlink
from host.netlink.message import (
    NLM_F_CREATE,
    NLM_F_EXCL,
    NLM_F_REQUEST,
    Message,
    attribute,
    attribute_list,
    attributes,
    nested,
)

NFPROTO_INET = 1

_SUBSYSTEM = 10 << 8
_BATCH_BEGIN, _BATCH_END = 16, 17
_NEWSETELEM, _GETSETELEM, _DELSETELEM = _SUBSYSTEM | 12, _SUBSYSTEM | 13, _SUBSYSTEM | 14
_LIST_TABLE, _LIST_SET, _LIST_ELEMENTS = 1, 2, 3
_LIST_ELEM = 1
_ELEM_KEY, _ELEM_DATA, _ELEM_USERDATA = 1, 2, 6
_DATA_VALUE = 1
_UDATA_COMMENT = 0
_COMMENT_LIMIT = 127

_NFGENMSG = struct.Struct(">BBH")


@dataclass(frozen=True, slots=True)
class Element:
    """One element of ``set``: a raw key, raw data if the set is a map, and a comment of up to 127 bytes."""

    set: str
    key: bytes
    data: bytes = b""
    comment: str = ""


def begin() -> Message:
    """The frame that opens a transaction."""
    return Message(_BATCH_BEGIN, NLM_F_REQUEST, _NFGENMSG.pack(socket.AF_UNSPEC, 0, 10), "begin")


def end() -> Message:
    """The frame that commits a transaction."""
    return Message(_BATCH_END, NLM_F_REQUEST, _NFGENMSG.pack(socket.AF_UNSPEC, 0, 10), "commit")


def add_element(table: str, element: Element) -> Message:
    """Add one element; EEXIST when its key is there already, ENOENT without the table or set."""
    flags = NLM_F_REQUEST | NLM_F_CREATE | NLM_F_EXCL
    return Message(_NEWSETELEM, flags, _body(table, element, with_data=True), f"add to nft set {element.set}")


def delete_element(table: str, element: Element) -> Message:
    """Delete the element with this key; ENOENT when there is none."""
    body = _body(table, element, with_data=False)
    return Message(_DELSETELEM, NLM_F_REQUEST, body, f"delete from nft set {element.set}")


def commit(netlink: Netlink, messages: Sequence[Message]) -> None:
    """Send ``messages`` as one transaction.

    Raises:
        OSError: the first failure; nothing has changed then.
    """
    if messages:
        netlink.transaction(begin(), tuple(messages), end())


def list_elements(netlink: Netlink, table: str, name: str, comment: str | None = None) -> list[Element]:
    """The elements of a set or map, or those with one comment; none if the table or set is not there.

    Elements with another comment are passed over unread, so that one pod's are found fast among many.
    """
    body = _NFGENMSG.pack(NFPROTO_INET, 0, 0) + attribute(_LIST_TABLE, table) + attribute(_LIST_SET, name)
    message = Message(_GETSETELEM, NLM_F_REQUEST, body, f"list nft set {name}")
    try:
        answers = netlink.dump(message)
    except OSError as error:
        if error.errno == errno.ENOENT:
            return []
        raise
    mark = b"" if comment is None else _comment(comment)
    found = []
    for answer in answers:
        if mark not in answer.payload:
            continue
        elements = attributes(answer.payload, _NFGENMSG.size).get(_LIST_ELEMENTS, b"")
        found += [_parse(name, value) for _, value in attribute_list(elements) if mark in value]
    return found


def _body(table: str, element: Element, *, with_data: bool) -> bytes:
    parts = [nested(_ELEM_KEY, attribute(_DATA_VALUE, element.key))]
    if with_data and element.data:
        parts.append(nested(_ELEM_DATA, attribute(_DATA_VALUE, element.data)))
    if with_data and element.comment:
        parts.append(attribute(_ELEM_USERDATA, _comment(element.comment)))
    listed = nested(_LIST_ELEMENTS, nested(_LIST_ELEM, *parts))
    head = _NFGENMSG.pack(NFPROTO_INET, 0, 0)
    return head + attribute(_LIST_TABLE, table) + attribute(_LIST_SET, element.set) + listed


def _comment(text: str) -> bytes:
    """libnftnl's user data: type, length and a NUL-terminated text."""
    data = text.encode()[:_COMMENT_LIMIT] + b"\0"
    return bytes((_UDATA_COMMENT, len(data))) + data


def _parse(name: str, data: bytes) -> Element:
    values = attributes(data)
    userdata = values.get(_ELEM_USERDATA, b"")
    comment = ""
    if len(userdata) > 2 and userdata[0] == _UDATA_COMMENT:
        comment = userdata[2 : 2 + userdata[1]].rstrip(b"\0").decode(errors="replace")
    return Element(
        name,
        attributes(values.get(_ELEM_KEY, b"")).get(_DATA_VALUE, b""),
        attributes(values.get(_ELEM_DATA, b"")).get(_DATA_VALUE, b""),
        comment,
    )
