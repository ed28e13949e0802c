"""The socket against the real kernel, with questions that need no privilege."""

import errno

import pytest

from host.netlink import route
from host.netlink.connection import Netlink
from host.netlink.message import NLM_F_REQUEST, Message


def test_lo_is_found_by_name() -> None:
    with Netlink() as netlink:
        link = route.parse_link(netlink.request(route.get_link("lo"))[0])
    assert (link.name, link.index, link.mac) == ("lo", 1, "00:00:00:00:00:00")


def test_a_failure_names_the_operation() -> None:
    with Netlink() as netlink, pytest.raises(OSError, match="find no-such-link: No such device") as caught:
        netlink.request(route.get_link("no-such-link"))
    assert caught.value.errno == errno.ENODEV


def test_the_kernels_explanation_is_told() -> None:
    # With strict checking a dump of addresses may not state a prefix length.
    broken = Message(route.RTM_GETADDR, NLM_F_REQUEST, b"\2\5\0\0\0\0\0\0", "list with a prefix")
    with Netlink() as netlink, pytest.raises(OSError, match=r"prefix: Invalid argument \(.*header.*\)"):
        netlink.dump(broken)


def test_requests_go_on_behind_a_failure_and_the_socket_stays_in_step() -> None:
    with Netlink() as netlink:
        with pytest.raises(OSError, match="no-such-link"):
            netlink.request(route.get_link("no-such-link"), route.get_link("lo"))
        found = netlink.request(route.get_link("lo"), route.get_link("lo"))
    assert [route.parse_link(reply).name for reply in found] == ["lo", "lo"]


def test_a_dump_lists_what_a_request_finds() -> None:
    with Netlink() as netlink:
        links = [route.parse_link(reply) for reply in netlink.dump(route.get_links())]
        addresses = [route.parse_address(reply) for reply in netlink.dump(route.get_addresses())]
        of_lo = [route.parse_address(reply) for reply in netlink.dump(route.get_addresses(1))]
    assert "lo" in [link.name for link in links]
    assert of_lo == [pair for pair in addresses if pair[0] == 1]


def test_routes_can_be_listed() -> None:
    with Netlink() as netlink:
        found = [route.parse_route(reply) for reply in netlink.dump(route.get_routes(4))]
    assert all(one.destination.version == 4 for _, one in found)
