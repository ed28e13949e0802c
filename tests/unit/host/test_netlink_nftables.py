"""nfnetlink set elements held against pyroute2's decoder, and against bytes that nft(8) shows."""

import socket
import struct
from typing import Any

from pyroute2.netlink.nfnetlink.nftsocket import nft_set_elem_list_msg

from host.netlink import nftables
from host.netlink.conntrack import flows
from host.netlink.message import Message, attributes
from host.netlink.nftables import Element

ELEMENT = Element(
    "hostports4",
    struct.pack(">B3xH2x", 17, 53),
    socket.inet_aton("1.2.3.4") + struct.pack(">H2x", 80),
    "pod-one",
)


def decode(message: Message) -> Any:
    decoded = nft_set_elem_list_msg(message.encode(3))
    decoded.decode()
    return decoded


def test_an_element_is_what_pyroute2_reads() -> None:
    message = nftables.add_element("podwright", ELEMENT)
    assert message.type == (10 << 8) | 12
    assert message.flags & 0x600 == 0x600  # CREATE | EXCL
    decoded = decode(message)
    assert decoded["nfgen_family"] == nftables.NFPROTO_INET
    assert decoded.get_attr("NFTA_SET_ELEM_LIST_TABLE") == "podwright"
    assert decoded.get_attr("NFTA_SET_ELEM_LIST_SET") == "hostports4"
    (element,) = decoded.get_attr("NFTA_SET_ELEM_LIST_ELEMENTS")
    key = element.get_attr("NFTA_SET_ELEM_KEY").get_attr("NFTA_DATA_VALUE")
    data = element.get_attr("NFTA_SET_ELEM_DATA").get_attr("NFTA_DATA_VALUE")
    assert bytes(key) == b"\x11\0\0\0\0\x35\0\0"
    assert bytes(data) == b"\x01\x02\x03\x04\0\x50\0\0"


def test_deletion_names_the_key_only() -> None:
    (element,) = decode(nftables.delete_element("podwright", ELEMENT)).get_attr("NFTA_SET_ELEM_LIST_ELEMENTS")
    assert element.get_attr("NFTA_SET_ELEM_KEY") is not None
    assert element.get_attr("NFTA_SET_ELEM_DATA") is None


def test_a_batch_is_framed_for_nftables() -> None:
    assert (nftables.begin().type, nftables.end().type) == (16, 17)
    assert nftables.begin().payload == b"\0\0\0\x0a"


def test_a_comment_is_cut_where_nft_would_refuse_it() -> None:
    message = nftables.add_element("podwright", Element("targets4", b"\1\2\3\4", b"", "x" * 300))
    assert b"x" * 127 + b"\0" in message.payload
    assert b"x" * 128 not in message.payload


def test_flows_are_filtered_by_the_kernel() -> None:
    values = attributes(flows(socket.AF_INET, socket.IPPROTO_UDP, 53).payload, 4)
    assert attributes(values[25])[1] == struct.pack("=I", 0b101000)
    protocol = attributes(attributes(values[1])[2])
    assert protocol == {1: b"\x11", 3: b"\x00\x35"}
