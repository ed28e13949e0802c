"""Sigstore bundles (sigstore_bundle.proto, version 0.3) as cosign 3 attaches them: a signed statement.

    verificationMaterial   a certificate or the hint of a key; entries of logs; timestamps
    dsseEnvelope           an in-toto statement about the digest of a manifest, and its signature

A bundle of another statement than the one that is wanted, such as how an image was built, says nothing about
whether to run it. Signatures of bare bytes are none of images. Order as in sigstore's client specification:
times, chain at each of them, certificate log, names, transparency log, signature, digest.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial

from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509 import Certificate

from storage.digest import Digest
from storage.signatures.certificates import chain_of, key_of, names_of, parse_der, require_logged
from storage.signatures.errors import NotAccepted
from storage.signatures.evidence import Bundle
from storage.signatures.keys import PublicKey, is_signed, trusted_keys
from storage.signatures.rekor import Signing, instant, promise_text, require_about
from storage.signatures.requirements import BundleSigned, Claim, Material
from storage.signatures.strict import Malformed, Table, document
from storage.signatures.timestamps import time_of
from storage.signatures.transparency import leaf_hash, root_of, verified_head
from storage.signatures.trusted_root import Log, TrustedRoot

_MEDIA_TYPES = frozenset(
    {"application/vnd.dev.sigstore.bundle.v0.3+json", "application/vnd.dev.sigstore.bundle+json;version=0.3"}
)
_STATEMENT = "application/vnd.in-toto+json"
_STATEMENT_TYPE = "https://in-toto.io/Statement/v1"
_STATEMENT_TYPE_OLD = "https://in-toto.io/Statement/v0.1"
_VALUES = 100_000
_ENTRIES = 32
_SUBJECTS = 1000


@dataclass(frozen=True, slots=True)
class Entry:
    """What a log has of a signature, and its proofs; ``integrated_s`` counts only with a ``promise``."""

    log_id: bytes
    kind: tuple[str, str]
    body: bytes
    body_text: str
    index: int
    integrated_s: int
    promise: bytes
    proof_index: int
    tree_size: int
    root: bytes
    path: tuple[bytes, ...]
    checkpoint: str


@dataclass(frozen=True, slots=True)
class Parsed:
    """A bundle of a version 0.3."""

    certificate: Certificate | None
    entries: tuple[Entry, ...]
    timestamps: tuple[bytes, ...]
    payload: bytes
    payload_type: str
    signature: bytes

    @property
    def signed(self) -> bytes:
        """The bytes under the signature: DSSE's encoding that binds the type (PAE)."""
        kind = self.payload_type.encode()
        return b"DSSEv1 %d %s %d %s" % (len(kind), kind, len(self.payload), self.payload)


def parse_bundle(data: bytes) -> Parsed:
    """Read a bundle.

    Raises:
        NotAccepted: it is none, of another version, or of another form.
    """
    try:
        table = document(data, "the bundle", values=_VALUES)
        if (media_type := table.text("mediaType")) not in _MEDIA_TYPES:
            raise Malformed(f"mediaType {media_type[:100]!r} is not that of a bundle of version 0.3")
        material = table.table("verificationMaterial")
        if table.one_of(("dsseEnvelope", "messageSignature")) == "messageSignature":
            raise Malformed("it is of bare bytes, and no statement about an image")
        envelope = table.table("dsseEnvelope")
        table.end()
        return _parsed(material, envelope)
    except (Malformed, UnicodeEncodeError) as error:
        raise NotAccepted(f"invalid bundle: {error}") from error


def _parsed(material: Table, envelope: Table) -> Parsed:
    form = material.one_of(("certificate", "publicKey", "x509CertificateChain"))
    if form == "x509CertificateChain":
        raise Malformed("a chain of certificates, which version 0.3 has not")
    certificate = parse_der(material.table("certificate").data("rawBytes")) if form == "certificate" else None
    entries = tuple(_entry(each) for each in material.tables("tlogEntries", _ENTRIES))
    timestamps: tuple[bytes, ...] = ()
    if "timestampVerificationData" in material:
        stamps = material.table("timestampVerificationData").tables("rfc3161Timestamps", _ENTRIES)
        timestamps = tuple(each.data("signedTimestamp") for each in stamps)
    if len(set(timestamps)) != len(timestamps) or len({each.body for each in entries}) != len(entries):
        raise Malformed("the same entry or timestamp twice")
    signatures = envelope.tables("signatures", _ENTRIES)
    if len(signatures) != 1:
        raise Malformed("not exactly one signature in its envelope")
    payload, payload_type = envelope.data("payload"), envelope.text("payloadType")
    return Parsed(certificate, entries, timestamps, payload, payload_type, signatures[0].data("sig"))


