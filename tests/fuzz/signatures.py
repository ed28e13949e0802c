"""Fuzz targets of what decides about signatures: policies, registries.d, and what registries say of signing.

    python -m tests.fuzz.signatures [--seconds 60] [--seed 1] [target …]

A target takes bytes. Whatever they are, it returns, or raises one of the errors that have a meaning for the
caller; and nothing that was changed is accepted as signed.
"""

import argparse
import base64
import contextlib
import json
import random
import sys
import time
from collections.abc import Callable

from api.errors import PodwrightError
from storage.reference import Reference
from storage.signatures import attachments, bundles
from storage.signatures.errors import NotAccepted
from storage.signatures.evidence import Attachment, Bundle, Evidence, UnknownForm, from_lookaside
from storage.signatures.lookaside import Lookasides
from storage.signatures.openpgp import fingerprint_of, keyring
from storage.signatures.payload import SIGSTORE_TYPE, parse_payload
from storage.signatures.policy import Policy
from storage.signatures.rekor import Signing, require_about, verify_promise
from storage.signatures.requirements import BundleSigned, Material, SigstoreSigned
from storage.signatures.transparency import TreeHead, verified_head
from storage.signatures.trusted_root import TrustedRoot
from tests.fuzz.streaming import mutate
from tests.harness.sigstore import Ask, Leaf, Sigstore, b64, payload, pem

Target = Callable[[bytes], None]
EXPECTED = (PodwrightError, NotAccepted, UnknownForm)

_IMAGE = Reference.parse("registry.example.test/team/app:v1")
_MANIFEST = b'{"schemaVersion":2}'
_SIGSTORE = Sigstore()
_BODY = json.dumps(payload(str(_IMAGE), _MANIFEST)).encode()
_ROOT = json.dumps(_SIGSTORE.trusted_root(clock=False)).encode()
_BUNDLES = [
    json.dumps(_SIGSTORE.bundle(_MANIFEST, ask)).encode() for ask in (Ask(), Ask(leaf=Leaf()), Ask(logs=(2,)))
]
_STRANGER = Material(data=(pem(_SIGSTORE.rekor.key),))  # who signed nothing here
_BY_STRANGER = bundles.Trust.read(BundleSigned(_STRANGER, Material(data=(_ROOT,)), certificate_log=False))
_ATTACHED = attachments.Trust.read(SigstoreSigned(_STRANGER))
_SIGNING = Signing(b"s", _BY_STRANGER.keys[0], b"x", b"y")
_STATUS = (
    b"[GNUPG:] NEWSIG\n[GNUPG:] PLAINTEXT 62 0 \n[GNUPG:] GOODSIG AA a\n"
    b"[GNUPG:] VALIDSIG AA 2026-11-30 1 0 4 0 22 8 00 AABB\n"
)


def policy(data: bytes) -> None:
    """A policy file, and its ruling."""
    found = Policy.parse(data, "policy.json")
    found.check(_IMAGE)
    list(found.unsatisfiable()), list(found.materials())


def registries_d(data: bytes) -> None:
    """A file of registries.d."""
    found = Lookasides().merged(data, "a.yaml")
    found.base(_IMAGE), found.attachments(_IMAGE)


def bundle(data: bytes) -> None:
    """A bundle, which nobody signed whom the policy trusts."""
    _BY_STRANGER.verify(Bundle(data), _MANIFEST)
    raise AssertionError("a stranger's bundle is accepted")


def attachment(data: bytes) -> None:
    """A payload under a signature of somebody else, and the payload alone."""
    try:
        _ATTACHED.verify(Attachment(data, _SIGSTORE.attachment(data)), _MANIFEST, _IMAGE)
    except NotAccepted:
        parse_payload(data, SIGSTORE_TYPE)
    else:
        raise AssertionError("a stranger's signature is accepted")


