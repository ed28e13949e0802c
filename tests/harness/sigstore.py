"""A sigstore of the tests' own: keys, a Fulcio, a certificate log, Rekor logs of both versions, and a clock.

Made with ``cryptography`` after the published formats, apart from the code under test, which is held against
them.
"""

import base64
import functools
import hashlib
import json
import struct
import subprocess
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID, ObjectIdentifier

EMAIL = "signer@example.test"
URI = "https://git.example.test/team/app/.workflows/release@refs/tags/v1"
ISSUER = "https://login.example.test"
SIGN = "https://sigstore.dev/cosign/sign/v1"
_DAY = timedelta(days=1)
_ISSUER_OID = ObjectIdentifier("1.3.6.1.4.1.57264.1.8")
_LIFE = timedelta(minutes=10)

Key = ec.EllipticCurvePrivateKey
LogKey = ec.EllipticCurvePrivateKey | ed25519.Ed25519PrivateKey


def b64(data: bytes) -> str:
    """Standard base64."""
    return base64.b64encode(data).decode()


def canonical(document: object) -> bytes:
    """JSON as RFC 8785 has it, for what occurs here."""
    return json.dumps(document, sort_keys=True, separators=(",", ":")).encode()


def new_key() -> Key:
    """A key as cosign makes them."""
    return ec.generate_private_key(ec.SECP256R1())


def spki(key: Any) -> bytes:
    """The DER of the public half of a key."""
    return bytes(
        key.public_key().public_bytes(
            serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo
        )
    )


def pem(key: Any) -> bytes:
    """The PEM of the public half of a key."""
    return bytes(
        key.public_key().public_bytes(
            serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
        )
    )


def sign(key: LogKey, data: bytes) -> bytes:
    """A signature by either kind of key."""
    if isinstance(key, ed25519.Ed25519PrivateKey):
        return key.sign(data)
    return key.sign(data, ec.ECDSA(hashes.SHA256()))


def payload(name: str, manifest: bytes, kind: str = "cosign container image signature") -> dict[str, Any]:
    """The payload of simple signing and of attachments."""
    return {
        "critical": {
            "identity": {"docker-reference": name},
            "image": {"docker-manifest-digest": f"sha256:{hashlib.sha256(manifest).hexdigest()}"},
            "type": kind,
        },
        "optional": None if kind.startswith("cosign") else {"creator": "tests", "timestamp": 1},
    }


@dataclass(frozen=True)
class Authority:
    """A root, and an authority below it."""

    root_key: Key
    root: x509.Certificate
    key: Key
    certificate: x509.Certificate

    @classmethod
    def make(cls, usage: ObjectIdentifier = ExtendedKeyUsageOID.CODE_SIGNING, years: int = 10) -> "Authority":
        """Both, valid from a year ago."""
        root_key, key = new_key(), new_key()
        root = _authority("root", root_key, "root", root_key, years, None)
        return cls(root_key, root, key, _authority("intermediate", key, "root", root_key, years, usage))

    def chain(self) -> list[x509.Certificate]:
        """The authority, then its root."""
        return [self.certificate, self.root]


def _name(text: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, text)])


def _authority(
    name: str, key: Key, issuer: str, issuer_key: Key, years: int, usage: ObjectIdentifier | None
) -> x509.Certificate:
    now = datetime.now(UTC).replace(microsecond=0)
    builder = (
        x509.CertificateBuilder()
        .subject_name(_name(name))
        .issuer_name(_name(issuer))
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - 365 * _DAY)
        .not_valid_after(now - 365 * _DAY + years * 365 * _DAY)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .add_extension(
            x509.KeyUsage(
                digital_signature=False, content_commitment=False, key_encipherment=False,
                data_encipherment=False, key_agreement=False, key_cert_sign=True, crl_sign=True,
                encipher_only=False, decipher_only=False,
            ),
            critical=True,
        )
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
    )  # fmt: skip
    if usage is not None:
        builder = builder.add_extension(x509.ExtendedKeyUsage([usage]), critical=False)
    return builder.sign(issuer_key, hashes.SHA256())


