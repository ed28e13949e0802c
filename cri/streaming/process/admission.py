"""Those that have connected and shown no valid token yet: how many there may be, and who goes for the next.

Whoever comes is let in: it is somebody who waits that has to go, the oldest of the address that has most. So
a client that says who it is at once is served however many others say nothing.
"""

from collections.abc import Hashable
from dataclasses import dataclass, field
from ipaddress import IPv4Address, ip_address, ip_network
from typing import Final, Generic, TypeVar

Visitor = TypeVar("Visitor", bound=Hashable)

MOST_WAITING: Final = 1024
MOST_OF_ONE_ADDRESS: Final = 768
_PREFIX_OF_A_CLIENT: Final = 64  # bits of an IPv6 address that a client does not choose itself


def client_of(address: str) -> str:
    """What stands for a client among addresses: an IPv4 address, or the /64 network of an IPv6 one."""
    try:
        ip = ip_address(address.partition("%")[0])
    except ValueError:
        return address
    if isinstance(ip, IPv4Address):
        return str(ip)
    if ip.ipv4_mapped is not None:
        return str(ip.ipv4_mapped)
    return str(ip_network((ip, _PREFIX_OF_A_CLIENT), strict=False))


@dataclass(slots=True)
class Admission(Generic[Visitor]):
    """The table."""

    most: int = MOST_WAITING
    most_of_one: int = MOST_OF_ONE_ADDRESS
    _of: dict[Visitor, str] = field(default_factory=dict)
    _by: dict[str, dict[Visitor, None]] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self._of)

    def enter(self, visitor: Visitor, client: str) -> Visitor | None:
        """Note who has come; the one that has to go for it, if any, is forgotten and returned."""
        goes = self._goes_for(client)
        if goes is not None:
            self.leave(goes)
        self._of[visitor] = client
        self._by.setdefault(client, {})[visitor] = None
        return goes

    def leave(self, visitor: Visitor) -> None:
        """It has shown a token, or is gone. Idempotent."""
        client = self._of.pop(visitor, None)
        if client is None:
            return
        of_client = self._by[client]
        del of_client[visitor]
        if not of_client:
            del self._by[client]

    def _goes_for(self, client: str) -> Visitor | None:
        own = self._by.get(client, {})
        if len(own) >= self.most_of_one:
            return next(iter(own))
        if len(self._of) < self.most:
            return None
        most = max(self._by, key=lambda each: len(self._by[each]))
        return next(iter(self._by[most]))
