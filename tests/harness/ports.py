"""Ports of the loopback for programs that want to be told one, and those that programs have taken."""

import random
import socket
from pathlib import Path

from tests.harness import processes

EPHEMERAL = Path("/proc/sys/net/ipv4/ip_local_port_range")
LOWEST = 10_000
LISTENS = "0A"


def free_port() -> int:
    """One that nobody listens on, and that the kernel gives to nobody who does not ask for that very one.

    Whatever can take any port (number 0) does so, and is asked for it: `listening`.
    """
    first, last = map(int, EPHEMERAL.read_text().split())
    candidates = [*range(LOWEST, first), *range(last + 1, 65536)]
    random.shuffle(candidates)
    port: int = next(filter(_is_free, candidates))
    return port


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
        return True


def listening(pid: int) -> set[int]:
    """The TCP ports that a process of our network namespace listens on."""
    held = {
        target.removeprefix("socket:[").removesuffix("]") for target in processes.descriptors(pid).values()
    }
    found = set()
    for table in ("net/tcp", "net/tcp6"):
        for line in processes.read(pid, table).splitlines()[1:]:
            fields = line.split()
            if fields[3] == LISTENS and fields[9] in held:
                found.add(int(fields[1].rpartition(":")[2], 16))
    return found
