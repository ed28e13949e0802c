"""Single-use tokens that stand for checked requests in streaming URLs.

    issued ──take──▶ used        issued ──lifetime over──▶ expired        both: unknown from then on

At most ``capacity`` are outstanding. All live equally long, so the oldest is always first and
cleaning up is popping from the front.
"""

import secrets
from collections.abc import Callable
from typing import Generic, TypeVar

from api.errors import ResourceExhausted

T = TypeVar("T")


class TooManyTokens(ResourceExhausted):
    """As many streaming requests as allowed wait for their clients."""


def random_token() -> str:
    """22 random url-safe characters (128 bits)."""
    return secrets.token_urlsafe(16)


class Tokens(Generic[T]):
    """Outstanding tokens and what each stands for."""

    def __init__(
        self,
        clock: Callable[[], float],
        *,
        lifetime_s: float = 60.0,
        capacity: int = 1000,
        mint: Callable[[], str] = random_token,
    ) -> None:
        self._clock = clock
        self._lifetime_s = lifetime_s
        self._capacity = capacity
        self._mint = mint
        self._issued: dict[str, tuple[float, T]] = {}

    def issue(self, item: T) -> str:
        """A token for ``item``.

        Raises:
            TooManyTokens: ``capacity`` tokens are neither used nor expired.
        """
        self._forget_expired()
        if len(self._issued) >= self._capacity:
            raise TooManyTokens(
                f"{self._capacity} streaming requests wait for their clients; connect to those or wait "
                f"{self._lifetime_s:g} s until they expire"
            )
        token = self._mint()
        self._issued[token] = (self._clock() + self._lifetime_s, item)
        return token

    def take(self, token: str) -> T | None:
        """What the token stands for, once; None when it is unknown, used or expired."""
        self._forget_expired()
        entry = self._issued.pop(token, None)
        return entry[1] if entry else None

    def __len__(self) -> int:
        self._forget_expired()
        return len(self._issued)

    def _forget_expired(self) -> None:
        now = self._clock()
        while self._issued:
            token, (deadline, _) = next(iter(self._issued.items()))
            if deadline > now:
                return
            del self._issued[token]
