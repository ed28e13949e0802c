"""Who listens on a port of this host: /proc/net/tcp and its siblings (proc(5)), /proc/net/sctp/eps."""

import ipaddress
import os
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

_TCP_LISTEN, _UDP_UNCONNECTED, _SCTP_LISTENING = "0A", "07", "10"
_STATES = {"tcp": _TCP_LISTEN, "udp": _UDP_UNCONNECTED}
IpAddress = ipaddress.IPv4Address | ipaddress.IPv6Address
_REACHED = (ipaddress.IPv4Address("127.0.0.1"), ipaddress.IPv6Address("::1"))


@dataclass(frozen=True, slots=True)
class Listener:
    """A socket that takes what comes to a port; ``address`` is unspecified where it takes it on all."""

    address: IpAddress
    port: int
    inode: int


def listeners(protocol: str, proc: Path = Path("/proc")) -> Iterator[Listener]:
    """Of "tcp", "udp" or "sctp", both families; nothing for other protocols."""
    net = proc / "self/net"
    if protocol == "sctp":
        for line in _lines(net / "sctp/eps"):
            yield from _endpoint(line.split())
    elif protocol in _STATES:
        for name in (protocol, f"{protocol}6"):
            for line in _lines(net / name):
                yield from _socket(line.split(), _STATES[protocol])


def _lines(table: Path) -> list[str]:
    """The lines behind the heading; none of a protocol that the kernel has not got, or not loaded yet."""
    try:
        return table.read_text().splitlines()[1:]
    except OSError:
        return []


def _socket(parts: list[str], state: str) -> Iterator[Listener]:
    if len(parts) > 9 and parts[3] == state:
        address, _, port = parts[1].partition(":")
        yield Listener(_address(address), int(port, 16), int(parts[9]))


def _endpoint(parts: list[str]) -> Iterator[Listener]:
    """A line of net/sctp/proc.c, sctp_eps_seq_show(): ENDPT SOCK STY SST HBKT LPORT UID INODE LADDRS…"""
    if len(parts) > 8 and parts[3] == _SCTP_LISTENING:
        for text in parts[8:]:
            address = ipaddress.ip_address(text.lstrip("*"))
            yield Listener(getattr(address, "ipv4_mapped", None) or address, int(parts[5]), int(parts[7]))


def taker(protocol: str, host_ip: str, port: int, proc: Path = Path("/proc")) -> Listener | None:
    """Who takes what comes to ``host_ip``, so that nobody else should be led it.

    An empty or unspecified one means all addresses that host ports of pods have (cni/ruleset.py): every one
    of the host's but those of the loopback beside 127.0.0.1 and ::1, where a resolver may be.
    """
    wanted = ipaddress.ip_address(host_ip) if host_ip else None
    for each in listeners(protocol, proc):
        if each.port == port and (each.address.is_unspecified or _meant(each.address, wanted)):
            return each
    return None


def _meant(address: IpAddress, wanted: IpAddress | None) -> bool:
    if wanted is not None and not wanted.is_unspecified:
        return address == wanted
    if wanted is not None and address.version != wanted.version:
        return False
    return not address.is_loopback or address in _REACHED


def owner(listener: Listener, proc: Path = Path("/proc")) -> str:
    """``name (pid 5)`` of a process that holds the socket; a word about it when none is to be seen."""
    link = f"socket:[{listener.inode}]"
    for process in proc.iterdir():
        try:
            if process.name.isdecimal() and link in map(os.readlink, (process / "fd").iterdir()):
                return f"{(process / 'comm').read_text().strip()} (pid {process.name})"
        except OSError:
            continue  # it has ended
    return "a process of this host"


def _address(text: str) -> IpAddress:
    """As the kernel prints it: 32-bit words in the byte order of the machine."""
    words = [int(text[start : start + 8], 16) for start in range(0, len(text), 8)]
    packed = b"".join(word.to_bytes(4, sys.byteorder) for word in words)
    address = ipaddress.ip_address(packed)
    return getattr(address, "ipv4_mapped", None) or address
