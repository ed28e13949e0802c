import re

import pytest

from cri.streaming.tokens import Tokens, TooManyTokens, random_token


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


def test_a_token_works_once(clock: Clock) -> None:
    tokens = Tokens[str](clock)
    token = tokens.issue("request")
    assert tokens.take(token) == "request"
    assert tokens.take(token) is None


def test_an_unknown_token_is_nothing(clock: Clock) -> None:
    assert Tokens[str](clock).take("guess") is None


def test_a_token_lives_for_a_minute(clock: Clock) -> None:
    tokens = Tokens[str](clock)
    early, late = tokens.issue("early"), tokens.issue("late")
    clock.now += 59.9
    assert tokens.take(early) == "early"
    clock.now += 0.1
    assert tokens.take(late) is None


def test_the_thousandth_and_first_is_refused_until_one_is_used(clock: Clock) -> None:
    tokens = Tokens[int](clock)
    issued = [tokens.issue(number) for number in range(1000)]
    with pytest.raises(TooManyTokens, match="1000"):
        tokens.issue(1000)
    tokens.take(issued[500])
    assert tokens.take(tokens.issue(1000)) == 1000


def test_expired_tokens_make_room(clock: Clock) -> None:
    tokens = Tokens[int](clock, capacity=2)
    tokens.issue(1)
    clock.now += 30
    tokens.issue(2)
    clock.now += 30
    tokens.issue(3)
    assert len(tokens) == 2


def test_tokens_are_url_safe_and_differ() -> None:
    tokens = {random_token() for _ in range(100)}
    assert len(tokens) == 100
    assert all(re.fullmatch(r"[A-Za-z0-9_-]{22}", token) for token in tokens)
