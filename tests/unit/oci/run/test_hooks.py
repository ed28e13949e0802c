"""Hooks: programs that get the state and have a time."""

import json
from pathlib import Path

import pytest

from oci.run import hooks
from oci.run.errors import StepFailed
from oci.run.operations import Hook


def shell(script: str, env: tuple[str, ...] | None = (), timeout_s: int = 0) -> Hook:
    return Hook("/bin/sh", ("sh", "-c", script), env, timeout_s)


def test_the_state_is_the_standard_input(tmp_path: Path) -> None:
    state = {"id": "x", "long": "y" * 100_000}
    hooks.run("prestart", [shell(f"cat > {tmp_path}/state")], state)
    assert json.loads((tmp_path / "state").read_text()) == state


def test_who_does_not_read_it_is_not_waited_for() -> None:
    hooks.run("prestart", [shell("exec <&-; exit 0")], {"long": "y" * 1_000_000})


def test_words_environment_and_umask_are_those_given(tmp_path: Path) -> None:
    script = f'echo "$A $B $0 $(umask)" >> {tmp_path}/said'
    hook = Hook("/bin/sh", ("name", "-c", script, "zero"), ("A=1",), 0)
    hooks.run("prestart", [hook, hook._replace(env=None)], {}, inherited=("B=2",))
    assert (tmp_path / "said").read_text() == "1  zero 0022\n 2 zero 0022\n"


@pytest.mark.parametrize(
    ("hook", "words"),
    [
        (shell("echo out; echo err >&2; exit 3"), "exit status 3, stdout: out\n, stderr: err\n"),
        (shell("kill -9 $$"), "exit status 137"),
        (shell("exec sleep 600", timeout_s=1), "hook ran past specified timeout of 1s"),
        (Hook("/no/such", (), None, 0), "no such file or directory"),
    ],
)
def test_a_failure_names_point_and_number(hook: Hook, words: str) -> None:
    with pytest.raises(StepFailed) as failure:
        hooks.run("poststart", [shell("true"), hook, shell("touch /never")], {})
    assert str(failure.value).startswith("error running poststart hook #1: ")
    assert words in str(failure.value)
