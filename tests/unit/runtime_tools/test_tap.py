import pytest

from tests.runtime_tools.tap import Verdict, judge

PASSED = """TAP version 13
ok 1 - has expected hostname
  ---
  {
    "actual": "not ok"
  }
  ...
ok 2 - inherit namespace ipc without type
1..2
"""


@pytest.mark.parametrize(
    ("text", "code", "verdict"),
    [
        (PASSED, 0, Verdict.PASSED),
        (PASSED, 1, Verdict.FAILED),
        ("TAP version 13\nok 1 - one\nnot ok 2 - another\n1..2\n", 0, Verdict.FAILED),
        ("TAP version 13\n1..0\n", 0, Verdict.SKIPPED),
        ("TAP version 13\n1..0 # SKIP no such device\n", 0, Verdict.SKIPPED),
        ("ok 1 # SKIP no AppArmor\n1..1\n", 0, Verdict.SKIPPED),
        ("failed to create the container\nexit status 1\n", 1, Verdict.FAILED),
        ("", 0, Verdict.FAILED),
    ],
)
def test_a_program_is_judged_by_its_words_and_its_end(text: str, code: int, verdict: Verdict) -> None:
    assert judge(text, code).verdict is verdict


def test_what_failed_is_named_and_why() -> None:
    found = judge("not ok 1 - one of 5\nok 2 - two\nexit status 1\n1..2\n", 1)
    assert (found.failed, found.told) == (["one of …"], "exit status 1")


def test_the_same_words_hold_when_they_always_do() -> None:
    assert judge("ok 1 - of 4\nnot ok 2 - of 5\n1..2\n", 0).assertions == {"of …": False}