@dataclass(frozen=True)
class Leaf:
    """What a Fulcio is asked for."""

    email: str = EMAIL
    uri: str = ""
    host: str = ""
    issuer: str = ISSUER
    usage: ObjectIdentifier = ExtendedKeyUsageOID.CODE_SIGNING
    begin: datetime = field(default_factory=lambda: datetime.now(UTC).replace(microsecond=0) - _DAY)
    life: timedelta = _LIFE


@dataclass(frozen=True)
class Log:
    """A Rekor log of one version; its tree has this entry and, beside it, ``others`` leaves."""

    key: LogKey
    version: int = 1
    origin: str = "rekor.example.test"
    others: int = 5

    @property
    def log_id(self) -> bytes:
        """By which trusted roots and entries call it."""
        return hashlib.sha256(spki(self.key)).digest()

    def entry(self, kind: str, version: str, body: bytes, at: datetime, *, promise: bool) -> dict[str, Any]:
        """A TransparencyLogEntry."""
        leaves = [hashlib.sha256(b"\0" + b"other %d" % number).digest() for number in range(self.others)]
        index = len(leaves) // 2
        leaves.insert(index, hashlib.sha256(b"\0" + body).digest())
        root = tree(leaves)
        found: dict[str, Any] = {
            "logIndex": str(index),
            "logId": {"keyId": b64(self.log_id)},
            "kindVersion": {"kind": kind, "version": version},
            "canonicalizedBody": b64(body),
            "inclusionProof": {
                "logIndex": str(index),
                "rootHash": b64(root),
                "treeSize": str(len(leaves)),
                "hashes": [b64(each) for each in path(leaves, index)],
                "checkpoint": {"envelope": self.checkpoint(len(leaves), root)},
            },
        }
        if promise:
            seconds = int(at.timestamp())
            found["integratedTime"] = str(seconds)
            found["inclusionPromise"] = {"signedEntryTimestamp": b64(self.promise(body, seconds, index))}
        return found

    def promise(self, body: bytes, seconds: int, index: int) -> bytes:
        """A signed entry timestamp."""
        fields = {
            "body": b64(body), "integratedTime": seconds, "logID": self.log_id.hex(), "logIndex": index,
        }  # fmt: skip
        return sign(self.key, canonical(fields))

    def checkpoint(self, size: int, root: bytes) -> str:
        """A signed note of the tree's head."""
        origin = f"{self.origin} - 123456" if self.version == 1 else self.origin
        text = f"{origin}\n{size}\n{b64(root)}\n"
        if isinstance(self.key, ed25519.Ed25519PrivateKey):
            raw = self.key.public_key().public_bytes_raw()
            hint = hashlib.sha256(self.origin.encode() + b"\n\x01" + raw).digest()[:4]
        else:
            hint = self.log_id[:4]
        return f"{text}\n\u2014 {self.origin} {b64(hint + sign(self.key, text.encode()))}\n"


def tree(leaves: list[bytes]) -> bytes:
    """The root of a tree (RFC 6962, 2.1)."""
    if len(leaves) == 1:
        return leaves[0]
    half = _half(len(leaves))
    return hashlib.sha256(b"\1" + tree(leaves[:half]) + tree(leaves[half:])).digest()


def path(leaves: list[bytes], index: int) -> list[bytes]:
    """The audit path of a leaf (RFC 6962, 2.1.1)."""
    if len(leaves) == 1:
        return []
    half = _half(len(leaves))
    if index < half:
        return [*path(leaves[:half], index), tree(leaves[half:])]
    return [*path(leaves[half:], index - half), tree(leaves[:half])]


def _half(size: int) -> int:
    return 1 << (size - 1).bit_length() - 1


