"""Entries of a Rekor log: that they are about a signature, and the promise that one was made (SET).

Fields are compared one by one: an entry of another signature, key or content says nothing of ours.
"""

import base64
import hashlib
import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from storage.signatures.errors import NotAccepted
from storage.signatures.keys import BadKey, PublicKey, is_signed, parse_key, require_known, spki
from storage.signatures.strict import Malformed, Table, base64_bytes, document

_VALUES = 10_000
_BODY = re.compile(r"[A-Za-z0-9+/]+=*")
_LOG_ID = re.compile(r"[0-9a-f]{64}")
_LAST_S = 253_402_300_799  # the end of the year 9999


@dataclass(frozen=True, slots=True)
class Signing:
    """One act of signing, as an entry must tell it.

    ``signed`` are the bytes under the signature, ``payload`` those of a DSSE envelope in them (or None), and
    ``verifier`` is the DER of the certificate, or None where a key is known by itself.
    """

    signature: bytes
    key: PublicKey
    signed: bytes
    payload: bytes | None = None
    verifier: bytes | None = None


def instant(seconds: int) -> datetime:
    """Seconds since 1970.

    Raises:
        NotAccepted: it is no time.
    """
    if not 0 < seconds <= _LAST_S:
        raise NotAccepted("the log's time is none")
    return datetime.fromtimestamp(seconds, UTC)


def promise_text(body: str, integrated: int, index: int, log_id: str) -> bytes:
    """What a log signs to promise an entry: canonical JSON (RFC 8785).

    Raises:
        NotAccepted: a text is not of the form that needs no escapes.
    """
    if not _BODY.fullmatch(body) or not _LOG_ID.fullmatch(log_id):
        raise NotAccepted("the log's promise is malformed")
    fields = {"body": body, "integratedTime": integrated, "logID": log_id, "logIndex": index}
    return json.dumps(fields, sort_keys=True, separators=(",", ":")).encode()


def verify_promise(annotation: str, logs: Sequence[PublicKey], signing: Signing) -> datetime:
    """The time at which one of the logs promised an entry of this signature (``dev.sigstore.cosign/bundle``).

    Raises:
        NotAccepted: none did.
    """
    try:
        table = document(annotation.encode(), "the log's promise", values=_VALUES)
        promise = table.data("SignedEntryTimestamp")
        payload = table.table("Payload")
        table.end()
        body, log_id = payload.text("body"), payload.text("logID")
        integrated, index = payload.integer("integratedTime"), payload.integer("logIndex")
        payload.end()
        entry = base64_bytes(body, "the entry")
    except (Malformed, UnicodeEncodeError) as error:
        raise NotAccepted(f"invalid promise of the log: {error}") from error
    text = promise_text(body, integrated, index, log_id)
    if not any(is_signed(key, promise, text) for key in logs):
        raise NotAccepted("the log's promise is not signed by a trusted log")
    require_about(entry, signing, ("hashedrekord", "0.0.1"))
    return instant(integrated)


def require_about(entry: bytes, signing: Signing, kind: tuple[str, str] | None = None) -> None:
    """An entry's canonical body is about this act of signing.

    Raises:
        NotAccepted: it is about another, or of another ``kind``.
    """
    try:
        table = document(entry, "the log's entry", values=_VALUES)
        found = table.text("kind"), table.text("apiVersion")
        if kind is not None and found != kind:
            raise Malformed(f"kind {' '.join(found)!r} instead of {' '.join(kind)!r}")
        spec = table.table("spec")
        table.end()
        match found:
            case ("hashedrekord", "0.0.1"):
                _hashed(spec, signing)
            case ("hashedrekord", "0.0.2"):
                _hashed_v2(spec, signing)
            case ("dsse", "0.0.1"):
                _dsse(spec, signing)
            case ("intoto", "0.0.2"):
                _intoto(spec, signing)
            case _:
                raise Malformed(f"unknown kind {' '.join(found)!r}")
    except (Malformed, UnicodeEncodeError) as error:
        raise NotAccepted(f"the log's entry is not about this signature: {error}") from error


