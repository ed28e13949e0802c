from tests.harness.runtimes import OWN
from tests.runtime_tools.run import complaints, shown
from tests.runtime_tools.tap import Outcome, Verdict

GOOD = Outcome(Verdict.PASSED, {"it": True})
BAD = Outcome(Verdict.FAILED, {"it": False})
PARTLY = Outcome(Verdict.FAILED, {"it": True, "more": False})


def table(own: Outcome, other: Outcome) -> dict[str, dict[str, Outcome]]:
    return {"start": {"crun": other, OWN: own}}


def test_what_another_passes_has_to_pass_or_have_a_reason() -> None:
    assert complaints(table(GOOD, GOOD), {}, {}) == []
    assert complaints(table(GOOD, BAD), {}, {}) == []
    wrong = complaints(table(BAD, GOOD), {}, {})
    assert wrong[0] == f"start: passed by crun, not by {OWN}: ['it']"
    assert complaints(table(BAD, GOOD), {"start": "why"}, {}) == []


def test_what_nobody_passes_needs_a_reason_too() -> None:
    assert len(complaints(table(BAD, BAD), {}, {})) == 1
    assert complaints(table(BAD, BAD), {}, {"start": "why"}) == []


def test_a_single_assertion_that_holds_with_another_is_a_difference() -> None:
    wrong = complaints(table(BAD, PARTLY), {}, {})
    assert f"start: holds with crun, not with {OWN}: ['it']" in wrong


def test_a_reason_for_what_passes_is_out_of_date() -> None:
    assert complaints(table(GOOD, GOOD), {"start": "why"}, {}) != []
    assert complaints(table(GOOD, BAD), {}, {"start": "why"}) != []


def test_the_table_has_a_line_for_each_program_and_counts() -> None:
    lines = shown(table(GOOD, BAD), ["crun", OWN]).splitlines()
    assert lines[1].split() == ["start", "FAILED", "passed"]
    assert lines[2].split() == ["passed", "0", "1"]
    assert lines[-1] == "start, crun: it"
