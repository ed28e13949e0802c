"""Which addresses host-local may lease, and in which order."""

import ipaddress

import pytest

from cni.builtin.ranges import parse_range, parse_set
from cni.errors import NetworkConfigInvalid
from cni.fields import Json


def candidates(items: list[Json], last: str | None = None) -> list[str]:
    after = ipaddress.ip_address(last) if last else None
    return [str(address) for _, address in parse_set(items, "x").candidates(after)]


@pytest.mark.parametrize(
    ("item", "expected"),
    [
        ({"subnet": "10.0.0.0/29"}, ["10.0.0.2", "10.0.0.3", "10.0.0.4", "10.0.0.5", "10.0.0.6"]),
        (
            {"subnet": "10.0.0.0/29", "gateway": "10.0.0.3"},
            ["10.0.0.1", "10.0.0.2", "10.0.0.4", "10.0.0.5", "10.0.0.6"],
        ),
        (
            {"subnet": "10.0.0.0/24", "rangeStart": "10.0.0.9", "rangeEnd": "10.0.0.10"},
            ["10.0.0.9", "10.0.0.10"],
        ),
        ({"subnet": "fd00::/126"}, ["fd00::2", "fd00::3"]),
        ({"subnet": "::/126"}, ["::2", "::3"]),
    ],
)
def test_gateway_and_broadcast_are_never_leased(item: Json, expected: list[str]) -> None:
    assert candidates([item]) == expected


@pytest.mark.parametrize(
    ("last", "expected"),
    [
        ("10.0.0.2", ["10.0.0.3", "10.1.0.1", "10.1.0.2", "10.0.0.2"]),
        ("10.0.0.3", ["10.1.0.1", "10.1.0.2", "10.0.0.2", "10.0.0.3"]),
        ("10.1.0.1", ["10.1.0.2", "10.0.0.2", "10.0.0.3", "10.1.0.1"]),
        ("192.0.2.1", ["10.0.0.2", "10.0.0.3", "10.1.0.1", "10.1.0.2"]),
    ],
)
def test_leases_go_round(last: str, expected: list[str]) -> None:
    items: list[Json] = [
        {"subnet": "10.0.0.0/24", "rangeStart": "10.0.0.2", "rangeEnd": "10.0.0.3"},
        {"subnet": "10.1.0.0/24", "rangeStart": "10.1.0.1", "rangeEnd": "10.1.0.2", "gateway": "10.1.0.9"},
    ]
    assert candidates(items, last) == expected


@pytest.mark.parametrize(
    ("item", "message"),
    [
        ({}, "subnet is missing"),
        ({"subnet": "10.0.0.0"}, "is not a network"),
        ({"subnet": "10.0.0.5/24"}, "has host bits set; write 10.0.0.0/24"),
        ({"subnet": "10.0.0.0/31"}, "no addresses to lease"),
        ({"subnet": "10.0.0.0/24", "rangeStart": "10.0.1.1"}, "rangeStart 10.0.1.1 is not in"),
        ({"subnet": "10.0.0.0/24", "rangeEnd": "fd00::1"}, "rangeEnd fd00::1 is not in"),
        ({"subnet": "10.0.0.0/24", "rangeStart": "10.0.0.9", "rangeEnd": "10.0.0.8"}, "lies behind"),
        ({"subnet": "10.0.0.0/24", "gateway": "x"}, "gateway: 'x' is not an IP address"),
    ],
)
def test_wrong_ranges_name_the_key(item: Json, message: str) -> None:
    with pytest.raises(NetworkConfigInvalid, match=message):
        parse_range(item, "x")


@pytest.mark.parametrize(
    ("items", "message"),
    [
        ([], "empty set"),
        ([{"subnet": "10.0.0.0/24"}, {"subnet": "fd00::/64"}], "mixes IPv4 and IPv6"),
        ([{"subnet": "10.0.0.0/24"}, {"subnet": "10.0.0.0/25"}], "overlap"),
    ],
)
def test_wrong_sets_are_refused(items: list[Json], message: str) -> None:
    with pytest.raises(NetworkConfigInvalid, match=message):
        parse_set(items, "x")
