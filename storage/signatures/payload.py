"""The payload of simple signing and of sigstore attachments (containers-signature(5)).

It binds a name to the digest of a manifest. It is read only after its signature was verified, and strictly:
what readers may understand in two ways says nothing.
"""

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from storage.reference import Reference
from storage.signatures.errors import NotAccepted
from storage.signatures.identities import Identity
from storage.signatures.strict import Malformed, Table, document

SIMPLE_TYPE = "atomic container signature"
SIGSTORE_TYPE = "cosign container image signature"
_VALUES = 10_000
_HASHES: Mapping[str, Callable[[bytes], Any]] = {
    "sha256": hashlib.sha256,
    "sha384": hashlib.sha384,
    "sha512": hashlib.sha512,
}


@dataclass(frozen=True, slots=True)
class Payload:
    """What was signed: the name and the digest of a manifest."""

    name: str
    digest: str


def parse_payload(data: bytes, kind: str) -> Payload:
    """Read a payload of one of the two types.

    Raises:
        NotAccepted: it has another form, or is of another type.
    """
    try:
        return _parse(data, kind)
    except Malformed as error:
        raise NotAccepted(f"invalid signature payload: {error}") from error


def _parse(data: bytes, kind: str) -> Payload:
    table = document(data, "the payload", values=_VALUES)
    critical = table.table("critical")
    optional = table.take("optional")
    table.end()
    if not (optional is None and kind == SIGSTORE_TYPE):
        _check_optional(Table(optional, "optional"))
    if (found := critical.text("type")) != kind:
        raise Malformed(f"type {found!r} instead of {kind!r}")
    image = critical.table("image")
    digest = image.text("docker-manifest-digest")
    image.end()
    identity = critical.table("identity")
    name = identity.text("docker-reference")
    identity.end()
    critical.end()
    return Payload(name, digest)


def _check_optional(table: Table) -> None:
    if "creator" in table:
        table.text("creator")
    if "timestamp" in table:
        value = table.take("timestamp")
        if isinstance(value, bool) or not isinstance(value, int | float) or value != value // 1:
            raise Malformed("optional: timestamp is no whole number")


def require_bound(payload: Payload, manifest: bytes, identity: Identity, asked: Reference) -> None:
    """A payload is about this manifest, under a name that the rule accepts for what was asked for.

    Raises:
        NotAccepted: saying which of the two does not fit.
    """
    algorithm, _, expected = payload.digest.partition(":")
    hashing = _HASHES.get(algorithm)
    if hashing is None or hashing(manifest).hexdigest() != expected:
        raise NotAccepted(f"signature for digest {payload.digest[:140]} does not match")
    if not identity.accepts(payload.name, asked):
        raise NotAccepted(f"signature for identity {payload.name[:300]!r} is not accepted ({identity})")
