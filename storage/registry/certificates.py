"""certs.d: whom a registry's certificate may be signed by, and what is shown to it (containers-certs.d(5)).

<certs.d>/<host[:port]>/*.crt           authorities, beside the system's
<certs.d>/<host[:port]>/NAME.cert, .key a client certificate, for that host alone
"""

import re
import ssl
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

from api.errors import InvalidArgument

_HOST = re.compile(r"[A-Za-z0-9_\[][A-Za-z0-9._:\[\]-]*")


class BadCertificate(InvalidArgument):
    """A file of certs.d cannot be used."""


def tls_context(
    host: str, certs_dirs: Iterable[Path], *, verify: bool, trusted_for: str = ""
) -> ssl.SSLContext:
    """System roots plus what certs.d/<host> has (containers-certs.d(5)); blocking.

    The authorities of ``trusted_for``, the registry that names ``host``, count as well; its client
    certificates do not, since they are credentials.

    Raises:
        BadCertificate: a file there cannot be used.
    """
    context = ssl.create_default_context()
    if not verify:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    for directory in certs_dirs:
        for place in _places(directory, trusted_for, host):
            for authority in sorted(place.glob("*.crt")):
                _trust(context, authority)
        for place in _places(directory, host):
            for certificate in sorted(place.glob("*.cert")):
                _present(context, certificate)
    return context


def has_certificates(host: str, certs_dirs: Iterable[Path]) -> bool:
    """True when certs.d has a directory for ``host``; blocking."""
    return any(place.is_dir() for directory in certs_dirs for place in _places(directory, host))


def _places(directory: Path, *hosts: str) -> list[Path]:
    """Directories of hosts; a stranger's "host" that would be another path has none."""
    return [directory / host for host in dict.fromkeys(hosts) if _HOST.fullmatch(host)]


def examine(certs_dirs: Iterable[Path]) -> tuple[list[Path], list[str]]:
    """The directories of hosts that there are, and what is wrong in them; blocking."""
    places = sorted(place for each in certs_dirs for place in each.glob("*") if place.is_dir())
    return places, [trouble for place in places for trouble in _troubles(place)]


def _troubles(place: Path) -> Iterator[str]:
    if not _HOST.fullmatch(place.name):
        yield f"{place} is not named as a registry is, HOST or HOST:PORT"
    uses: dict[str, Callable[[ssl.SSLContext, Path], None]] = {"*.crt": _trust, "*.cert": _present}
    for pattern, use in uses.items():
        for file in sorted(place.glob(pattern)):
            try:
                use(ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT), file)
            except BadCertificate as error:
                yield str(error)
    for key in sorted(place.glob("*.key")):
        certificate = key.with_suffix(".cert")
        if not certificate.exists():
            yield f"{key} has no {certificate.name} beside it, and is not used"


def _trust(context: ssl.SSLContext, authority: Path) -> None:
    try:
        context.load_verify_locations(authority)
    except ssl.SSLError as error:
        raise BadCertificate(f"{authority} is no authority: there is no certificate in PEM in it") from error
    except OSError as error:
        raise BadCertificate(f"{authority} cannot be read: {error.strerror}") from error


def _present(context: ssl.SSLContext, certificate: Path) -> None:
    """A client certificate; with a password to try, OpenSSL asks no terminal for one."""
    key = certificate.with_suffix(".key")
    try:
        context.load_cert_chain(certificate, key, password="")
    except ssl.SSLError as error:
        wanted = "a certificate and its key, both in PEM, without a passphrase"
        raise BadCertificate(f"{certificate} and {key.name} are not what they must be: {wanted}") from error
    except OSError as error:
        raise BadCertificate(f"{certificate} or {key.name} cannot be read: {error.strerror}") from error