def entry(data: bytes) -> None:
    """A log's entry, promise and checkpoint, of another signature."""
    text = data.decode("utf-8", "surrogateescape")
    with contextlib.suppress(NotAccepted):
        assert verified_head(text, _SIGNING.key) == TreeHead("rekor.example.test - 123456", 6, b"r" * 32)
    for check in (
        lambda: require_about(data, _SIGNING),
        lambda: verify_promise(text, _BY_STRANGER.keys, _SIGNING),
    ):
        try:
            check()
        except NotAccepted:
            continue
        raise AssertionError("what a log did not say is accepted")


def trusted_root(data: bytes) -> None:
    """A trusted root."""
    TrustedRoot.parse(data, "trusted_root.json")


def kept(data: bytes) -> None:
    """What was kept, what a look-aside has, a keyring, and what gpgv says."""
    assert Evidence.decode(Evidence.decode(data).encode()).signatures == Evidence.decode(data).signatures
    for read in (from_lookaside, lambda each: keyring(each, "a key"), lambda each: fingerprint_of(each, 0)):
        try:
            read(data)
        except EXPECTED:
            continue


TARGETS: dict[str, Target] = {
    "policy": policy, "registries_d": registries_d, "bundle": bundle, "attachment": attachment,
    "entry": entry, "trusted_root": trusted_root, "kept": kept,
}  # fmt: skip
_HEADS = [_SIGSTORE.rekor.checkpoint(6, b"r" * 32).encode()]


def seeds(name: str) -> list[bytes]:
    """Well-formed input to start from."""
    key = b64(pem(_SIGSTORE.key))
    requirements = [
        {"type": "signedBy", "keyType": "GPGKeys", "keyData": key, "signedIdentity": {"type": "matchExact"}},
        {
            "type": "sigstoreSigned",
            "fulcio": {"caData": key, "oidcIssuer": "i", "subjectEmail": "e"},
            "rekorPublicKeyData": key,
        },
        {"type": "sigstoreBundle", "keyDatas": [key]},
    ]
    match name:
        case "policy":
            return [
                json.dumps(
                    {"default": requirements, "transports": {"docker": {"*.test": requirements}}}
                ).encode()
            ]
        case "registries_d":
            return [
                b"default-docker:\n  lookaside: https://a.test\n"
                b"docker:\n  a.test: {use-sigstore-attachments: true}\n"
            ]
        case "bundle":
            return _BUNDLES
        case "attachment":
            return [_BODY]
        case "entry":
            body = json.loads(_BUNDLES[0])["verificationMaterial"]["tlogEntries"][0]["canonicalizedBody"]
            told = {"body": body, "integratedTime": 1, "logIndex": 1, "logID": "a" * 64}
            told = {"body": body, "integratedTime": 1, "logIndex": 1, "logID": "a" * 64}
            promise = {"SignedEntryTimestamp": "AA==", "Payload": told}
            return [base64.b64decode(body), json.dumps(promise).encode(), *_HEADS]
        case "trusted_root":
            return [_ROOT]
        case _:
            return [
                Evidence((Bundle(b"{}"), Attachment(b"x", {"a": "b"}))).encode(),
                _STATUS,
                b"\0sigstore-json\n{}",
            ]


def attack(name: str, seed: int, rounds: int) -> None:
    """Run a target on changed seeds.

    Raises:
        AssertionError, or whatever else the target must not raise.
    """
    chance, start = random.Random(f"{name} {seed}"), seeds(name)
    for number in range(rounds):
        data = start[number] if number < len(start) else mutate(chance.choice(start), chance)
        try:
            TARGETS[name](data)
        except EXPECTED:
            continue


def main() -> int:
    """Attack the named targets, or all, for so many seconds each."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=60)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("targets", nargs="*", default=[*TARGETS])
    arguments = parser.parse_args()
    for name in arguments.targets:
        end, seed = time.monotonic() + arguments.seconds, arguments.seed
        while time.monotonic() < end:
            attack(name, seed, 200)
            seed += 1
        print(f"{name}: seeds {arguments.seed} to {seed - 1}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
