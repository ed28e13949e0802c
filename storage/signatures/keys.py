"""Public keys and their signatures: ECDSA and RSA (PKCS #1 v1.5) with SHA-256, and Ed25519.

A key decides its algorithm; nothing that comes with a signature does. ``cryptography`` is imported with this.
"""

from collections.abc import Iterable

from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, padding, rsa

from storage.signatures.errors import TrustUnavailable

PublicKey = ec.EllipticCurvePublicKey | rsa.RSAPublicKey | ed25519.Ed25519PublicKey
_RSA_BITS = 2048


class BadKey(ValueError):
    """Bytes are no public key of a kind that is used here."""


def parse_key(data: bytes) -> PublicKey:
    """A public key: PEM, or the DER of its SubjectPublicKeyInfo.

    Raises:
        BadKey: it is none, or one of another kind, or too weak.
    """
    try:
        if data.lstrip().startswith(b"-----BEGIN"):
            key = serialization.load_pem_public_key(data)
        else:
            key = serialization.load_der_public_key(data)
    except (ValueError, TypeError, UnsupportedAlgorithm) as error:
        raise BadKey(f"no public key: {error}") from error
    return require_known(key)


def require_known(key: object) -> PublicKey:
    """The key, when it is of a kind that is used here.

    Raises:
        BadKey: it is not.
    """
    if isinstance(key, rsa.RSAPublicKey) and key.key_size < _RSA_BITS:
        raise BadKey(f"an RSA key of {key.key_size} bits is too weak")
    if not isinstance(key, ec.EllipticCurvePublicKey | rsa.RSAPublicKey | ed25519.Ed25519PublicKey):
        raise BadKey("a key that is neither ECDSA nor RSA nor Ed25519")
    return key


def trusted_keys(read: Iterable[tuple[str, bytes]], *, ecdsa_only: bool = False) -> list[PublicKey]:
    """The keys that a policy trusts, one a file.

    Raises:
        TrustUnavailable: one cannot be used, which is said of all then.
    """
    found = []
    for what, data in read:
        try:
            key = parse_key(data)
        except BadKey as error:
            raise TrustUnavailable(f"{what}: {error}") from error
        if ecdsa_only and not isinstance(key, ec.EllipticCurvePublicKey):
            raise TrustUnavailable(f"{what}: the key of a Rekor log must be ECDSA")
        found.append(key)
    return found


def spki(key: PublicKey) -> bytes:
    """The DER of a key's SubjectPublicKeyInfo, by which keys are compared."""
    return key.public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)


def is_signed(key: PublicKey, signature: bytes, message: bytes) -> bool:
    """Whether a signature of ``message`` is by the key."""
    try:
        if isinstance(key, ec.EllipticCurvePublicKey):
            key.verify(signature, message, ec.ECDSA(hashes.SHA256()))
        elif isinstance(key, rsa.RSAPublicKey):
            key.verify(signature, message, padding.PKCS1v15(), hashes.SHA256())
        else:
            key.verify(signature, message)
    except (InvalidSignature, ValueError, UnsupportedAlgorithm):
        return False
    return True
