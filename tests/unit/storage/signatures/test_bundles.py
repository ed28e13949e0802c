"""storage/signatures/bundles: bundles of every kind that is accepted, and each part of them tampered with."""

import base64
import json
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from cryptography.x509.oid import ExtendedKeyUsageOID

from storage.signatures.bundles import Trust
from storage.signatures.errors import NotAccepted, TrustUnavailable
from storage.signatures.evidence import Bundle
from storage.signatures.requirements import BundleSigned, Claim, Material
from tests.harness.sigstore import (
    EMAIL,
    ISSUER,
    URI,
    Ask,
    Authority,
    Leaf,
    Log,
    Sigstore,
    at,
    b64,
    changed,
    flipped,
    new_key,
    pem,
)

MANIFEST = b'{"schemaVersion":2}'
SIGSTORE = Sigstore()
ROOT = Material(data=(json.dumps(SIGSTORE.trusted_root()).encode(),))
KEYS = Material(data=(pem(new_key()), pem(SIGSTORE.key)))
BY_KEY = BundleSigned(KEYS, None, log=False, certificate_log=False)
BY_KEY_IN_LOG = BundleSigned(KEYS, ROOT, certificate_log=False)
BY_EMAIL = BundleSigned(Claim(ISSUER, "subjectEmail", EMAIL), ROOT)
FLOW = Leaf(email="", uri=URI)
YOUNG = Leaf(begin=datetime.now(UTC).replace(microsecond=0) - timedelta(minutes=1))
WITHOUT_LOG = replace(BY_EMAIL, certificate_log=False)


def verify(wanted: BundleSigned, bundle: Any, manifest: bytes = MANIFEST) -> None:
    data = bundle if isinstance(bundle, bytes) else json.dumps(bundle).encode()
    Trust.read(wanted).verify(Bundle(data), manifest)


@pytest.mark.parametrize(
    ("wanted", "ask"),
    [
        (BY_KEY, Ask(logs=())),
        (BY_KEY, Ask(logs=(1, 2))),
        (BY_KEY_IN_LOG, Ask(logs=(1,))),
        (BY_KEY_IN_LOG, Ask(logs=(2,))),
        (BY_EMAIL, Ask(leaf=Leaf(), logs=(1,))),
        (BY_EMAIL, Ask(leaf=YOUNG, logs=(2,), stamped=True)),
        (BY_EMAIL, Ask(leaf=YOUNG, logs=(1, 2), stamped=True)),
        (replace(BY_EMAIL, log=False), Ask(leaf=YOUNG, logs=(), stamped=True)),
        (replace(BY_EMAIL, signer=Claim(ISSUER, "subjectURI", URI)), Ask(leaf=FLOW)),
        (
            replace(BY_EMAIL, signer=Claim(ISSUER, "subjectURIPrefix", URI.partition(".workflows")[0])),
            Ask(leaf=FLOW),
        ),
        (replace(BY_KEY, predicate="https://slsa.dev/provenance/v1"), Ask(predicate="https://slsa.dev/provenance/v1")),
    ],
)  # fmt: skip
def test_a_bundle_is_accepted(wanted: BundleSigned, ask: Ask) -> None:
    verify(wanted, SIGSTORE.bundle(MANIFEST, ask))


_V1 = SIGSTORE.bundle(MANIFEST, Ask(leaf=Leaf(), logs=(1,)))
_V2 = SIGSTORE.bundle(MANIFEST, Ask(leaf=YOUNG, logs=(2,), stamped=True))
_KEY = SIGSTORE.bundle(MANIFEST, Ask(logs=(1,)))
_KEY_2 = SIGSTORE.bundle(MANIFEST, Ask(logs=(2,)))
_OTHER = SIGSTORE.bundle(b"another manifest", Ask(logs=(1,)))
_OTHER_LEAF = SIGSTORE.bundle(MANIFEST, Ask(leaf=Leaf(email="mallory@example.test"), logs=(1,)))
_ENTRY = ("verificationMaterial", "tlogEntries", 0)
_PROOF = (*_ENTRY, "inclusionProof")
_SIGNATURE = ("dsseEnvelope", "signatures", 0, "sig")
_STAMP = ("verificationMaterial", "timestampVerificationData", "rfc3161Timestamps", 0, "signedTimestamp")


def _flipped(bundle: Any, *way: str | int) -> Any:
    return changed(bundle, way, flipped(at(bundle, way)))


