"""Digests of content (image-spec v1.1, descriptor.md): sha256, the one that registries and images use."""

import hashlib
import re
from dataclasses import dataclass
from typing import Self

from api.errors import InvalidArgument

_FORM = re.compile(r"sha256:([0-9a-f]{64})")


class InvalidDigest(InvalidArgument):
    """A text is no digest, or one of an algorithm that is not supported."""


class DigestMismatch(InvalidArgument):
    """Content does not have the digest by which it was asked for."""

    def __init__(self, what: str, expected: str, got: str) -> None:
        super().__init__(
            f"{what}: digest mismatch: expected {expected}, got {got}; "
            "the registry or the way to it damaged the content"
        )
        self.expected = expected
        self.got = got


@dataclass(frozen=True, slots=True, order=True)
class Digest:
    """A well-formed sha256 digest; holding one is proof that it parsed."""

    hex: str

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read ``sha256:<64 lower-case hex digits>``.

        Raises:
            InvalidDigest: ``text`` has another form.
        """
        match = _FORM.fullmatch(text)
        if match is None:
            raise InvalidDigest(f"{text[:120]!r} is not a digest of the form sha256:<64 hex digits>")
        return cls(match[1])

    @classmethod
    def of(cls, data: bytes) -> Self:
        """The digest of ``data``."""
        return cls(hashlib.sha256(data).hexdigest())

    def __str__(self) -> str:
        return f"sha256:{self.hex}"


def chain_ids(diff_ids: tuple[Digest, ...]) -> tuple[Digest, ...]:
    """The chain id of every layer, bottom first (image-spec v1.1, config.md, "Layer ChainID")."""
    chain: list[Digest] = []
    for diff_id in diff_ids:
        chain.append(Digest.of(f"{chain[-1]} {diff_id}".encode()) if chain else diff_id)
    return tuple(chain)
