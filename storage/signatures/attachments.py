"""Sigstore attachments, the form before bundles: a payload, and annotations with signature and certificate.

First the signature, then the digest, then the name. Certificates of a Fulcio live for minutes: what says when
one was used is a promise of a Rekor log.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from storage.reference import Reference
from storage.signatures.certificates import (
    Roots,
    chain_of,
    is_host,
    key_of,
    names_of,
    parse_pem,
    trusted_certificates,
)
from storage.signatures.errors import NotAccepted
from storage.signatures.evidence import Attachment
from storage.signatures.keys import PublicKey, is_signed, trusted_keys
from storage.signatures.payload import SIGSTORE_TYPE, parse_payload, require_bound
from storage.signatures.rekor import Signing, verify_promise
from storage.signatures.requirements import Fulcio, Material, Pki, SigstoreSigned
from storage.signatures.strict import Malformed, base64_bytes

SIGNATURE = "dev.cosignproject.cosign/signature"
CERTIFICATE = "dev.sigstore.cosign/certificate"
CHAIN = "dev.sigstore.cosign/chain"
PROMISE = "dev.sigstore.cosign/bundle"


@dataclass(frozen=True, slots=True)
class Trust:
    """What a requirement trusts, read and parsed once for all signatures."""

    wanted: SigstoreSigned
    keys: tuple[PublicKey, ...]
    roots: Roots
    logs: tuple[PublicKey, ...]

    @classmethod
    def read(cls, wanted: SigstoreSigned) -> "Trust":
        """Blocking.

        Raises:
            TrustUnavailable: a file cannot be read, or has not what it should.
        """
        signer = wanted.signer
        keys: list[PublicKey] = []
        roots = Roots(())
        if isinstance(signer, Material):
            keys = trusted_keys(signer.read())
        elif isinstance(signer, Fulcio):
            roots = Roots(trusted_certificates(signer.roots.read()))
        else:
            between = trusted_certificates(signer.intermediates.read())
            roots = Roots(trusted_certificates(signer.roots.read()), between)
        logs = trusted_keys(wanted.rekor.read(), ecdsa_only=True) if wanted.rekor else []
        return cls(wanted, tuple(keys), roots, tuple(logs))

    def verify(self, signature: Attachment, manifest: bytes, asked: Reference) -> None:
        """Return when the signature satisfies the requirement.

        Raises:
            NotAccepted: it does not, and why.
        """
        made = _signature(signature)
        match self.wanted.signer:
            case Fulcio() as fulcio:
                self._by_fulcio(signature, made, fulcio)
            case Pki() as pki:
                self._by_pki(signature, made, pki)
            case _:
                self._by_keys(signature, made)
        require_bound(parse_payload(signature.payload, SIGSTORE_TYPE), manifest, self.wanted.identity, asked)

    def _by_keys(self, signature: Attachment, made: bytes) -> None:
        key = next((key for key in self.keys if is_signed(key, made, signature.payload)), None)
        if key is None:
            raise NotAccepted("invalid signature: it is by none of the trusted keys")
        if self.wanted.rekor is not None:
            verify_promise(_annotation(signature, PROMISE), self.logs, Signing(made, key, signature.payload))

    def _by_fulcio(self, signature: Attachment, made: bytes, wanted: Fulcio) -> None:
        leaf, between = _certificates(signature)
        key = key_of(leaf)
        signing = Signing(made, key, signature.payload, verifier=leaf.public_bytes(Encoding.DER))
        at = verify_promise(_annotation(signature, PROMISE), self.logs, signing)
        chain_of(leaf, self.roots, at, between)
        names = names_of(leaf)
        if names.issuer != wanted.issuer:
            raise NotAccepted(
                f"its certificate is of the issuer {names.issuer[:200]!r}, not {wanted.issuer!r}"
            )
        _require_email(names.emails, wanted.email)
        _require_signed(key, made, signature.payload)

    def _by_pki(self, signature: Attachment, made: bytes, wanted: Pki) -> None:
        leaf, between = _certificates(signature)
        key = key_of(leaf)
        chain_of(leaf, self.roots, datetime.now(UTC), () if self.roots.intermediates else between)
        names = names_of(leaf)
        if wanted.email:
            _require_email(names.emails, wanted.email)
        if wanted.hostname and not is_host(names.hosts, wanted.hostname):
            raise NotAccepted(
                f"its certificate names the hosts {_listed(names.hosts)}, not {wanted.hostname}"
            )
        _require_signed(key, made, signature.payload)


def _require_email(found: Sequence[str], wanted: str) -> None:
    if wanted not in found:
        raise NotAccepted(f"its certificate names the emails {_listed(found)}, not {wanted}")


def _listed(names: Sequence[str]) -> str:
    return repr(", ".join(names)[:200])


def _require_signed(key: PublicKey, made: bytes, payload: bytes) -> None:
    if not is_signed(key, made, payload):
        raise NotAccepted("invalid signature: it is not by the key of its certificate")


def _annotation(signature: Attachment, name: str) -> str:
    try:
        return signature.annotations[name]
    except KeyError:
        raise NotAccepted(f"invalid signature: it has no annotation {name}") from None


def _signature(signature: Attachment) -> bytes:
    try:
        return base64_bytes(_annotation(signature, SIGNATURE), SIGNATURE)
    except Malformed as error:
        raise NotAccepted(f"invalid signature: {error}") from error


def _certificates(signature: Attachment) -> tuple[x509.Certificate, list[x509.Certificate]]:
    """The leaf, and what stands between it and a root: the last one of the chain, which is not taken."""
    found = parse_pem(_annotation(signature, CERTIFICATE).encode("utf-8", "replace"))
    if len(found) != 1:
        raise NotAccepted("invalid signature: not exactly one certificate")
    chain = signature.annotations.get(CHAIN, "")
    return found[0], parse_pem(chain.encode("utf-8", "replace"))[:-1] if chain else []
