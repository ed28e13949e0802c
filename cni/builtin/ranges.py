"""Address ranges of host-local: what may be leased, and in which order. Pure."""

import ipaddress
from collections.abc import Iterator
from dataclasses import dataclass

from cni.errors import NetworkConfigInvalid
from cni.fields import IpAddress, IpInterface, IpNetwork, Json, address, network, string


@dataclass(frozen=True, slots=True)
class Range:
    """``start`` to ``end`` (both may be leased) of a subnet; the gateway never is."""

    subnet: IpNetwork
    start: IpAddress
    end: IpAddress
    gateway: IpAddress

    def __contains__(self, candidate: IpAddress) -> bool:
        return candidate.version == self.subnet.version and int(self.start) <= int(candidate) <= int(self.end)

    def overlaps(self, other: "Range") -> bool:
        """Whether an address lies in both."""
        if self.subnet.version != other.subnet.version:
            return False
        return int(self.start) <= int(other.end) and int(other.start) <= int(self.end)

    def interface(self, candidate: IpAddress) -> IpInterface:
        """The address with the subnet's prefix length."""
        return ipaddress.ip_interface(f"{candidate}/{self.subnet.prefixlen}")


@dataclass(frozen=True, slots=True)
class RangeSet:
    """Ranges of one family of which a pod gets one address."""

    ranges: tuple[Range, ...]

    def find(self, candidate: IpAddress) -> Range | None:
        """The range that holds an address."""
        return next((one for one in self.ranges if candidate in one), None)

    def candidates(self, last: IpAddress | None) -> Iterator[tuple[Range, IpAddress]]:
        """Every address once, beginning behind ``last`` (or at the first), gateways left out."""
        position = next((n for n, one in enumerate(self.ranges) if last is not None and last in one), None)
        if position is None or last is None:
            order = [(one, one.start, one.end) for one in self.ranges]
        else:
            here = self.ranges[position]
            others = self.ranges[position + 1 :] + self.ranges[:position]
            order = [(here, last + 1, here.end)]
            order += [(one, one.start, one.end) for one in others]
            order.append((here, here.start, last))
        for one, first, final in order:
            for number in range(int(first), int(final) + 1):
                candidate = ipaddress.ip_address(number) if one.subnet.version == 4 else _ipv6(number)
                if candidate != one.gateway:
                    yield one, candidate


def parse_set(items: list[Json], where: str) -> RangeSet:
    """Read one range set.

    Raises:
        NetworkConfigInvalid: mixed families, overlapping ranges, or what parse_range refuses.
    """
    if not items:
        raise NetworkConfigInvalid(f"{where}: ipam.ranges has an empty set")
    ranges = tuple(parse_range(item, where) for item in items)
    if len({one.subnet.version for one in ranges}) > 1:
        raise NetworkConfigInvalid(f"{where}: a set of ipam.ranges mixes IPv4 and IPv6; make two sets")
    check_overlaps(ranges, where)
    return RangeSet(ranges)


def check_overlaps(ranges: tuple[Range, ...], where: str) -> None:
    """Refuse two ranges that share an address."""
    for position, one in enumerate(ranges):
        for other in ranges[position + 1 :]:
            if one.overlaps(other):
                raise NetworkConfigInvalid(f"{where}: ipam.ranges {one.subnet} and {other.subnet} overlap")


def parse_range(item: Json, where: str) -> Range:
    """Read ``subnet``, ``rangeStart``, ``rangeEnd``, ``gateway``; the defaults are those of host-local.

    The first usable address is the gateway unless one is given; IPv4 keeps its broadcast address back.
    """
    text = string(item, "subnet", where)
    if not text:
        raise NetworkConfigInvalid(f"{where}: ipam: subnet is missing")
    subnet = network(text, "ipam.subnet", where)
    if str(subnet.network_address) != str(address(text, "ipam.subnet", where)):
        raise NetworkConfigInvalid(f"{where}: ipam.subnet {text} has host bits set; write {subnet}")
    if subnet.num_addresses < 4:
        raise NetworkConfigInvalid(f"{where}: ipam.subnet {subnet} has no addresses to lease")
    lowest = subnet.network_address + 1
    highest = subnet.broadcast_address - (1 if subnet.version == 4 else 0)
    found = Range(
        subnet,
        _optional(item, "rangeStart", where) or lowest,
        _optional(item, "rangeEnd", where) or highest,
        _optional(item, "gateway", where) or lowest,
    )
    for key, one in (("rangeStart", found.start), ("rangeEnd", found.end)):
        if one not in subnet:
            raise NetworkConfigInvalid(f"{where}: ipam.{key} {one} is not in {subnet}")
    if int(found.start) > int(found.end):
        raise NetworkConfigInvalid(f"{where}: ipam.rangeStart {found.start} lies behind rangeEnd {found.end}")
    return found


def _optional(item: Json, key: str, where: str) -> IpAddress | None:
    text = string(item, key, where)
    return address(text, f"ipam.{key}", where) if text else None


def _ipv6(number: int) -> IpAddress:
    return ipaddress.IPv6Address(number)