def _without(bundle: Any, *way: str | int) -> Any:
    inner = {key: value for key, value in at(bundle, way[:-1]).items() if key != way[-1]}
    return changed(bundle, way[:-1], inner)


def _from(bundle: Any, other: Any, *way: str | int) -> Any:
    return changed(bundle, way, at(other, way))


def _reencoded(bundle: Any, change: Callable[[Any], Any], *way: str | int) -> Any:
    document = json.loads(base64.b64decode(at(bundle, way)))
    return changed(bundle, way, b64(json.dumps(change(document)).encode()))


def _logged_by(log: Log, bundle: Any) -> Any:
    """The entry in another log, which signs what it likes."""
    body = base64.b64decode(at(bundle, (*_ENTRY, "canonicalizedBody")))
    entry = log.entry(
        "dsse", "0.0.1", body, datetime.now(UTC) - timedelta(days=1) + timedelta(minutes=5), promise=True
    )
    return changed(bundle, _ENTRY, entry)


def _impostor(bundle: Any) -> Any:
    """A log of another key, under the id of the trusted one."""
    found = _logged_by(Log(new_key()), bundle)
    return _from(found, bundle, *_ENTRY, "logId", "keyId")


def _in_place(document: Any) -> Any:
    """A proof for the entry in a tree of its own, with the head of the log's."""
    return changed(document, (*_PROOF, "hashes"), [])


def _dated_by(bundle: Any, other: Any) -> Any:
    """The entry of a bundle without its promise, and beside it one of another signature that has a promise."""
    own = _without(bundle, *_ENTRY, "inclusionPromise")
    return changed(own, _ENTRY[:2], [at(own, _ENTRY), at(other, _ENTRY)])


def _of_no_version(bundle: Any) -> Any:
    way = ("verificationMaterial", "certificate", "rawBytes")
    return changed(
        bundle, way, b64(base64.b64decode(at(bundle, way)).replace(b"\xa0\3\2\1\2", b"\xa0\3\2\1\x63", 1))
    )


def _twice(bundle: Any) -> bytes:
    text = json.dumps(bundle)
    return text.replace('"dsseEnvelope":', '"dsseEnvelope": {}, "dsseEnvelope":').encode()