def _entry(table: Table) -> Entry:
    kind = table.table("kindVersion")
    proof = table.table("inclusionProof")
    promise = (
        table.table("inclusionPromise").data("signedEntryTimestamp") if "inclusionPromise" in table else b""
    )
    body_text = table.text("canonicalizedBody")
    return Entry(
        log_id=table.table("logId").data("keyId"),
        kind=(kind.text("kind"), kind.text("version")),
        body=Table({"body": body_text}, table.what).data("body"),
        body_text=body_text,
        index=table.integer("logIndex") if "logIndex" in table else 0,  # protojson leaves zeros out
        integrated_s=table.integer("integratedTime") if "integratedTime" in table else 0,
        promise=promise,
        proof_index=proof.integer("logIndex") if "logIndex" in proof else 0,
        tree_size=proof.integer("treeSize"),
        root=proof.data("rootHash"),
        path=proof.datas("hashes") if proof.has_items("hashes") else (),
        checkpoint=proof.table("checkpoint").text("envelope"),
    )


@dataclass(frozen=True, slots=True)
class Trust:
    """What a requirement trusts, read and parsed once for all bundles."""

    wanted: BundleSigned
    keys: tuple[PublicKey, ...]
    root: TrustedRoot

    @classmethod
    def read(cls, wanted: BundleSigned) -> "Trust":
        """Blocking.

        Raises:
            TrustUnavailable: a file cannot be read, or has not what it should.
        """
        keys = trusted_keys(wanted.signer.read()) if isinstance(wanted.signer, Material) else []
        root = TrustedRoot()
        if wanted.trusted_root is not None:
            [(source, data)] = wanted.trusted_root.read()
            root = TrustedRoot.parse(data, source)
        return cls(wanted, tuple(keys), root)

    def verify(self, bundle: Bundle, manifest: bytes) -> None:
        """Return when the bundle satisfies the requirement.

        Raises:
            NotAccepted: it does not, and why.
        """
        parsed = parse_bundle(bundle.data)
        if isinstance(self.wanted.signer, Claim):
            signing = self._by_certificate(parsed, self.wanted.signer)
        else:
            signing = self._by_key(parsed)
        if self.wanted.log:
            self._require_entry(parsed, signing)
        self._require_own_promises(parsed, signing)
        if parsed.payload_type != _STATEMENT:
            raise NotAccepted(f"a bundle of {parsed.payload_type[:100]!r}, which is no statement")
        _require_about(parsed.payload, self.wanted.predicate, manifest)

    def _by_key(self, parsed: Parsed) -> Signing:
        if parsed.certificate is not None:
            raise NotAccepted("it is by a certificate, and keys are trusted")
        key = next((key for key in self.keys if is_signed(key, parsed.signature, parsed.signed)), None)
        if key is None:
            raise NotAccepted("invalid signature: it is by none of the trusted keys")
        return Signing(parsed.signature, key, parsed.signed, parsed.payload)

    def _by_certificate(self, parsed: Parsed, wanted: Claim) -> Signing:
        leaf = parsed.certificate
        if leaf is None:
            raise NotAccepted("it is by a key, and certificates are trusted")
        key = key_of(leaf)
        signing = Signing(
            parsed.signature, key, parsed.signed, parsed.payload, verifier=leaf.public_bytes(Encoding.DER)
        )
        times, reason = self._times(parsed)
        if not times:
            raise NotAccepted(reason or "no trusted log or clock says when its certificate was used")
        chain, *_ = [self._chain(leaf, at) for at in times]
        if self.wanted.certificate_log:
            require_logged(chain, self.root.certificate_logs)
        _require_named(leaf, wanted)
        if not is_signed(key, parsed.signature, parsed.signed):
            raise NotAccepted("invalid signature: it is not by the key of its certificate")
        return signing

    def _chain(self, leaf: Certificate, at: datetime) -> list[Certificate]:
        reasons = []
        for authority in self.root.authorities:
            if authority.begin <= at <= authority.end:
                try:
                    return chain_of(leaf, authority.roots, at)
                except NotAccepted as error:
                    reasons.append(str(error))
        raise NotAccepted(reasons[-1] if reasons else f"no authority is trusted at {at:%Y-%m-%dT%H:%M:%SZ}")

    def _times(self, parsed: Parsed) -> tuple[list[datetime], str]:
        """All times that are verified, and what is wrong with one that is not."""
        times: list[datetime] = []
        reason = ""
        claims = [partial(time_of, token, parsed.signature, self.root.clocks) for token in parsed.timestamps]
        for entry in parsed.entries:
            if entry.promise and (log := self._log(entry)) is not None:
                claims.append(partial(_promised, entry, log))
        for claim in claims:
            try:
                times.append(claim())
            except NotAccepted as error:
                reason = str(error)
        return times, reason

    def _require_own_promises(self, parsed: Parsed, signing: Signing) -> None:
        """Every entry by whose promise a time was told is about this signature.

        Else the entry of anybody, made while a certificate held, would date what its key signs years later.
        """
        for entry in parsed.entries:
            if entry.promise and self._log(entry) is not None:
                require_about(entry.body, signing, entry.kind)

    def _log(self, entry: Entry) -> Log | None:
        return next((log for log in self.root.logs if log.log_id == entry.log_id), None)

    def _require_entry(self, parsed: Parsed, signing: Signing) -> None:
        """One entry is in a trusted log, and about this signature."""
        reason = "it has no entry of a transparency log"
        times = self._times(parsed)[0] or [datetime.now(UTC)]
        for entry in parsed.entries:
            log = self._log(entry)
            try:
                if log is None:
                    raise NotAccepted("its entry is in a log that is not trusted")
                if not all(log.begin <= at <= log.end for at in times):
                    raise NotAccepted("its entry is in a log that was not trusted at its time")
                _require_included(entry, log)
                require_about(entry.body, signing, entry.kind)
                return
            except NotAccepted as error:
                reason = str(error)
        raise NotAccepted(reason)


