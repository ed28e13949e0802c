"""What is run: the environment of `make critest` as a critest command line."""

from pathlib import Path

import pytest

from tests.critest.expected import Skip
from tests.critest.run import Request

CRITEST = Path("/tools/critest")


def test_without_variables_all_specs_run_by_crun_in_one_process() -> None:
    line = Request.of({}).command(CRITEST, "unix:///x.sock", "(digest)")
    assert line[0] == "/tools/critest"
    assert "-runtime-endpoint=unix:///x.sock" in line
    assert "-runtime-handler=crun" in line
    assert "-ginkgo.skip=(digest)" in line
    assert not any(word.startswith(("-parallel", "-ginkgo.focus")) for word in line)


def test_variables_reach_the_command_line() -> None:
    env = {
        "FOCUS": "Streaming",
        "HANDLER": "runc",
        "PARALLEL": "2",
        "ARGS": "-websocket-exec -ginkgo.seed='7'",
    }
    line = Request.of(env).command(CRITEST, "unix:///x.sock", "")
    assert "-ginkgo.focus=Streaming" in line
    assert "-runtime-handler=runc" in line
    assert line[-3:] == ["-parallel=2", "-websocket-exec", "-ginkgo.seed=7"]


def test_conformance_is_a_focus_that_focus_overrides() -> None:
    assert Request.of({"CONFORMANCE": "1"}).focus == r"\[Conformance\]"
    assert Request.of({"CONFORMANCE": "1", "FOCUS": "Pod"}).focus == "Pod"


def test_ginkgo_is_told_to_leave_out_only_what_cannot_skip_itself() -> None:
    request = Request.of({"SKIP": "slow"})
    assert request.left_out((Skip("a", "x", by_us=True), Skip("b", "y"))) == "(a)|(slow)"


@pytest.mark.parametrize(
    ("env", "words"),
    [
        ({"FOCUS": "["}, "FOCUS"),
        ({"SKIP": "("}, "SKIP"),
        ({"PARALLEL": "many"}, "PARALLEL"),
        ({"PARALLEL": "0"}, "0"),
    ],
)
def test_a_variable_that_makes_no_sense_is_named(env: dict[str, str], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        Request.of(env)
