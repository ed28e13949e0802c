"""trusted_root.json (sigstore's trustroot.proto): authorities, logs and clocks that bundles are held against.

Each is believed for its own time. Unknown fields are passed over, as the format wants; keys that cannot be
read are none that anything is verified with.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime

from cryptography import x509

from storage.signatures.certificates import CertificateLog, Roots
from storage.signatures.errors import TrustUnavailable
from storage.signatures.keys import BadKey, PublicKey, parse_key
from storage.signatures.strict import Malformed, Table, document

_MEDIA_TYPE = "application/vnd.dev.sigstore.trustedroot"
_VALUES = 50_000
_LIMIT = 100
_FIRST = datetime.min.replace(tzinfo=UTC)
_LAST = datetime.max.replace(tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class Authority:
    """A certificate authority, or one for time; ``leaf`` is the latter's own certificate, if given."""

    roots: Roots
    leaf: x509.Certificate | None
    begin: datetime
    end: datetime


@dataclass(frozen=True, slots=True)
class Log:
    """A transparency log."""

    log_id: bytes
    key: PublicKey
    begin: datetime
    end: datetime


@dataclass(frozen=True, slots=True)
class TrustedRoot:
    """One file."""

    logs: tuple[Log, ...] = ()
    authorities: tuple[Authority, ...] = ()
    certificate_logs: tuple[CertificateLog, ...] = ()
    clocks: tuple[Authority, ...] = ()

    @classmethod
    def parse(cls, data: bytes, source: str) -> "TrustedRoot":
        """Read a file's content.

        Raises:
            TrustUnavailable: naming ``source``.
        """
        try:
            table = document(data, "the trusted root", values=_VALUES)
            media_type = table.text("mediaType")
            if not media_type.startswith(_MEDIA_TYPE):
                raise Malformed(f"mediaType {media_type!r} is not that of a trusted root")
            return cls(
                tuple(Log(*each) for each in _logs(table, "tlogs")),
                tuple(_authority(each) for each in table.tables("certificateAuthorities", _LIMIT)),
                tuple(CertificateLog(*each) for each in _logs(table, "ctlogs")),
                tuple(_clock(each) for each in table.tables("timestampAuthorities", _LIMIT)),
            )
        except (Malformed, BadKey, ValueError) as error:
            raise TrustUnavailable(f"{source}: {error}") from error


def _logs(table: Table, key: str) -> Iterator[tuple[bytes, PublicKey, datetime, datetime]]:
    for log in table.tables(key, _LIMIT):
        public = log.table("publicKey")
        yield log.table("logId").data("keyId"), parse_key(public.data("rawBytes")), *_valid(public)


def _certificates(table: Table) -> list[x509.Certificate]:
    chain = table.table("certChain").tables("certificates", _LIMIT)
    if not chain:
        raise Malformed(f"{table.what}: certChain is empty")
    return [x509.load_der_x509_certificate(each.data("rawBytes")) for each in chain]


def _authority(table: Table) -> Authority:
    *between, root = _certificates(table)
    return Authority(Roots((root,), tuple(between)), None, *_valid(table))


def _clock(table: Table) -> Authority:
    """Its chain begins with its own certificate, unless there is only a root."""
    first, *rest = _certificates(table)
    if not rest:
        return Authority(Roots((first,)), None, *_valid(table))
    return Authority(Roots((rest[-1],), tuple(rest[:-1])), first, *_valid(table))


def _valid(table: Table) -> tuple[datetime, datetime]:
    if "validFor" not in table:
        return _FIRST, _LAST
    period = table.table("validFor")
    begin = _time(period.text("start")) if "start" in period else _FIRST
    return begin, _time(period.text("end")) if "end" in period else _LAST


def _time(text: str) -> datetime:
    found = datetime.fromisoformat(text)
    if found.tzinfo is None:
        raise Malformed(f"time {text!r} has no zone")
    return found.astimezone(UTC)
