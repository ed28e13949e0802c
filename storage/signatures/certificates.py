"""Certificates of code signing: their chain at a time, whom they name, and that a log has seen them.

Chains are built and checked by ``cryptography``'s verifier (RFC 5280), with policies for code signing: the
WebPKI's, for which it was made, wants names of servers.
"""

import hashlib
import struct
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from cryptography.x509.certificate_transparency import SignatureAlgorithm
from cryptography.x509.oid import ExtendedKeyUsageOID, ObjectIdentifier
from cryptography.x509.verification import (
    Criticality,
    ExtensionPolicy,
    Policy,
    PolicyBuilder,
    Store,
    VerificationError,
)

from storage.signatures.errors import NotAccepted, TrustUnavailable
from storage.signatures.keys import BadKey, PublicKey, is_signed, require_known

_CHAIN_LIMIT = 8
_PEM_LIMIT = 64 << 10
_ISSUER_V1 = ObjectIdentifier("1.3.6.1.4.1.57264.1.1")
_ISSUER_V2 = ObjectIdentifier("1.3.6.1.4.1.57264.1.8")
_FAULTS = (ValueError, UnsupportedAlgorithm, x509.DuplicateExtension, x509.UnsupportedGeneralNameType)


@dataclass(frozen=True, slots=True)
class Names:
    """Whom a certificate names, and who vouched for that; ``issuer`` is "" where it does not say."""

    issuer: str
    emails: tuple[str, ...]
    uris: tuple[str, ...]
    hosts: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Roots:
    """Where chains may end, and certificates that may stand between."""

    roots: tuple[x509.Certificate, ...]
    intermediates: tuple[x509.Certificate, ...] = field(default=())


def parse_der(data: bytes) -> x509.Certificate:
    """One certificate.

    Raises:
        NotAccepted: it is none.
    """
    try:
        return x509.load_der_x509_certificate(data)
    except _FAULTS as error:
        raise NotAccepted(f"invalid certificate: {error}") from error


def parse_pem(data: bytes) -> list[x509.Certificate]:
    """Certificates that came with a signature.

    Raises:
        NotAccepted: there is none, or too many, or one is malformed.
    """
    if len(data) > _PEM_LIMIT:
        raise NotAccepted("more certificates than belong to a signature")
    try:
        return x509.load_pem_x509_certificates(data)
    except _FAULTS as error:
        raise NotAccepted(f"invalid certificate: {error}") from error


def trusted_certificates(read: Sequence[tuple[str, bytes]]) -> tuple[x509.Certificate, ...]:
    """The certificates that a policy trusts.

    Raises:
        TrustUnavailable: a file has none.
    """
    found: list[x509.Certificate] = []
    for what, data in read:
        try:
            found += x509.load_pem_x509_certificates(data)
        except _FAULTS as error:
            raise TrustUnavailable(f"{what}: no certificates: {error}") from error
    return tuple(found)


def key_of(certificate: x509.Certificate) -> PublicKey:
    """A certificate's key.

    Raises:
        NotAccepted: it is of a kind that is not used.
    """
    try:
        return require_known(certificate.public_key())
    except (BadKey, *_FAULTS) as error:
        raise NotAccepted(f"invalid certificate: {error}") from error


def chain_of(
    leaf: x509.Certificate, trusted: Roots, at: datetime, between: Sequence[x509.Certificate] = ()
) -> list[x509.Certificate]:
    """The chain from a leaf to a root, all of it for code signing and valid at a time.

    Raises:
        NotAccepted: there is none.
    """
    if not trusted.roots:
        raise NotAccepted("no root certificate is trusted")
    builder = (
        PolicyBuilder()
        .store(Store(list(trusted.roots)))
        .time(at.astimezone(UTC).replace(tzinfo=None))
        .max_chain_depth(_CHAIN_LIMIT)
        .extension_policies(ca_policy=_of_authorities(), ee_policy=_of_leaves())
    )
    try:
        found = builder.build_client_verifier().verify(leaf, [*between, *trusted.intermediates]).chain
        for certificate in found[1:]:  # the verifier takes roots as they are
            _require_valid(certificate, at)
    except (VerificationError, *_FAULTS) as error:
        raise NotAccepted(f"its certificate is not trusted at {at:%Y-%m-%dT%H:%M:%SZ}: {error}") from error
    return found


def _require_valid(certificate: x509.Certificate, at: datetime) -> None:
    if not certificate.not_valid_before_utc <= at <= certificate.not_valid_after_utc:
        raise ValueError(f"{certificate.subject.rfc4514_string()!r} is not valid then")


def _of_leaves() -> ExtensionPolicy:
    return (
        ExtensionPolicy.permit_all()
        .require_present(x509.ExtendedKeyUsage, Criticality.AGNOSTIC, _for_code_signing)
        .require_present(x509.SubjectAlternativeName, Criticality.AGNOSTIC, None)
        .may_be_present(x509.KeyUsage, Criticality.AGNOSTIC, _signs)
        .may_be_present(x509.BasicConstraints, Criticality.AGNOSTIC, _is_no_authority)
    )


def _of_authorities() -> ExtensionPolicy:
    return (
        ExtensionPolicy.permit_all()
        .require_present(x509.BasicConstraints, Criticality.AGNOSTIC, _is_authority)
        .may_be_present(x509.KeyUsage, Criticality.AGNOSTIC, _signs_certificates)
        .may_be_present(x509.ExtendedKeyUsage, Criticality.AGNOSTIC, _lets_code_be_signed)
    )


