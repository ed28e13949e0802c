"""Host ports and masquerading as elements of the static table (ruleset.py): encoders, and the one writer.

Every element carries its owner as a comment, so removal needs no other memory and never touches what
belongs to another pod, even after a host port or an address went to a new one.
"""

import asyncio
import errno
import ipaddress
import os
import shutil
import struct
import threading
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from cni import ruleset
from cni.errors import HostPortTaken, NetworkConfigInvalid, PluginFailed
from cni.fields import IpAddress
from host import processes
from host.netlink import conntrack, nftables
from host.netlink.connection import NETLINK_NETFILTER, Netlink
from host.netlink.nftables import Element

_PROTOCOLS = {"tcp": 6, "udp": 17, "sctp": 132}
_NFT_TIMEOUT_S = 30.0
_NO_NFTABLES = (errno.EPROTONOSUPPORT, errno.EAFNOSUPPORT, errno.EOPNOTSUPP, errno.EINVAL)


@dataclass(frozen=True, slots=True)
class PortMapping:
    """A host port that leads to a pod port; ``host_ip`` "" means every address of the host."""

    host_port: int
    container_port: int
    protocol: str = "tcp"
    host_ip: str = ""


@dataclass(frozen=True, slots=True)
class Target:
    """Where a host port led; ``protocol`` is IP's number for it."""

    protocol: int
    port: int
    address: IpAddress


def checked(mapping: PortMapping) -> PortMapping:
    """The mapping in normal form (lower-case protocol).

    Raises:
        NetworkConfigInvalid: a port out of range, an unknown protocol, or a host IP that is none.
    """
    normal = PortMapping(
        mapping.host_port, mapping.container_port, mapping.protocol.lower() or "tcp", mapping.host_ip
    )
    if normal.protocol not in _PROTOCOLS:
        raise NetworkConfigInvalid(f"port mapping: protocol {mapping.protocol!r} is none of tcp, udp, sctp")
    for name, port in (("host port", normal.host_port), ("container port", normal.container_port)):
        if not 0 < port < 65536:
            raise NetworkConfigInvalid(f"port mapping: {name} {port} is not between 1 and 65535")
    if normal.host_ip:
        try:
            ipaddress.ip_address(normal.host_ip)
        except ValueError:
            raise NetworkConfigInvalid(f"port mapping: {normal.host_ip!r} is not an IP address") from None
        if "%" in normal.host_ip:  # behind it any text passes for a zone, also into the rules of a plugin
            raise NetworkConfigInvalid(f"port mapping: {normal.host_ip!r} has a zone: name the address alone")
    return normal


def masquerade_elements(owner: str, addresses: Iterable[IpAddress], link: str) -> list[Element]:
    """Give what these addresses send the host's address, unless it leaves through ``link``."""
    elements = []
    for address in addresses:
        elements.append(Element(f"masquerade{address.version}", address.packed, b"", owner))
        elements.append(Element(f"own_links{address.version}", address.packed + _link(link), b"", owner))
    return elements


def hostport_elements(
    owner: str,
    mappings: Sequence[PortMapping],
    addresses: Iterable[IpAddress],
    links: Sequence[str],
    *,
    snat: bool = True,
) -> list[Element]:
    """Lead host ports to the first address of each family; ``links`` are where the host reaches the pod.

    A host IP chooses its family. Without ``snat`` a pod cannot reach itself by its host port, nor can
    the host by 127.0.0.1.

    Raises:
        NetworkConfigInvalid: one host port leads to two container ports.
    """
    elements: dict[Element, None] = {}
    for version, address in _first_by_version(addresses).items():
        wanted = [mapping for mapping in mappings if _version_of(mapping.host_ip) in (0, version)]
        for mapping in wanted:
            elements[_hostport(owner, mapping, address)] = None
        if not wanted or not snat:
            continue
        elements[Element(f"loops{version}", address.packed + address.packed, b"", owner)] = None
        if version == 4:
            elements[Element("targets4", address.packed, b"", owner)] = None
        for link in links:
            key = address.packed + _link(link)
            elements[Element(f"target_links{version}", key, b"", owner)] = None
    keys: set[tuple[str, bytes]] = set()
    for element in elements:
        if (element.set, element.key) in keys:
            raise NetworkConfigInvalid(f"{_describe(element)} is mapped to two container ports of one pod")
        keys.add((element.set, element.key))
    return list(elements)