_MESSAGE = {"messageDigest": {"algorithm": "SHA2_256", "digest": "AA=="}, "signature": "AA=="}
TAMPERED: list[tuple[str, BundleSigned, Any, str]] = [
    ("payload", BY_KEY, _flipped(_KEY, "dsseEnvelope", "payload"), "by none of the trusted keys"),
    ("payload", WITHOUT_LOG, _flipped(_V1, "dsseEnvelope", "payload"), "not by the key of its certificate"),
    ("payload type", BY_KEY, changed(_KEY, ("dsseEnvelope", "payloadType"), "text/plain"), "by none of the"),
    ("payload type of no text", BY_EMAIL, changed(_V1, ("dsseEnvelope", "payloadType"), "\ud800"), "no UTF-8"),
    ("certificate of no version", BY_EMAIL, _of_no_version(_V1), "not a valid X509 version"),
    ("signature", BY_KEY, _flipped(_KEY, *_SIGNATURE), "by none of the trusted keys"),
    ("signature", BY_EMAIL, _flipped(_V1, *_SIGNATURE), "not by the key of its certificate"),
    ("signature of another", BY_KEY, _from(_KEY, _OTHER, *_SIGNATURE), "by none of the trusted keys"),
    ("no signature", BY_KEY, changed(_KEY, _SIGNATURE[:2], []), "not exactly one signature"),
    ("empty signature", BY_KEY, changed(_KEY, _SIGNATURE, ""), "by none of the trusted keys"),
    ("two signatures", BY_KEY, changed(_KEY, _SIGNATURE[:2], [{"sig": "AA=="}] * 2), "not exactly one"),
    ("key", replace(BY_KEY, signer=Material(data=(pem(new_key()),))), _KEY, "by none of the trusted keys"),
    ("certificate", BY_EMAIL,
     _flipped(_V1, "verificationMaterial", "certificate", "rawBytes"), "certificate|promise"),
    ("certificate of another", BY_EMAIL,
     _from(_V1, _OTHER_LEAF, "verificationMaterial", "certificate"), "names"),
    ("no certificate", BY_EMAIL, _KEY, "it is by a key"),
    ("certificate for keys", BY_KEY, _V1, "it is by a certificate"),
    ("time: promise", WITHOUT_LOG,
     changed(_V1, (*_ENTRY, "integratedTime"), "1700000000"), "promise is not signed"),
    ("time: too late", BY_EMAIL,
     SIGSTORE.bundle(MANIFEST, Ask(leaf=Leaf(), at=SIGSTORE.now)), "not trusted at"),
    ("time: too early", BY_EMAIL,
     SIGSTORE.bundle(MANIFEST, Ask(leaf=Leaf(), at=SIGSTORE.now - timedelta(days=2))), "not trusted at"),
    ("time: none", BY_EMAIL, _without(_V2, "verificationMaterial", "timestampVerificationData"), "says when"),
    ("time: no promise", BY_EMAIL, _without(_V1, *_ENTRY, "inclusionPromise"), "says when"),
    ("time: stamp", BY_EMAIL, _flipped(_V2, *_STAMP), "timestamp"),
    ("time: stamp of another", BY_EMAIL,
     _from(_V2, SIGSTORE.bundle(MANIFEST, Ask(leaf=YOUNG, logs=(2,), stamped=True)), *_STAMP), "another signature"),
    ("time: unknown clock", replace(BY_EMAIL, trusted_root=Material(
        data=(json.dumps(SIGSTORE.trusted_root(clock=False)).encode(),))), _V2, "no trusted clock"),
    ("time: expired and stamped", BY_EMAIL,
     SIGSTORE.bundle(MANIFEST, Ask(leaf=Leaf(), logs=(2,), stamped=True)),
     "not trusted at"),
    ("time: promise of another", BY_EMAIL,
     _dated_by(SIGSTORE.bundle(MANIFEST, Ask(leaf=Leaf(), at=SIGSTORE.now)), _OTHER_LEAF), "not about this"),
    ("time: promise of another, no log", WITHOUT_LOG,
     _dated_by(SIGSTORE.bundle(MANIFEST, Ask(leaf=Leaf(), at=SIGSTORE.now)), _OTHER_LEAF), "not about this"),
    ("time: another's alone", replace(BY_EMAIL, log=False), _from(_V1, _OTHER_LEAF, *_ENTRY), "not about this"),
    ("log: body", BY_KEY_IN_LOG, _flipped(_KEY, *_ENTRY, "canonicalizedBody"), "not in the log's tree"),
    ("log: body of another", BY_KEY_IN_LOG,
     _from(_KEY, _OTHER, *_ENTRY), "hash is of something else"),
    ("log: body of another, v2", BY_KEY_IN_LOG,
     _from(_KEY_2, SIGSTORE.bundle(b"x", Ask(logs=(2,))), *_ENTRY), "digest is another"),
    ("log: root", BY_KEY_IN_LOG, _flipped(_KEY, *_PROOF, "rootHash"), "not in the log's tree"),
    ("log: path", BY_KEY_IN_LOG, _flipped(_KEY, *_PROOF, "hashes", 0), "not in the log's tree"),
    ("log: no path", BY_KEY_IN_LOG, _in_place(_KEY), "length of its tree"),
    ("log: longer path", BY_KEY_IN_LOG,
     changed(_KEY, (*_PROOF, "hashes"), [*at(_KEY, (*_PROOF, "hashes")), b64(b"x" * 32)]), "length of its tree"),
    ("log: index", BY_KEY_IN_LOG, changed(_KEY, (*_PROOF, "logIndex"), "0"), "tree"),
    ("log: index beyond", BY_KEY_IN_LOG, changed(_KEY, (*_PROOF, "logIndex"), "6"), "another tree"),
    ("log: size", BY_KEY_IN_LOG, changed(_KEY, (*_PROOF, "treeSize"), "7"), "tree"),
    ("log: huge size", BY_KEY_IN_LOG, changed(_KEY, (*_PROOF, "treeSize"), str(1 << 63)), "another tree"),
    ("log: checkpoint", BY_KEY_IN_LOG, changed(_KEY, (*_PROOF, "checkpoint", "envelope"),
     at(_KEY, (*_PROOF, "checkpoint", "envelope")).replace("\n6\n", "\n7\n")), "not signed by its key"),
    ("log: unsigned checkpoint", BY_KEY_IN_LOG, changed(_KEY, (*_PROOF, "checkpoint", "envelope"),
     at(_KEY, (*_PROOF, "checkpoint", "envelope")).partition("\n\n")[0] + "\n\n"), "no signed note"),
    ("log: head of another", BY_KEY_IN_LOG, changed(_KEY, (*_PROOF, "checkpoint", "envelope"),
     SIGSTORE.rekor.checkpoint(6, b"y" * 32)), "not in the log's tree"),
    ("log: promise", BY_KEY_IN_LOG,
     _flipped(_KEY, *_ENTRY, "inclusionPromise", "signedEntryTimestamp"), "promise is not signed"),
    ("log: unknown", BY_KEY_IN_LOG, _logged_by(Log(new_key()), _KEY), "a log that is not trusted"),
    ("log: impostor", BY_KEY_IN_LOG, _impostor(_KEY), "not signed by its key"),
    ("log: kind", BY_KEY_IN_LOG, changed(_KEY, (*_ENTRY, "kindVersion", "kind"), "intoto"), "instead of"),
    ("log: none", BY_KEY_IN_LOG, SIGSTORE.bundle(MANIFEST, Ask(logs=())), "no entry of a transparency log"),
    ("log: twice", BY_KEY_IN_LOG,
     changed(_KEY, _ENTRY[:2], [at(_KEY, _ENTRY)] * 2), "same entry or timestamp twice"),
    ("log: 33 entries", BY_KEY_IN_LOG, changed(_KEY, _ENTRY[:2], [at(_KEY, _ENTRY)] * 33), "at most 32"),
    ("identity: email", BY_EMAIL, _OTHER_LEAF, "mallory@example.test"),
    ("identity: issuer", BY_EMAIL,
     SIGSTORE.bundle(MANIFEST, Ask(leaf=Leaf(issuer="https://elsewhere.test"))), "of the issuer"),
    ("identity: URI", replace(BY_EMAIL, signer=Claim(ISSUER, "subjectURI", URI)),
     SIGSTORE.bundle(MANIFEST, Ask(leaf=replace(FLOW, uri=f"{URI}2"))), "names"),
    ("identity: prefix",
     replace(BY_EMAIL, signer=Claim(ISSUER, "subjectURIPrefix", "https://git.example.test/team/")),
     SIGSTORE.bundle(MANIFEST, Ask(leaf=replace(FLOW, uri="https://git.example.test/team-x/a@b"))), "names"),
    ("identity: email for URI",
     replace(BY_EMAIL, signer=Claim(ISSUER, "subjectURI", EMAIL)), _V1, "names"),
    ("digest", BY_KEY, _OTHER, "does not match"),
    ("digest: no subject", BY_KEY, SIGSTORE.bundle(MANIFEST, Ask(statement={
        "_type": "https://in-toto.io/Statement/v1", "subject": [],
        "predicateType": "https://sigstore.dev/cosign/sign/v1", "predicate": {}})), "no digest"),
    ("digest: sha512 alone", BY_KEY, SIGSTORE.bundle(MANIFEST, Ask(statement={
        "_type": "https://in-toto.io/Statement/v1", "subject": [{"digest": {"sha512": "0" * 128}}],
        "predicateType": "https://sigstore.dev/cosign/sign/v1", "predicate": {}})), "no digest"),
    ("statement of something else", BY_KEY,
     SIGSTORE.bundle(MANIFEST, Ask(predicate="https://slsa.dev/provenance/v1")), "a statement of"),
    ("statement type", BY_KEY, SIGSTORE.bundle(MANIFEST, Ask(statement={"_type": "x"})), "invalid statement"),
    ("message signature", BY_KEY, {**_without(_KEY, "dsseEnvelope"), "messageSignature": _MESSAGE}, "bare bytes"),
    ("both forms", BY_KEY, {**_KEY, "messageSignature": _MESSAGE}, "exactly one of"),
    ("old version", BY_KEY,
     {**_KEY, "mediaType": "application/vnd.dev.sigstore.bundle+json;version=0.1"}, "mediaType"),
    ("a name twice", BY_KEY, _twice(_KEY), "twice"),
    ("unknown key", BY_KEY, {**_KEY, "more": 1}, "unknown key 'more'"),
    ("half a character", BY_KEY, changed(_KEY, ("dsseEnvelope", "payloadType"), "\ud800"), "no UTF-8"),
    ("half a character in a head", BY_KEY_IN_LOG,
     changed(_KEY, (*_PROOF, "checkpoint", "envelope"), "\ud800\n1\nAA==\n\n\u2014 a b\n"), "no UTF-8"),
    ("not JSON", BY_KEY, b"{", "not JSON"),
    ("deep", BY_KEY, b"[" * 5000, "deep"),
    ("huge", BY_KEY, json.dumps({"mediaType": [[]] * 200_000}).encode(), "more than 100000 values"),
    ("certificate log: none", BY_EMAIL,
     SIGSTORE.bundle(MANIFEST, Ask(leaf=Leaf(), certificate_log=new_key())), "no trusted certificate log"),
    ("usage", BY_EMAIL,
     SIGSTORE.bundle(MANIFEST, Ask(leaf=Leaf(usage=ExtendedKeyUsageOID.SERVER_AUTH))), "not for code signing"),
]  # fmt: skip