class Sigstore:
    """All of it."""

    def __init__(self) -> None:
        self.key = new_key()
        self.fulcio = Authority.make()
        self.certificate_log = new_key()
        self.rekor = Log(new_key())
        self.rekor_v2 = Log(ed25519.Ed25519PrivateKey.generate(), 2, "log2.example.test")
        self.now = datetime.now(UTC).replace(microsecond=0)

    # -- certificates ----------------------------------------------------------------------------

    def certificate(
        self,
        key: Key,
        leaf: Leaf | None = None,
        *,
        log: Key | None = None,
        authority: Authority | None = None,
    ) -> x509.Certificate:
        """A certificate for a key, with the timestamp of the certificate log."""
        leaf, authority = leaf or Leaf(), authority or self.fulcio
        names: list[x509.GeneralName] = [x509.RFC822Name(leaf.email)] if leaf.email else []
        names += [x509.UniformResourceIdentifier(leaf.uri)] if leaf.uri else []
        names += [x509.DNSName(leaf.host)] if leaf.host else []
        issuer = leaf.issuer.encode()
        builder = (
            x509.CertificateBuilder()
            .subject_name(x509.Name([]))
            .issuer_name(authority.certificate.subject)
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(leaf.begin)
            .not_valid_after(leaf.begin + leaf.life)
            .add_extension(x509.SubjectAlternativeName(names), critical=True)
            .add_extension(x509.ExtendedKeyUsage([leaf.usage]), critical=False)
            .add_extension(
                x509.UnrecognizedExtension(_ISSUER_OID, bytes([0x0C, len(issuer)]) + issuer), critical=False
            )
        )
        bare = builder.sign(authority.key, hashes.SHA256())
        stamp = self._logged(bare.tbs_certificate_bytes, spki(authority.key), leaf.begin, log)
        extension = x509.UnrecognizedExtension(
            x509.PrecertificateSignedCertificateTimestamps.oid, b"\x04" + _der(stamp)
        )
        return builder.add_extension(extension, critical=False).sign(authority.key, hashes.SHA256())

    def _logged(self, body: bytes, issuer: bytes, at: datetime, log: Key | None) -> bytes:
        """A list of one signed certificate timestamp (RFC 6962, 3.3)."""
        log = log or self.certificate_log
        milliseconds = int(at.timestamp() * 1000)
        signed = struct.pack(">BBQH", 0, 0, milliseconds, 1) + hashlib.sha256(issuer).digest()
        signature = sign(log, signed + len(body).to_bytes(3, "big") + body + b"\0\0")
        log_id = hashlib.sha256(spki(log)).digest()
        stamp = b"\0" + log_id + struct.pack(">QH", milliseconds, 0) + b"\x04\x03" + _short(signature)
        return _short(_short(stamp))

    # -- attachments -----------------------------------------------------------------------------

    def attachment(self, body: bytes, key: Key | None = None) -> dict[str, str]:
        """The annotations of a payload signed by a key."""
        return {"dev.cosignproject.cosign/signature": b64(sign(key or self.key, body))}

    def promised(
        self,
        body: bytes,
        annotations: Mapping[str, str],
        verifier: bytes,
        at: datetime,
        log: Log | None = None,
    ) -> str:
        """The annotation of a Rekor log's promise; ``verifier`` is the PEM of key or certificate."""
        log = log or self.rekor
        entry = canonical(
            {
                "apiVersion": "0.0.1",
                "kind": "hashedrekord",
                "spec": {
                    "data": {"hash": {"algorithm": "sha256", "value": hashlib.sha256(body).hexdigest()}},
                    "signature": {
                        "content": annotations["dev.cosignproject.cosign/signature"],
                        "publicKey": {"content": b64(verifier)},
                    },
                },
            }
        )
        seconds = int(at.timestamp())
        return json.dumps(
            {
                "SignedEntryTimestamp": b64(log.promise(entry, seconds, 7)),
                "Payload": {
                    "body": b64(entry), "integratedTime": seconds, "logIndex": 7, "logID": log.log_id.hex(),
                },
            }
        )  # fmt: skip

    def keyless(self, body: bytes, leaf: Leaf | None = None, at: datetime | None = None) -> dict[str, str]:
        """The annotations of a payload signed by a certificate of the Fulcio."""
        leaf, key = leaf or Leaf(), new_key()
        certificate = self.certificate(key, leaf).public_bytes(serialization.Encoding.PEM)
        annotations = self.attachment(body, key)
        chain = b"".join(each.public_bytes(serialization.Encoding.PEM) for each in self.fulcio.chain())
        return {
            **annotations,
            "dev.sigstore.cosign/certificate": certificate.decode(),
            "dev.sigstore.cosign/chain": chain.decode(),
            "dev.sigstore.cosign/bundle": self.promised(
                body, annotations, certificate, at or leaf.begin + _LIFE / 2
            ),
        }

    # -- bundles ---------------------------------------------------------------------------------

    def trusted_root(self, *, clock: bool = True) -> dict[str, Any]:
        """trusted_root.json."""
        return {
            "mediaType": "application/vnd.dev.sigstore.trustedroot+json;version=0.1",
            "tlogs": [_log_of(self.rekor.key), _log_of(self.rekor_v2.key)],
            "certificateAuthorities": [_chain_of(self.fulcio.chain())],
            "ctlogs": [_log_of(self.certificate_log)],
            "timestampAuthorities": [_chain_of(clock_of().chain)] if clock else [],
        }

    def bundle(self, manifest: bytes, ask: "Ask | None" = None) -> dict[str, Any]:
        """A bundle of version 0.3 about a manifest."""
        ask = ask or Ask()
        statement = ask.statement or {
            "_type": "https://in-toto.io/Statement/v1",
            "subject": [{"digest": {"sha256": hashlib.sha256(manifest).hexdigest()}}],
            "predicateType": ask.predicate,
            "predicate": {},
        }
        body = json.dumps(statement).encode()
        kind = "application/vnd.in-toto+json"
        signed = b"DSSEv1 %d %s %d %s" % (len(kind), kind.encode(), len(body), body)
        key = ask.key or (new_key() if ask.leaf else self.key)
        signature = sign(key, signed)
        certificate = self.certificate(key, ask.leaf, log=ask.certificate_log) if ask.leaf else None
        der = certificate.public_bytes(serialization.Encoding.DER) if certificate else b""
        material: dict[str, Any] = (
            {"certificate": {"rawBytes": b64(der)}} if certificate else {"publicKey": {"hint": "tests"}}
        )
        at = ask.at or (ask.leaf.begin + _LIFE / 2 if ask.leaf else self.now)
        entries = []
        if 1 in ask.logs:
            verifier = certificate.public_bytes(serialization.Encoding.PEM) if certificate else pem(key)
            entries.append(self._dsse_entry(signature, body, verifier, at))
        if 2 in ask.logs:
            entries.append(self._hashed_entry(signature, signed, der, spki(key), at))
        if entries:
            material["tlogEntries"] = entries
        if ask.stamped:
            token = clock_of().stamp(signature)
            material["timestampVerificationData"] = {"rfc3161Timestamps": [{"signedTimestamp": b64(token)}]}
        return {
            "mediaType": "application/vnd.dev.sigstore.bundle.v0.3+json",
            "verificationMaterial": material,
            "dsseEnvelope": {
                "payload": b64(body), "payloadType": kind, "signatures": [{"sig": b64(signature)}],
            },
        }  # fmt: skip

    def _dsse_entry(self, signature: bytes, body: bytes, verifier: bytes, at: datetime) -> dict[str, Any]:
        spec = {
            "envelopeHash": {"algorithm": "sha256", "value": "0" * 64},
            "payloadHash": {"algorithm": "sha256", "value": hashlib.sha256(body).hexdigest()},
            "signatures": [{"signature": b64(signature), "verifier": b64(verifier)}],
        }
        entry = canonical({"apiVersion": "0.0.1", "kind": "dsse", "spec": spec})
        return self.rekor.entry("dsse", "0.0.1", entry, at, promise=True)

    def _hashed_entry(
        self, signature: bytes, signed: bytes, der: bytes, public: bytes, at: datetime
    ) -> dict[str, Any]:
        held = (
            {"x509Certificate": {"rawBytes": b64(der)}} if der else {"publicKey": {"rawBytes": b64(public)}}
        )
        spec = {
            "hashedRekordV002": {
                "data": {"algorithm": "SHA2_256", "digest": b64(hashlib.sha256(signed).digest())},
                "signature": {
                    "content": b64(signature), "verifier": {"keyDetails": "PKIX_ECDSA_P256_SHA_256", **held},
                },
            }
        }  # fmt: skip
        entry = canonical({"apiVersion": "0.0.2", "kind": "hashedrekord", "spec": spec})
        return self.rekor_v2.entry("hashedrekord", "0.0.2", entry, at, promise=False)