def targets(elements: Iterable[Element]) -> set[Target]:
    """Where the host ports among ``elements`` lead."""
    found = set()
    for element in elements:
        if element.set.startswith("hostports"):
            protocol, port = struct.unpack(">B3xH2x", element.key[-8:])
            found.add(Target(protocol, port, ipaddress.ip_address(element.data[:-4])))
    return found


def hostport_targets(mappings: Iterable[PortMapping], addresses: Iterable[IpAddress]) -> set[Target]:
    """Where the host ports of a pod with these addresses lead."""
    known = list(addresses)
    return {Target(_PROTOCOLS[one.protocol], one.host_port, address) for one in mappings for address in known}


class Nat:
    """Writes elements; makes the table when it is missing. Blocking: call it off the event loop.

    One socket is kept: closing one after a deletion makes the kernel wait for an RCU grace period (10 ms).
    """

    def __init__(self) -> None:
        self._opening = threading.Lock()
        self._installing = threading.Lock()
        self._socket: Netlink | None = None

    def close(self) -> None:
        """Close the socket; the elements stay."""
        with self._opening:
            if self._socket is not None:
                self._socket.close()
                self._socket = None

    def add(self, owner: str, elements: Sequence[Element]) -> None:
        """Add elements in one transaction; those that ``owner`` has already are replaced.

        Raises:
            HostPortTaken: another owner has one of the host ports; nothing was added.
            PluginFailed: nft is missing or the kernel has no nftables.
        """
        netlink = self._netlink()
        for attempt in range(3):
            try:
                nftables.commit(netlink, [nftables.add_element(ruleset.TABLE, item) for item in elements])
                return
            except OSError as error:
                if error.errno == errno.ENOENT and attempt < 2:
                    self._install(netlink)
                elif error.errno == errno.EEXIST and attempt < 2:
                    _make_room(netlink, owner, elements)
                else:
                    raise PluginFailed(f"nftables: {error.strerror}") from error

    def remove(self, owner: str, sets: Sequence[str]) -> list[Element]:
        """Remove what ``owner`` has in ``sets``, and tell what that was; nothing there is fine."""
        netlink = self._netlink()
        for _ in range(3):
            try:
                mine = [
                    element
                    for name in sets
                    for element in nftables.list_elements(netlink, ruleset.TABLE, name, owner)
                ]
                nftables.commit(netlink, [nftables.delete_element(ruleset.TABLE, item) for item in mine])
                return mine
            except OSError as error:
                if error.errno in _NO_NFTABLES:
                    return []  # a kernel without nftables holds no elements
                if error.errno != errno.ENOENT:  # somebody removed one in between: look again
                    raise PluginFailed(f"nftables: {error.strerror}") from error
        return []

    def owners(self, sets: Sequence[str]) -> set[str]:
        """Who has elements in ``sets``."""
        netlink = self._netlink()
        try:
            return {
                element.comment
                for name in sets
                for element in nftables.list_elements(netlink, ruleset.TABLE, name)
            }
        except OSError as error:
            if error.errno in _NO_NFTABLES:
                return set()
            raise PluginFailed(f"nftables: {error.strerror}") from error

    def forget_flows(self, mappings: Sequence[PortMapping]) -> None:
        """Drop tracked UDP flows to these host ports, which would keep the way they had before."""
        ports = {mapping.host_port for mapping in mappings if mapping.protocol == "udp"}
        if not ports:
            return
        netlink = self._netlink()
        for port in ports:
            try:
                conntrack.forget_udp(netlink, port)
            except OSError as error:
                if error.errno not in _NO_NFTABLES:  # no connection tracking: nothing to forget
                    raise PluginFailed(f"conntrack: {error.strerror}") from error

    def forget_targets(self, closed: Iterable[Target]) -> None:
        """Drop tracked flows that were led from these host ports to these pods, of any protocol: a client
        that uses its port again would be led to an address that is gone, or another pod's."""
        for target in closed:
            try:
                conntrack.forget_led(self._netlink(), target.protocol, target.port, target.address)
            except OSError as error:
                if error.errno not in _NO_NFTABLES:  # no connection tracking: nothing to forget
                    raise PluginFailed(f"conntrack: {error.strerror}") from error

    def route_localnet(self, link: str) -> None:
        """Let 127.0.0.1 of the host reach pods behind ``link``; the table's guard keeps others out."""
        path = Path("/proc/sys/net/ipv4/conf") / link / "route_localnet"
        if path.read_text().strip() != "1":
            path.write_text("1")

    def _netlink(self) -> Netlink:
        with self._opening:
            if self._socket is None:
                try:
                    self._socket = Netlink(NETLINK_NETFILTER)
                except OSError as error:
                    raise PluginFailed(
                        "this kernel has no netfilter netlink, which host ports and ipMasq need:"
                        f" {error.strerror}"
                    ) from error
            return self._socket

    def _install(self, netlink: Netlink) -> None:
        """Make the table. nft(8) is asked only here: once a boot, or after somebody flushed the ruleset."""
        path = os.environ.get("PATH", "") + ":/usr/sbin:/sbin"
        program = shutil.which("nft", path=path)
        if program is None:
            raise PluginFailed("nft was not found; host ports and ipMasq need the nftables package")
        with self._installing:
            # This thread has no event loop; the runner waits for one program and never forks.
            done = asyncio.run(
                processes.run([program, "-f", "-"], stdin=ruleset.RULESET.encode(), timeout_s=_NFT_TIMEOUT_S)
            )
        if done.returncode:
            raise PluginFailed(
                f"nft refused Podwright's table: {done.stderr.decode(errors='replace').strip()}"
            )


