"""Counters of a network namespace's interfaces (proc_pid_net(5): dev, route)."""

import os
from dataclasses import dataclass
from pathlib import Path

from host.lines import lines
from host.namespaces import in_namespace

# Of the thread that reads, which has joined the namespace; /proc/self would be the main thread's.
_THREAD_NET = Path("/proc/thread-self/net")
_LOOPBACK = "lo"
_FALLBACK_DEFAULT = "eth0"


@dataclass(frozen=True, slots=True)
class InterfaceCounters:
    """Since the interface was made, seen from inside."""

    name: str
    rx_bytes: int
    rx_errors: int
    tx_bytes: int
    tx_errors: int
    rx_packets: int = 0
    rx_dropped: int = 0
    tx_packets: int = 0
    tx_dropped: int = 0


@dataclass(frozen=True, slots=True)
class NetworkCounters:
    """``default`` is the interface with the default route (else eth0); None when there is none of both."""

    default: InterfaceCounters | None
    others: tuple[InterfaceCounters, ...] = ()

    @property
    def all(self) -> tuple[InterfaceCounters, ...]:
        """The default one first."""
        return self.others if self.default is None else (self.default, *self.others)


def read(namespace: os.PathLike[str] | str) -> NetworkCounters:
    """The counters in a pinned namespace, without the loopback's. Blocks for a thread's life.

    Raises:
        OSError: the namespace is gone.
    """
    devices, routes = in_namespace(namespace, _read_tables)
    return parse(devices, routes)


def read_by_process(namespace: os.PathLike[str] | str, pid: int) -> NetworkCounters | None:
    """The same by way of a process that should be in the namespace, which needs no thread; None when it is
    not there, or has ended.

    Raises:
        OSError: the namespace is gone.
    """
    pinned = Path(namespace).stat()
    try:
        process = os.open(f"/proc/{pid}", os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    except OSError:
        return None
    try:
        found = os.stat("ns/net", dir_fd=process)
        if (found.st_dev, found.st_ino) != (pinned.st_dev, pinned.st_ino):
            return None
        return parse(_read_at(process, "net/dev"), _read_at(process, "net/route"))
    except OSError:
        return None
    finally:
        os.close(process)


def _read_at(directory: int, name: str) -> str:
    with os.fdopen(os.open(name, os.O_RDONLY | os.O_CLOEXEC, dir_fd=directory)) as file:
        return file.read()


def read_own() -> NetworkCounters:
    """The counters of the namespace that the caller is in."""
    return parse(*_read_tables())


def _read_tables() -> tuple[str, str]:
    """What is no UTF-8 is replaced: the names go into answers."""
    dev, route = ((_THREAD_NET / name).read_text(errors="replace") for name in ("dev", "route"))
    return dev, route


def parse(devices: str, routes: str) -> NetworkCounters:
    """From the texts of ``dev`` and ``route``."""
    found = [_counters(line) for line in lines(devices)[2:]]
    inside = [one for one in found if one.name != _LOOPBACK]
    name = _default_interface(routes)
    default = next((one for one in inside if one.name == name), None)
    return NetworkCounters(default, tuple(one for one in inside if one is not default))


def _counters(line: str) -> InterfaceCounters:
    name, _, numbers = line.partition(":")
    fields = [int(number) for number in numbers.split()]
    return InterfaceCounters(
        name.strip(),
        rx_bytes=fields[0],
        rx_packets=fields[1],
        rx_errors=fields[2],
        rx_dropped=fields[3],
        tx_bytes=fields[8],
        tx_packets=fields[9],
        tx_errors=fields[10],
        tx_dropped=fields[11],
    )


def _default_interface(routes: str) -> str:
    """The interface of the route to 0.0.0.0/0; an IPv6-only pod has none there, and gets eth0."""
    for line in lines(routes)[1:]:
        interface, destination, *_, mask = line.split("\t")[:8]
        if destination == mask == "00000000":
            return interface
    return _FALLBACK_DEFAULT
