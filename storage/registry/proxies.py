"""Which proxy a request goes through: HTTP_PROXY, HTTPS_PROXY and NO_PROXY, read as Go's net/http reads them.

So a node's environment means here what it means to its kubelet (golang.org/x/net/http/httpproxy): names
in upper case come first, a proxy may be ``host:port`` without a scheme, and NO_PROXY is a list of ``*``,
networks, addresses, domains (with what is below; ``.domain`` and ``*.domain`` only that), also with a port.
"""

import ipaddress
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Self

from yarl import URL

from api.errors import InvalidArgument

IpAddress = ipaddress.IPv4Address | ipaddress.IPv6Address
_SCHEMES = ("http", "https")
_PORTS = {"http": 80, "https": 443}


class BadProxy(InvalidArgument):
    """A proxy variable of the environment does not name a proxy that can be used."""


@dataclass(frozen=True, slots=True)
class _Target:
    """Where a request goes: host in lower case, its address if it is one, and the port."""

    host: str
    address: IpAddress | None
    port: int


_Rule = Callable[[_Target], bool]


@dataclass(frozen=True, slots=True)
class Proxies:
    """What the environment says; a proxy is None where none is named."""

    http: str
    https: str
    spared: tuple[_Rule, ...]

    @classmethod
    def read(cls, environment: Mapping[str, str]) -> Self:
        """Take the variables; what NO_PROXY holds that is none of its forms spares nothing."""
        spared = tuple(_rules(_first(environment, "NO_PROXY")))
        return cls(_first(environment, "HTTP_PROXY"), _first(environment, "HTTPS_PROXY"), spared)

    def proxy_for(self, url: URL) -> URL | None:
        """The proxy for a request to ``url``; None for a direct one, as always to this host itself.

        Raises:
            BadProxy: what is named for it cannot be used.
        """
        named = {"http": self.http, "https": self.https}.get(url.scheme, "")
        if not named or self._is_spared(url):
            return None
        return _parse_proxy(named, f"{url.scheme.upper()}_PROXY")

    def _is_spared(self, url: URL) -> bool:
        host = (url.host or "").strip().lower().rstrip(".")
        address = _address(host)
        if host == "localhost" or (address is not None and address.is_loopback):
            return True
        target = _Target(host, address, url.port or _PORTS.get(url.scheme, 0))
        return any(spares(target) for spares in self.spared)


def _first(environment: Mapping[str, str], name: str) -> str:
    return environment.get(name) or environment.get(name.lower()) or ""


def _parse_proxy(text: str, variable: str) -> URL:
    try:
        url = URL(text if "://" in text else f"http://{text}")
        usable = bool(url.host) and (url.port is not None or url.scheme not in _SCHEMES)
    except ValueError:
        usable = False
    if not usable:
        raise BadProxy(f"{variable} is not a proxy such as http://proxy.example:3128")
    if url.scheme not in _SCHEMES:
        raise BadProxy(f"{variable} names a proxy of the scheme {url.scheme!r}: http and https can be used")
    return url


def _rules(text: str) -> Iterator[_Rule]:
    for entry in text.lower().split(","):
        entry = entry.strip()
        if entry == "*":
            yield lambda _: True
        elif "/" in entry:
            yield from _network(entry)
        elif entry:
            host, port = _split_port(entry)
            if address := _address(host):
                yield _same_address(address, port)
            elif host.strip("*."):
                yield _domain(host, port)


def _network(entry: str) -> Iterator[_Rule]:
    try:
        network = ipaddress.ip_network(entry, strict=False)
    except ValueError:
        return
    yield lambda target: target.address is not None and target.address in network


def _same_address(address: IpAddress, port: int | None) -> _Rule:
    return lambda target: target.address == address and port in (None, target.port)


def _domain(host: str, port: int | None) -> _Rule:
    suffix = host.removeprefix("*")
    only_below = suffix.startswith(".")
    suffix = suffix if only_below else f".{suffix}"

    def spares(target: _Target) -> bool:
        named = target.host.endswith(suffix) or (not only_below and target.host == suffix[1:])
        return named and port in (None, target.port)

    return spares


def _split_port(entry: str) -> tuple[str, int | None]:
    """``host:port``, ``[v6]:port`` or a host alone, which may be a bare IPv6 address."""
    if entry.startswith("["):
        host, _, rest = entry[1:].partition("]")
        port = rest.removeprefix(":")
    elif entry.count(":") == 1:
        host, _, port = entry.partition(":")
    else:
        host, port = entry, ""
    return host, int(port) if port.isascii() and port.isdigit() else None


def _address(host: str) -> IpAddress | None:
    try:
        address = ipaddress.ip_address(host.strip("[]"))
    except ValueError:
        return None
    mapped = getattr(address, "ipv4_mapped", None)
    return mapped or address
