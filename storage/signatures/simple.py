"""Simple signing: an OpenPGP message whose content is the payload (containers-signature(5))."""

from storage.reference import Reference
from storage.signatures import openpgp
from storage.signatures.evidence import Simple
from storage.signatures.payload import SIMPLE_TYPE, parse_payload, require_bound
from storage.signatures.requirements import SignedBy


async def verify_simple(
    signature: Simple, keys: list[bytes], wanted: SignedBy, manifest: bytes, asked: Reference
) -> None:
    """Return when the signature satisfies the requirement; ``keys`` are its keyrings.

    First the signature, then the digest, then the name: nothing in a payload counts before it is verified.

    Raises:
        NotAccepted: it does not, and why.
        TrustUnavailable: it could not be looked into.
    """
    signed = await openpgp.verify(signature.message, keys)
    require_bound(parse_payload(signed.content, SIMPLE_TYPE), manifest, wanted.identity, asked)
