"""storage/signatures/simple and openpgp: messages of GnuPG, and each part of them tampered with."""

import asyncio
import json
import os
import subprocess
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from storage.reference import Reference
from storage.signatures.errors import NotAccepted, TrustUnavailable
from storage.signatures.evidence import Simple, UnknownForm, from_lookaside
from storage.signatures.openpgp import keyring
from storage.signatures.requirements import Material, SignedBy
from storage.signatures.simple import verify_simple
from tests.harness.sigstore import payload

NAME = "registry.example.test/team/app:v1"
ASKED = Reference.parse(NAME)
MANIFEST = b'{"schemaVersion":2}'
KIND = "atomic container signature"
BODY = json.dumps(payload(NAME, MANIFEST, KIND)).encode()
WANTED = SignedBy(Material(data=(b"",)))


@dataclass
class Gpg:
    """A home of GnuPG with keys of its own."""

    home: Path
    keys: dict[str, bytes] = field(default_factory=dict)

    def run(self, *arguments: str, data: bytes = b"") -> bytes:
        command = ["gpg", "--homedir", str(self.home), "--batch", "--quiet", "--passphrase", "", *arguments]
        done = subprocess.run(command, input=data, capture_output=True, timeout=120)
        assert done.returncode == 0, done.stderr
        return done.stdout

    def key(self, name: str, *options: str, life: str = "0") -> bytes:
        self.run(*options, "--quick-gen-key", name, "ed25519", "sign", life)
        self.keys[name] = self.run("--export", name)
        return self.keys[name]

    def sign(self, data: bytes, *options: str, names: tuple[str, ...] = ("good@test",)) -> bytes:
        users = [each for name in names for each in ("--local-user", name)]
        return self.run(*options, *users, "--sign", data=data)


@pytest.fixture(scope="module")
def gpg(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gpg]:
    home = tmp_path_factory.mktemp("gpg", numbered=True)
    home.chmod(0o700)
    made = Gpg(home)
    made.key("good@test")
    made.key("other@test")
    made.key("old@test", "--faked-system-time", "20200101T000000!", life="1d")
    made.key("revoked@test")
    yield made
    subprocess.run(["gpgconf", "--homedir", str(home), "--kill", "all"], check=False, timeout=60)


def verify(message: bytes, *keys: bytes, manifest: bytes = MANIFEST) -> None:
    rings = [keyring(key, "the key") for key in keys]
    asyncio.run(verify_simple(Simple(message), rings, WANTED, manifest, ASKED))


def test_a_signature_is_accepted_by_binary_and_armored_keys(gpg: Gpg) -> None:
    message = gpg.sign(BODY)
    verify(message, gpg.keys["good@test"])
    verify(message, gpg.keys["other@test"], gpg.run("--armor", "--export", "good@test"))
    verify(
        message, gpg.run("--armor", "--export", "other@test") + gpg.run("--armor", "--export", "good@test")
    )
    assert from_lookaside(message) == from_lookaside(b"\0simple-signing\n" + message) == Simple(message)


def _changed(message: bytes) -> bytes:
    data = bytearray(message)
    data[len(data) // 2] ^= 1
    return bytes(data)


Make = Callable[[Gpg], bytes]
TAMPERED: list[tuple[str, Make, str]] = [
    ("message", lambda gpg: _changed(gpg.sign(BODY, "-z", "0")), "invalid signature"),
    ("cut", lambda gpg: gpg.sign(BODY)[:-9], "invalid signature"),
    ("empty", lambda gpg: b"", "invalid signature"),
    ("no message", lambda gpg: os.urandom(1000), "invalid signature"),
    ("key", lambda gpg: gpg.sign(BODY, names=("other@test",)), "not among those trusted"),
    ("key expired", lambda gpg: gpg.sign(BODY, "--faked-system-time", "20200101T010000!", names=("old@test",)),
     "its key has expired"),
    ("signature expired", lambda gpg: gpg.sign(
        BODY, "--faked-system-time", "20200101T000000", "--default-sig-expire", "1d", "--ignore-time-conflict",
        "--ignore-valid-from"), "invalid signature"),
    ("two signers", lambda gpg: gpg.sign(BODY, names=("good@test", "other@test")), "invalid signature"),
    ("not signed", lambda gpg: gpg.run("--store", data=BODY), "invalid signature"),
    ("text before", lambda gpg: gpg.run("--store", data=BODY) + gpg.sign(BODY), "invalid signature"),
    ("clear-signed", lambda gpg: gpg.run("--local-user", "good@test", "--clear-sign", data=BODY), "no binary OpenPGP message"),
    ("detached", lambda gpg: gpg.run("--local-user", "good@test", "--detach-sign", data=BODY), "invalid signature"),
    ("SHA-1", lambda gpg: gpg.sign(BODY, "--digest-algo", "SHA1"), "by a hash, that is not accepted"),
    ("a bomb", lambda gpg: gpg.sign(b"\0" * 30_000_000, "-z", "9"), "invalid signature"),
    ("payload of another type", lambda gpg: gpg.sign(json.dumps(payload(NAME, MANIFEST)).encode()), "invalid signature payload"),
    ("payload that is none", lambda gpg: gpg.sign(b"{"), "invalid signature payload"),
    ("digest", lambda gpg: gpg.sign(json.dumps(payload(NAME, b"x", KIND)).encode()), "digest .* does not match"),
    ("identity", lambda gpg: gpg.sign(json.dumps(payload(NAME + "2", MANIFEST, KIND)).encode()),
     "identity .* is not accepted"),
]  # fmt: skip


@pytest.mark.parametrize(("make", "reason"), [row[1:] for row in TAMPERED], ids=[row[0] for row in TAMPERED])
def test_a_signature_that_was_tampered_with_is_refused(gpg: Gpg, make: Make, reason: str) -> None:
    keys = [gpg.keys["good@test"], gpg.keys["old@test"]]
    message = make(gpg)
    with pytest.raises(NotAccepted, match=reason):
        verify(message, *keys)


def test_a_key_that_was_revoked_signs_no_more(gpg: Gpg) -> None:
    message = gpg.sign(BODY, names=("revoked@test",))
    verify(message, gpg.run("--export", "revoked@test"))
    listed = gpg.run("--with-colons", "--list-keys", "revoked@test").decode()
    fingerprint = next(line.split(":")[9] for line in listed.splitlines() if line.startswith("fpr"))
    certificate = (
        (gpg.home / f"openpgp-revocs.d/{fingerprint}.rev").read_text().replace(":-----BEGIN", "-----BEGIN")
    )
    gpg.run("--import", data=certificate.encode())
    with pytest.raises(NotAccepted, match="invalid signature"):
        verify(message, gpg.run("--export", "revoked@test"))


@pytest.mark.parametrize(
    "data",
    [b"", b"no key", b"-----BEGIN PGP PUBLIC KEY BLOCK-----\n\n???\n-----END PGP PUBLIC KEY BLOCK-----\n"],
)
def test_a_file_without_a_key_is_no_verdict(data: bytes) -> None:
    with pytest.raises(TrustUnavailable, match="the key: "):
        verify(b"\xa3", data)


@pytest.mark.parametrize(
    "data", [b"", b"x", b"-----BEGIN PGP SIGNED MESSAGE-----", b"\0other\nx", b"\0sigstore-json\n{"]
)
def test_a_lookaside_with_something_else_has_no_signature(data: bytes) -> None:
    with pytest.raises(UnknownForm):
        from_lookaside(data)