def _make_room(netlink: Netlink, owner: str, elements: Sequence[Element]) -> None:
    """Remove what stands in the way and is ours, or was left by an earlier pod with one of our addresses."""
    wanted = {(element.set, element.key): element for element in elements}
    stale = []
    for name in {element.set for element in elements}:
        for present in nftables.list_elements(netlink, ruleset.TABLE, name):
            mine = wanted.get((name, present.key))
            if mine is None:
                continue
            if present.data and present.comment != owner and present.data[:-4] != mine.data[:-4]:
                raise HostPortTaken(f"{_describe(mine)} belongs to another pod (container {present.comment})")
            stale.append(present)
    nftables.commit(netlink, [nftables.delete_element(ruleset.TABLE, element) for element in stale])


def _hostport(owner: str, mapping: PortMapping, address: IpAddress) -> Element:
    key = struct.pack(">B3xH2x", _PROTOCOLS[mapping.protocol], mapping.host_port)
    data = address.packed + struct.pack(">H2x", mapping.container_port)
    host = ipaddress.ip_address(mapping.host_ip) if mapping.host_ip else None
    if host is None or host.is_unspecified:
        return Element(f"hostports{address.version}", key, data, owner)
    return Element(f"hostports{address.version}_at", host.packed + key, data, owner)


def _describe(element: Element) -> str:
    protocol, port = struct.unpack(">B3xH2x", element.key[-8:])
    name = {number: name for name, number in _PROTOCOLS.items()}[protocol]
    return f"host port {port}/{name}"


def _first_by_version(addresses: Iterable[IpAddress]) -> dict[int, IpAddress]:
    first: dict[int, IpAddress] = {}
    for address in addresses:
        first.setdefault(address.version, address)
    return first


def _version_of(host_ip: str) -> int:
    return ipaddress.ip_address(host_ip).version if host_ip else 0


def _link(name: str) -> bytes:
    return name.encode().ljust(16, b"\0")