@dataclass(frozen=True)
class Ask:
    """What a bundle is to have: a key, unless a ``leaf`` is asked for; entries in logs of these versions."""

    key: Key | None = None
    leaf: Leaf | None = None
    logs: tuple[int, ...] = (1,)
    stamped: bool = False
    at: datetime | None = None
    predicate: str = SIGN
    statement: Mapping[str, Any] | None = None
    certificate_log: Key | None = None


def _short(data: bytes) -> bytes:
    return len(data).to_bytes(2, "big") + data


def _der(data: bytes) -> bytes:
    size = len(data)
    return (bytes([size]) if size < 128 else bytes([0x81, size])) + data


def _log_of(key: Any) -> dict[str, Any]:
    return {
        "baseUrl": "https://log.example.test",
        "hashAlgorithm": "SHA2_256",
        "publicKey": {
            "rawBytes": b64(spki(key)),
            "keyDetails": "PKIX_ECDSA_P256_SHA_256",
            "validFor": {"start": "2020-01-01T00:00:00Z"},
        },
        "logId": {"keyId": b64(hashlib.sha256(spki(key)).digest())},
    }


def _chain_of(chain: list[x509.Certificate]) -> dict[str, Any]:
    ders = [each.public_bytes(serialization.Encoding.DER) for each in chain]
    return {
        "subject": {"organization": "tests", "commonName": "tests"},
        "uri": "https://ca.example.test",
        "certChain": {"certificates": [{"rawBytes": b64(der)} for der in ders]},
        "validFor": {"start": "2020-01-01T00:00:00Z"},
    }