@pytest.mark.parametrize(
    ("wanted", "bundle", "reason"), [row[1:] for row in TAMPERED], ids=[row[0] for row in TAMPERED]
)
def test_a_bundle_that_was_tampered_with_is_refused(wanted: BundleSigned, bundle: Any, reason: str) -> None:
    with pytest.raises(NotAccepted, match=reason.replace("(", r"\(")):
        verify(wanted, bundle)


def test_an_authority_of_the_same_name_is_another() -> None:
    other = Authority.make()
    key = new_key()
    certificate = SIGSTORE.certificate(key, Leaf(), authority=other)
    assert certificate.issuer == SIGSTORE.fulcio.certificate.subject
    bundle = _from(_V1, _V1, *_SIGNATURE)
    from cryptography.hazmat.primitives.serialization import Encoding

    raw = b64(certificate.public_bytes(Encoding.DER))
    with pytest.raises(NotAccepted, match="not trusted at"):
        verify(BY_EMAIL, changed(bundle, ("verificationMaterial", "certificate", "rawBytes"), raw))


def test_a_leaf_cannot_issue_certificates() -> None:
    """Who has a certificate of the Fulcio makes one for somebody else."""
    mallory = new_key()
    leaf = SIGSTORE.certificate(mallory, Leaf(email="mallory@example.test"))
    forged = Authority(SIGSTORE.fulcio.root_key, SIGSTORE.fulcio.root, mallory, leaf)
    root = SIGSTORE.trusted_root()
    from cryptography.hazmat.primitives.serialization import Encoding

    chain = [b64(each.public_bytes(Encoding.DER)) for each in (leaf, *SIGSTORE.fulcio.chain())]
    root["certificateAuthorities"][0]["certChain"]["certificates"] = [{"rawBytes": raw} for raw in chain]
    wanted = replace(WITHOUT_LOG, log=False, trusted_root=Material(data=(json.dumps(root).encode(),)))
    certificate = SIGSTORE.certificate(new_key(), Leaf(), authority=forged)
    raw = b64(certificate.public_bytes(Encoding.DER))
    with pytest.raises(NotAccepted, match="not trusted at"):
        verify(wanted, changed(_V1, ("verificationMaterial", "certificate", "rawBytes"), raw))