def _promised(entry: Entry, log: Log) -> datetime:
    text = promise_text(entry.body_text, entry.integrated_s, entry.index, entry.log_id.hex())
    if not is_signed(log.key, entry.promise, text):
        raise NotAccepted("the log's promise is not signed by it")
    return instant(entry.integrated_s)


def _require_included(entry: Entry, log: Log) -> None:
    root = root_of(leaf_hash(entry.body), entry.proof_index, entry.tree_size, entry.path)
    head = verified_head(entry.checkpoint, log.key)
    if not root == entry.root == head.root or head.size != entry.tree_size:
        raise NotAccepted("its entry is not in the log's tree")
    if entry.promise:
        _promised(entry, log)


def _require_named(leaf: Certificate, wanted: Claim) -> None:
    names = names_of(leaf)
    if names.issuer != wanted.issuer:
        raise NotAccepted(f"its certificate is of the issuer {names.issuer[:200]!r}, not {wanted.issuer!r}")
    found: Sequence[str] = names.emails if wanted.kind == "subjectEmail" else names.uris
    if wanted.kind == "subjectURIPrefix":
        fits = any(name.startswith(wanted.subject) for name in found)
    else:
        fits = wanted.subject in found
    if not fits:
        raise NotAccepted(f"its certificate names {', '.join(found)[:200]!r}, not {wanted.subject!r}")


def _require_about(payload: bytes, predicate: str, manifest: bytes) -> None:
    """A statement of the wanted kind has the manifest's digest among its subjects."""
    try:
        table = document(payload, "the statement", values=_VALUES)
        if (kind := table.text("_type")) not in (_STATEMENT_TYPE, _STATEMENT_TYPE_OLD):
            raise Malformed(f"type {kind[:100]!r}")
        if (found := table.text("predicateType")) != predicate:
            raise NotAccepted(f"a statement of {found[:200]!r}, not {predicate!r}")
        digests = [each.table("digest") for each in table.tables("subject", _SUBJECTS)]
        about = [each.text("sha256") for each in digests if "sha256" in each]
    except (Malformed, UnicodeEncodeError) as error:
        raise NotAccepted(f"invalid statement: {error}") from error
    expected = Digest.of(manifest).hex
    if expected not in about:
        shown = about[0][:64] if about else "no digest"
        raise NotAccepted(f"signature for digest sha256:{shown} does not match")