def _for_code_signing(_: Policy, __: x509.Certificate, usage: x509.ExtendedKeyUsage) -> None:
    if ExtendedKeyUsageOID.CODE_SIGNING not in usage:
        raise ValueError("it is not for code signing")


def _lets_code_be_signed(_: Policy, __: x509.Certificate, usage: x509.ExtendedKeyUsage | None) -> None:
    if usage is not None and not {
        ExtendedKeyUsageOID.CODE_SIGNING,
        ExtendedKeyUsageOID.ANY_EXTENDED_KEY_USAGE,
    } & set(usage):
        raise ValueError("an authority is not for code signing")


def _signs(_: Policy, __: x509.Certificate, usage: x509.KeyUsage | None) -> None:
    if usage is not None and not usage.digital_signature:
        raise ValueError("its key is not for signatures")


def _signs_certificates(_: Policy, __: x509.Certificate, usage: x509.KeyUsage | None) -> None:
    if usage is not None and not usage.key_cert_sign:
        raise ValueError("an authority's key is not for certificates")


def _is_no_authority(_: Policy, __: x509.Certificate, constraints: x509.BasicConstraints | None) -> None:
    if constraints is not None and constraints.ca:
        raise ValueError("it is an authority's own")


def _is_authority(_: Policy, __: x509.Certificate, constraints: x509.BasicConstraints) -> None:
    if not constraints.ca:
        raise ValueError("a certificate in its chain is no authority's")


def names_of(certificate: x509.Certificate) -> Names:
    """Whom a certificate names.

    Raises:
        NotAccepted: its extensions are malformed, or its two issuers differ.
    """
    try:
        names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
        return Names(
            _issuer(certificate.extensions),
            tuple(names.get_values_for_type(x509.RFC822Name)),
            tuple(names.get_values_for_type(x509.UniformResourceIdentifier)),
            tuple(names.get_values_for_type(x509.DNSName)),
        )
    except (x509.ExtensionNotFound, *_FAULTS) as error:
        raise NotAccepted(f"invalid certificate: {error}") from error


def _issuer(extensions: x509.Extensions) -> str:
    """Who vouched for the subject, by Fulcio's extensions: the older a bare string, the newer DER."""
    found = set()
    for identifier in (_ISSUER_V1, _ISSUER_V2):
        try:
            value = extensions.get_extension_for_oid(identifier).value
        except x509.ExtensionNotFound:
            continue
        assert isinstance(value, x509.UnrecognizedExtension)
        found.add(value.value.decode() if identifier == _ISSUER_V1 else _utf8_string(value.value))
    if len(found) > 1:
        raise ValueError("its two issuers differ")
    return found.pop() if found else ""


def _utf8_string(der: bytes) -> str:
    """The text of one DER UTF8String (X.690, 8.23), with a length of one or two bytes."""
    if len(der) < 2 or der[0] != 0x0C:
        raise ValueError("its issuer is no UTF8String")
    size, begin = der[1], 2
    if size == 0x81 and len(der) > 2 and der[2] > 0x7F:
        size, begin = der[2], 3
    elif size == 0x82 and len(der) > 3 and der[2]:
        size, begin = der[2] << 8 | der[3], 4
    elif size > 0x7F:
        raise ValueError("its issuer is no UTF8String")
    if len(der) != begin + size:
        raise ValueError("its issuer is no UTF8String")
    return der[begin:].decode()


def is_host(patterns: Sequence[str], host: str) -> bool:
    """Whether one of a certificate's names is a host's (RFC 6125): the same, or * for its first label."""
    host = host.lower().rstrip(".")
    for pattern in patterns:
        pattern = pattern.lower().rstrip(".")
        if pattern == host:
            return True
        if pattern.startswith("*.") and "." in pattern[2:] and host.partition(".")[2] == pattern[2:]:
            return True
    return False


@dataclass(frozen=True, slots=True)
class CertificateLog:
    """A certificate transparency log: its id, key, and from when to when it is believed."""

    log_id: bytes
    key: PublicKey
    begin: datetime
    end: datetime


def require_logged(chain: Sequence[x509.Certificate], logs: Sequence[CertificateLog]) -> None:
    """One of the timestamps in a certificate is by a trusted log (RFC 6962, 3.2).

    Raises:
        NotAccepted: none is.
    """
    leaf = chain[0]
    try:
        extension = leaf.extensions.get_extension_for_class(x509.PrecertificateSignedCertificateTimestamps)
        issuer = chain[1].public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
        body = leaf.tbs_precertificate_bytes
    except (x509.ExtensionNotFound, IndexError, *_FAULTS) as error:
        raise NotAccepted("its certificate has no timestamp of a certificate log") from error
    for found in extension.value:
        at = found.timestamp.replace(tzinfo=UTC)
        entry = hashlib.sha256(issuer).digest() + len(body).to_bytes(3, "big") + body
        extensions = found.extension_bytes
        message = (
            struct.pack(">BBQH", 0, 0, _milliseconds(at), 1)
            + entry
            + len(extensions).to_bytes(2, "big")
            + extensions
        )
        for log in logs:
            known = log.log_id == found.log_id and log.begin <= at <= log.end
            fits = found.signature_algorithm in (SignatureAlgorithm.ECDSA, SignatureAlgorithm.RSA)
            if known and fits and is_signed(log.key, found.signature, message):
                return
    raise NotAccepted("no trusted certificate log has seen its certificate")


def _milliseconds(at: datetime) -> int:
    return round(at.timestamp() * 1000)
