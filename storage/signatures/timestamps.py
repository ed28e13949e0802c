"""RFC 3161 timestamps: when a signature was there, by a clock that is trusted (rfc3161-client)."""

from collections.abc import Sequence
from datetime import UTC, datetime

from storage.signatures.errors import NotAccepted
from storage.signatures.trusted_root import Authority

TOKEN_LIMIT = 64 << 10


def time_of(token: bytes, signature: bytes, clocks: Sequence[Authority]) -> datetime:
    """The time that one of the clocks put on a signature.

    Raises:
        NotAccepted: none did.
    """
    from rfc3161_client import VerificationError, VerifierBuilder, decode_timestamp_response

    if len(token) > TOKEN_LIMIT:
        raise NotAccepted("a timestamp that is too long")
    try:
        response = decode_timestamp_response(token)
        at = response.tst_info.gen_time
    except ValueError as error:
        raise NotAccepted(f"invalid timestamp: {error}") from error
    at = at if at.tzinfo is not None else at.replace(tzinfo=UTC)
    for clock in clocks:
        if not clock.begin <= at <= clock.end:
            continue
        verifier = VerifierBuilder(
            tsa_certificate=clock.leaf,
            intermediates=list(clock.roots.intermediates),
            roots=list(clock.roots.roots),
        ).build()
        try:
            verifier.verify_message(response, signature)
            return at
        except (VerificationError, ValueError):
            continue
    raise NotAccepted("its timestamp is by no trusted clock, or of another signature")
