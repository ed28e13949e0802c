import re

import pytest

from cri.streaming.seal import Seal

SEAL = Seal(bytes(32))
TOKEN = SEAL.mint()


def test_tokens_are_url_safe_differ_and_are_recognised() -> None:
    tokens = {SEAL.mint() for _ in range(100)}
    assert len(tokens) == 100
    assert all(re.fullmatch(r"[A-Za-z0-9_-]{44}", token) for token in tokens)
    assert all(SEAL.recognises(token) for token in tokens)


@pytest.mark.parametrize(
    "guess",
    ["", "guess", "A" * 44, TOKEN[:-1], TOKEN + "A", TOKEN[22:] + TOKEN[:22], "é" * 44, TOKEN[:43] + "\0"],
)
def test_guesses_are_not(guess: str) -> None:
    assert not SEAL.recognises(guess)


@pytest.mark.parametrize("at", range(44))
def test_a_token_with_one_character_changed_is_not(at: int) -> None:
    # The last character of each half carries bits that decoding would drop; as text they count.
    changed = "A" if TOKEN[at] != "A" else "B"
    assert not SEAL.recognises(TOKEN[:at] + changed + TOKEN[at + 1 :])


def test_another_start_has_another_key() -> None:
    assert not Seal.fresh().recognises(TOKEN)
    assert Seal(Seal.fresh().key).key != SEAL.key