@pytest.mark.parametrize(
    "data",
    [b"", b"{}", b'{"mediaType": "x"}', json.dumps({**SIGSTORE.trusted_root(), "tlogs": [{}]}).encode(),
     json.dumps({**SIGSTORE.trusted_root(), "ctlogs": 5}).encode()],
)  # fmt: skip
def test_a_trusted_root_that_cannot_be_read_is_no_verdict(data: bytes) -> None:
    with pytest.raises(TrustUnavailable, match="data in the policy"):
        verify(replace(BY_EMAIL, trusted_root=Material(data=(data,))), _V1)


def test_an_authority_is_believed_for_its_own_time() -> None:
    root = SIGSTORE.trusted_root()
    root["certificateAuthorities"][0]["validFor"]["end"] = "2021-01-01T00:00:00Z"
    wanted = replace(BY_EMAIL, trusted_root=Material(data=(json.dumps(root).encode(),)))
    with pytest.raises(NotAccepted, match="no authority is trusted at"):
        verify(wanted, _V1)


@pytest.mark.parametrize("others", range(34))
def test_proofs_of_trees_of_every_shape(others: int) -> None:
    sigstore = Sigstore()
    sigstore.rekor = replace(sigstore.rekor, others=others)
    root = Material(data=(json.dumps(sigstore.trusted_root(clock=False)).encode(),))
    wanted = BundleSigned(Material(data=(pem(sigstore.key),)), root, certificate_log=False)
    verify(wanted, sigstore.bundle(MANIFEST))