def _hashed(spec: Table, signing: Signing) -> None:
    data = spec.table("data")
    _require_hash(data.table("hash"), signing.signed)
    data.end()
    signature = spec.table("signature")
    _require_same("signature", signature.data("content"), signing.signature)
    key = signature.table("publicKey")
    _require_key(key.data("content"), signing)
    key.end()
    if "format" in signature:
        signature.take("format")
    signature.end()
    spec.end()


def _hashed_v2(spec: Table, signing: Signing) -> None:
    spec_v2 = spec.table("hashedRekordV002")
    spec.end()
    data = spec_v2.table("data")
    if (algorithm := data.text("algorithm")) != "SHA2_256":
        raise Malformed(f"a digest by {algorithm!r}")
    _require_same("digest", data.data("digest"), hashlib.sha256(signing.signed).digest())
    data.end()
    signature = spec_v2.table("signature")
    spec_v2.end()
    _require_same("signature", signature.data("content"), signing.signature)
    verifier = signature.table("verifier")
    signature.end()
    verifier.text("keyDetails")
    form = verifier.one_of(("publicKey", "x509Certificate"))
    assert form is not None
    holder = verifier.table(form)
    _require_key(holder.data("rawBytes"), signing, der=form)
    holder.end()
    verifier.end()


def _dsse(spec: Table, signing: Signing) -> None:
    if signing.payload is None:
        raise Malformed("it is about an envelope")
    _require_hash(spec.table("payloadHash"), signing.payload)
    envelope = spec.table("envelopeHash")
    envelope.text("algorithm"), envelope.text("value")
    envelope.end()
    [signature] = _one(spec.tables("signatures", 1))
    spec.end()
    _require_same("signature", signature.data("signature"), signing.signature)
    _require_key(signature.data("verifier"), signing)
    signature.end()


def _intoto(spec: Table, signing: Signing) -> None:
    if signing.payload is None:
        raise Malformed("it is about an envelope")
    content = spec.table("content")
    spec.end()
    _require_hash(content.table("payloadHash"), signing.payload)
    envelope = content.table("envelope")
    [signature] = _one(envelope.tables("signatures", 1))
    # The kind has it encoded twice.
    _require_same("signature", signature.data("sig"), base64.b64encode(signing.signature))
    _require_key(signature.data("publicKey"), signing)


def _one(tables: Sequence[Table]) -> Sequence[Table]:
    if len(tables) != 1:
        raise Malformed("not exactly one signature")
    return tables


def _require_hash(table: Table, content: bytes) -> None:
    if (algorithm := table.text("algorithm")) != "sha256":
        raise Malformed(f"a hash by {algorithm!r}")
    if table.text("value") != hashlib.sha256(content).hexdigest():
        raise Malformed("the hash is of something else")
    table.end()


def _require_same(what: str, found: bytes, expected: bytes) -> None:
    if found != expected:
        raise Malformed(f"the {what} is another")


def _require_key(data: bytes, signing: Signing, der: str = "") -> None:
    """The key or certificate of an entry (PEM, or the DER of one of the two) is the one in use."""
    try:
        if der == "x509Certificate" or b"-----BEGIN CERTIFICATE-----" in data[:200]:
            found = x509.load_der_x509_certificate(data) if der else x509.load_pem_x509_certificate(data)
            if signing.verifier is None:
                raise Malformed("it names a certificate, and the signature is by a key")
            _require_same("certificate", found.public_bytes(Encoding.DER), signing.verifier)
            _require_same("key", spki(require_known(found.public_key())), spki(signing.key))
            return
        if signing.verifier is not None:
            raise Malformed("it names a key, and the signature is by a certificate")
        _require_same("key", spki(parse_key(data)), spki(signing.key))
    except Malformed:
        raise
    except (BadKey, ValueError) as error:
        raise Malformed(f"its key: {error}") from error
