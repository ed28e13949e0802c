"""storage/signatures/attachments: sigstore attachments, and each part of them tampered with."""

import json
from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from cryptography.hazmat.primitives import serialization

from storage.reference import Reference
from storage.signatures.attachments import CERTIFICATE, CHAIN, PROMISE, SIGNATURE, Trust
from storage.signatures.errors import NotAccepted, TrustUnavailable
from storage.signatures.evidence import Attachment
from storage.signatures.identities import MatchRepository
from storage.signatures.requirements import Fulcio, Material, Pki, SigstoreSigned
from tests.harness.sigstore import (
    EMAIL,
    ISSUER,
    Authority,
    Leaf,
    Log,
    Sigstore,
    changed,
    flipped,
    new_key,
    payload,
    pem,
)

NAME = "registry.example.test/team/app:v1"
ASKED = Reference.parse(NAME)
MANIFEST = b'{"schemaVersion":2}'
SIGSTORE = Sigstore()
PEM = serialization.Encoding.PEM
ROOTS = Material(data=(SIGSTORE.fulcio.root.public_bytes(PEM),))
REKOR = Material(data=(pem(new_key()), pem(SIGSTORE.rekor.key)))
KEYS = SigstoreSigned(Material(data=(pem(new_key()), pem(SIGSTORE.key))))
LOGGED = replace(KEYS, rekor=REKOR)
FULCIO = SigstoreSigned(Fulcio(ROOTS, ISSUER, EMAIL), REKOR)
BETWEEN = Material(data=(SIGSTORE.fulcio.certificate.public_bytes(PEM),))
PKI = SigstoreSigned(Pki(ROOTS, BETWEEN, EMAIL, ""))
HOST = SigstoreSigned(Pki(ROOTS, Material(), "", "build.example.test"))
LONG = Leaf(host="*.example.test", life=timedelta(days=30))

BODY = json.dumps(payload(NAME, MANIFEST)).encode()
BY_KEY = SIGSTORE.attachment(BODY)
BY_KEY_LOGGED = {**BY_KEY, PROMISE: SIGSTORE.promised(BODY, BY_KEY, pem(SIGSTORE.key), datetime.now(UTC))}
KEYLESS = SIGSTORE.keyless(BODY)
FOR_LONG = SIGSTORE.keyless(BODY, LONG)


def verify(wanted: SigstoreSigned, annotations: Mapping[str, str], body: bytes = BODY) -> None:
    Trust.read(wanted).verify(Attachment(body, annotations), MANIFEST, ASKED)


@pytest.mark.parametrize(
    ("wanted", "annotations"),
    [(KEYS, BY_KEY), (KEYS, BY_KEY_LOGGED), (LOGGED, BY_KEY_LOGGED), (FULCIO, KEYLESS), (PKI, FOR_LONG), (HOST, FOR_LONG)],
)  # fmt: skip
def test_an_attachment_is_accepted(wanted: SigstoreSigned, annotations: Mapping[str, str]) -> None:
    verify(wanted, annotations)


def _signed(document: object) -> tuple[dict[str, str], bytes]:
    body = document if isinstance(document, bytes) else json.dumps(document).encode()
    return SIGSTORE.attachment(body), body


def _without(annotations: Mapping[str, str], name: str) -> dict[str, str]:
    return {key: value for key, value in annotations.items() if key != name}


def _promise(annotations: Mapping[str, str], *way: str, value: Any) -> dict[str, str]:
    return {**annotations, PROMISE: json.dumps(changed(json.loads(annotations[PROMISE]), way, value))}


