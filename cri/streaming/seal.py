"""Tokens that prove themselves: random text and its authentication code under a key of this start.

    <22 characters: 128 random bits><22 characters: the first 128 bits of HMAC-SHA256>      both base64url

Whoever holds the key can tell a stranger's guess from an issued token without asking anybody; what a token
stands for, and whether it was used, only the table knows (cri.streaming.tokens).
"""

import base64
import hashlib
import hmac
import secrets
from typing import Final

_HALF_CHARACTERS: Final = 22
_CODE_BYTES: Final = 16
KEY_BYTES: Final = 32


class Seal:
    """Mints and recognises tokens."""

    def __init__(self, key: bytes) -> None:
        self._key = key

    @classmethod
    def fresh(cls) -> "Seal":
        """With a key of its own."""
        return cls(secrets.token_bytes(KEY_BYTES))

    @property
    def key(self) -> bytes:
        """The secret, for whoever is to recognise our tokens."""
        return self._key

    def mint(self) -> str:
        """A new token: 44 url-safe characters."""
        random = secrets.token_urlsafe(_CODE_BYTES)
        return random + self._code(random)

    def recognises(self, token: str) -> bool:
        """Whether it was minted under this key; takes the same time for every text of the right length."""
        random, code = token[:_HALF_CHARACTERS], token[_HALF_CHARACTERS:]
        return token.isascii() and hmac.compare_digest(code, self._code(random))

    def _code(self, random: str) -> str:
        digest = hmac.digest(self._key, random.encode(), hashlib.sha256)[:_CODE_BYTES]
        return base64.urlsafe_b64encode(digest).rstrip(b"=").decode()