class Clock:
    """A timestamp authority (RFC 3161), by the openssl program; its tokens say the present."""

    def __init__(self) -> None:
        self._authority = Authority.make(ExtendedKeyUsageOID.TIME_STAMPING)
        self._key = new_key()
        now = datetime.now(UTC).replace(microsecond=0)
        self._certificate = (
            x509.CertificateBuilder()
            .subject_name(_name("clock"))
            .issuer_name(self._authority.certificate.subject)
            .public_key(self._key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - _DAY)
            .not_valid_after(now + _DAY)
            .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.TIME_STAMPING]), critical=True)
            .sign(self._authority.key, hashes.SHA256())
        )

    @property
    def chain(self) -> list[x509.Certificate]:
        """From the clock's own certificate to the root."""
        return [self._certificate, *self._authority.chain()]

    def stamp(self, data: bytes) -> bytes:
        """A TimeStampResp for ``data``."""
        with tempfile.TemporaryDirectory() as name:
            place = Path(name)
            (place / "data").write_bytes(data)
            (place / "serial").write_text("01\n")
            (place / "key.pem").write_bytes(
                self._key.private_bytes(
                    serialization.Encoding.PEM,
                    serialization.PrivateFormat.PKCS8,
                    serialization.NoEncryption(),
                )
            )
            (place / "clock.pem").write_bytes(self._certificate.public_bytes(serialization.Encoding.PEM))
            (place / "conf").write_text(
                f"[ tsa ]\ndefault_tsa = t\n[ t ]\nserial = {place}/serial\ndigests = sha256\n"
                "default_policy = 1.2.3.4.1\nsigner_digest = sha256\n"
            )
            query = ["openssl", "ts", "-query", "-data", "data", "-sha256", "-cert", "-out", "query"]
            reply = [
                "openssl", "ts", "-reply", "-config", "conf", "-queryfile", "query", "-signer", "clock.pem",
                "-inkey", "key.pem", "-out", "reply",
            ]  # fmt: skip
            for command in (query, reply):
                subprocess.run(command, cwd=place, check=True, capture_output=True)
            return (place / "reply").read_bytes()


@functools.cache
def clock_of() -> Clock:
    """The one clock of a run."""
    return Clock()


def changed(document: Any, way: tuple[str | int, ...], value: object) -> Any:
    """A copy of a JSON document with another value at a place."""
    if not way:
        return value
    copy: Any = list(document) if isinstance(document, list) else dict(document)
    copy[way[0]] = changed(copy[way[0]], way[1:], value)
    return copy


def at(document: Any, way: tuple[str | int, ...]) -> Any:
    """The value at a place of a JSON document."""
    for step in way:
        document = document[step]
    return document


def flipped(text: str) -> str:
    """Base64 of other bytes of the same length."""
    data = bytearray(base64.b64decode(text))
    data[len(data) // 2] ^= 1
    return b64(bytes(data))


__all__ = ["Ask", "Authority", "Clock", "Leaf", "Log", "Sigstore", "replace"]