_FLIPPED = {**BY_KEY, SIGNATURE: flipped(BY_KEY[SIGNATURE])}
_MALLORY = SIGSTORE.keyless(BODY, Leaf(email="mallory@example.test"))
_OTHER_BODY = json.dumps(payload("registry.example.test/team/other:v1", MANIFEST)).encode()
_DOUBLED = BODY.replace(b'"type":', b'"type": "x", "type":')
_ENTRY_OF_OTHER = SIGSTORE.promised(
    _OTHER_BODY, SIGSTORE.attachment(_OTHER_BODY), pem(SIGSTORE.key), datetime.now(UTC)
)
TAMPERED: list[tuple[str, SigstoreSigned, Mapping[str, str], bytes, str]] = [
    ("payload", KEYS, BY_KEY, BODY + b" ", "by none of the trusted keys"),
    ("payload", FULCIO, KEYLESS, BODY + b" ", "hash is of something else"),
    ("payload of another type", KEYS,
     *_signed(payload(NAME, MANIFEST, "atomic container signature")), "'atomic container signature' instead of"),
    ("payload with a name twice", KEYS, *_signed(_DOUBLED), "twice"),
    ("payload with an unknown key", KEYS, *_signed({**payload(NAME, MANIFEST), "more": 1}), "unknown key"),
    ("payload without optional", KEYS, *_signed({"critical": payload(NAME, MANIFEST)["critical"]}), "no 'optional'"),
    ("huge payload", KEYS, *_signed(b"[" + b"1," * 20_000 + b"1]"), "more than 10000 values"),
    ("signature", KEYS, _FLIPPED, BODY, "by none of the trusted keys"),
    ("signature missing", KEYS, {}, BODY, "has no annotation"),
    ("signature no base64", KEYS, {SIGNATURE: "?"}, BODY, "not base64"),
    ("key", replace(KEYS, signer=Material(data=(pem(new_key()),))), BY_KEY, BODY, "by none of the trusted keys"),
    ("certificate missing", FULCIO, BY_KEY_LOGGED, BODY, "has no annotation dev.sigstore.cosign/certificate"),
    ("certificate of another", FULCIO, {**KEYLESS, CERTIFICATE: _MALLORY[CERTIFICATE]}, BODY, "certificate is another"),
    ("certificate malformed", FULCIO, {**KEYLESS, CERTIFICATE: "x"}, BODY, "invalid certificate"),
    ("two certificates", FULCIO, {**KEYLESS, CERTIFICATE: KEYLESS[CERTIFICATE] * 2}, BODY, "not exactly one"),
    ("chain missing", FULCIO, _without(KEYLESS, CHAIN), BODY, "not trusted at"),
    ("roots of another", replace(FULCIO, signer=Fulcio(
        Material(data=(Authority.make().root.public_bytes(PEM),)), ISSUER, EMAIL)), KEYLESS, BODY, "not trusted at"),
    ("time after the certificate", FULCIO, SIGSTORE.keyless(BODY, at=SIGSTORE.now), BODY, "not trusted at"),
    ("time before it", FULCIO, SIGSTORE.keyless(BODY, at=SIGSTORE.now - timedelta(days=3)), BODY, "not trusted at"),
    ("time changed", FULCIO,
     _promise(KEYLESS, "Payload", "integratedTime", value=1_700_000_000), BODY, "not signed by a trusted log"),
    ("expired", PKI, KEYLESS, BODY, "not trusted at"),
    ("promise missing", FULCIO, _without(KEYLESS, PROMISE), BODY, "has no annotation dev.sigstore.cosign/bundle"),
    ("promise missing", LOGGED, BY_KEY, BODY, "has no annotation dev.sigstore.cosign/bundle"),
    ("promise of an unknown log", LOGGED, {**BY_KEY, PROMISE: SIGSTORE.promised(
        BODY, BY_KEY, pem(SIGSTORE.key), datetime.now(UTC), Log(new_key()))}, BODY, "not signed by a trusted log"),
    ("entry of another", LOGGED, {**BY_KEY, PROMISE: _ENTRY_OF_OTHER}, BODY, "hash is of something else"),
    ("entry's key", LOGGED, {**BY_KEY, PROMISE: SIGSTORE.promised(
        BODY, BY_KEY, pem(new_key()), datetime.now(UTC))}, BODY, "key is another"),
    ("promise with more", LOGGED,
     {**BY_KEY, PROMISE: json.dumps({**json.loads(BY_KEY_LOGGED[PROMISE]), "more": 1})}, BODY, "unknown key"),
    ("email", FULCIO, _MALLORY, BODY, "mallory@example.test"),
    ("issuer", FULCIO, SIGSTORE.keyless(BODY, Leaf(issuer="https://elsewhere.test")), BODY, "of the issuer"),
    ("host", replace(HOST, signer=Pki(ROOTS, Material(), "", "a.b.example.test")), FOR_LONG, BODY, "names the hosts"),
    ("identity", KEYS, *_signed(payload("registry.example.test/team/app:v2", MANIFEST)), "is not accepted"),
    ("identity without tag", KEYS, *_signed(payload("registry.example.test/team/app", MANIFEST)), "is not accepted"),
    ("digest", KEYS, *_signed(payload(NAME, b"another")), "does not match"),
    ("digest of another kind", KEYS, *_signed(changed(
        payload(NAME, MANIFEST), ("critical", "image", "docker-manifest-digest"), "md5:0")), "does not match"),
]  # fmt: skip


@pytest.mark.parametrize(
    ("wanted", "annotations", "body", "reason"),
    [row[1:] for row in TAMPERED],
    ids=[row[0] for row in TAMPERED],
)
def test_an_attachment_that_was_tampered_with_is_refused(
    wanted: SigstoreSigned, annotations: Mapping[str, str], body: bytes, reason: str
) -> None:
    with pytest.raises(NotAccepted, match=reason):
        verify(wanted, annotations, body)


def test_a_name_without_a_tag_is_enough_for_a_repository() -> None:
    """As cosign writes it."""
    verify(
        replace(KEYS, identity=MatchRepository()),
        *_signed(payload("registry.example.test/team/app", MANIFEST)),
    )


@pytest.mark.parametrize("data", [b"", b"no key", SIGSTORE.fulcio.root.public_bytes(PEM)])
def test_a_key_that_cannot_be_read_is_no_verdict(data: bytes) -> None:
    for wanted in (
        SigstoreSigned(Material(data=(data,))),
        SigstoreSigned(Material(data=(pem(SIGSTORE.key), data))),
        replace(LOGGED, rekor=Material(data=(data,))),
    ):
        with pytest.raises(TrustUnavailable, match="data in the policy: no public key"):
            verify(wanted, BY_KEY_LOGGED)


def test_a_rekor_log_signs_by_ecdsa() -> None:
    wanted = replace(LOGGED, rekor=Material(data=(pem(SIGSTORE.rekor_v2.key),)))
    with pytest.raises(TrustUnavailable, match="must be ECDSA"):
        verify(wanted, BY_KEY_LOGGED)
