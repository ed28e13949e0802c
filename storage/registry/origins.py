"""Whom a pull may ask, how, and what each may be given.

An origin is scheme, host and port. The one in the image's name (or its place in registries.conf) is the
pull's own; every other is named by somebody: a redirect, a token realm. What holds for them:

    verified TLS          everywhere, but at hosts that registries.conf or insecure_registries list: being
                          listed belongs to a host, not to whatever such a host points to
    credentials, tokens   to the pull's own origin, and to the realm which that origin itself names; never to
                          where a redirect led, nor to what is named there, nor further on in a chain that has
                          left its origin once
    client certificates   to the host that certs.d has them for
    words of an answer    in errors only when the pull's own origin said them
    addresses             none of the link, none of this host unless the pull's own is one
"""

import ipaddress
import socket
from collections.abc import Callable
from dataclasses import dataclass
from typing import Self

from yarl import URL

from api.errors import InvalidArgument, PermissionDenied

_SHOWN_CHARACTERS = 200


class BadUrl(InvalidArgument):
    """A registry names an address that is none, or none that can be asked by HTTP."""


class ForbiddenTarget(PermissionDenied):
    """A registry points to where a pull does not go."""


@dataclass(frozen=True, slots=True)
class Origin:
    """What a credential is for (RFC 6454)."""

    scheme: str
    host: str
    port: int

    @classmethod
    def of(cls, url: URL) -> Self:
        """``url`` comes from ``parse_url``, or is made of a reference's host."""
        return cls(url.scheme, url.host or "", url.port or 0)

    @property
    def names(self) -> tuple[str, ...]:
        """host:port, and the host alone where the port is the scheme's own: as files name hosts."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        usual = {"https": 443, "http": 80}[self.scheme]
        return (f"{host}:{self.port}", host) if self.port == usual else (f"{host}:{self.port}",)


def parse_url(text: str, base: URL | None = None) -> URL:
    """The absolute http(s) URL that ``text`` stands for, without user, password and fragment.

    Raises:
        BadUrl: it is none.
    """
    try:
        url = URL(text)
        if base is not None:
            url = base.join(url)
        if url.scheme in ("http", "https") and url.host and url.port:
            return url.with_user(None).with_fragment(None)
    except (ValueError, TypeError, IndexError) as error:  # of ports, brackets, IDNA; yarl has one of each
        raise BadUrl(f"{_shown(text)} is no URL: {str(error)[:100]}") from error
    raise BadUrl(f"{_shown(text)} is no URL of https")


def _shown(text: str) -> str:
    return repr(text[:_SHOWN_CHARACTERS])


class Trust:
    """Answers for one pull: ``own`` is its registry's host[:port], ``listed`` knows insecure hosts."""

    def __init__(self, own: str, insecure: bool, listed: Callable[[str], bool]) -> None:
        self._own = own
        self._insecure = insecure
        self._listed = listed
        self._own_is_local = _is_loopback(own)

    def is_own(self, origin: Origin) -> bool:
        """True for the registry's host, by either scheme."""
        return self._own in origin.names

    def is_insecure(self, origin: Origin) -> bool:
        """Whether this very host may be spoken to by plain HTTP or unverified TLS."""
        if self.is_own(origin):
            return self._insecure
        return any(self._listed(name) for name in origin.names)

    def check(self, url: URL, what: str) -> None:
        """Return when a request, without credentials, may go to ``url``.

        Raises:
            ForbiddenTarget: naming ``what``, as "redirect".
        """
        origin = Origin.of(url)
        if url.scheme != "https" and not self.is_insecure(origin):
            raise ForbiddenTarget(
                f"{what} to {url.scheme}://{origin.names[-1]}, which is not https; "
                "registries.conf may list that host as insecure"
            )
        if self.is_own(origin) or any(self._listed(name) for name in origin.names):
            return
        address = _address(origin.host)
        if address is not None and (
            address.is_link_local
            or address.is_unspecified
            or address.is_multicast
            or (address.is_loopback and not self._own_is_local)
        ):
            raise ForbiddenTarget(f"{what} to {origin.names[-1]}, an address of this host or its link")


def _address(host: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    """The address that a host is written as, in all the forms that the resolver takes; None for a name."""
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        try:  # 169.254.43518, 0xa9fea9fe and the like
            return ipaddress.IPv4Address(socket.inet_aton(host))
        except (OSError, ValueError):
            return ipaddress.IPv4Address("127.0.0.1") if _is_localhost(host) else None
    if isinstance(address, ipaddress.IPv6Address) and address.ipv4_mapped is not None:
        return address.ipv4_mapped
    return address


def _is_localhost(host: str) -> bool:
    name = host.rstrip(".").lower()
    return name == "localhost" or name.endswith(".localhost")


def _is_loopback(own: str) -> bool:
    try:
        address = _address(URL(f"https://{own}").host or "")
    except ValueError:
        return False
    return address is not None and address.is_loopback
