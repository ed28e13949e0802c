"""cri/cli/output: what reaches the terminal."""

import subprocess
import sys

import pytest

from cri.cli.output import say, say_lines, warn

EVIL = "a\nb\x1b]0;t\x07\u202e"


def test_a_line_is_a_line(capsys: pytest.CaptureFixture[str]) -> None:
    say(EVIL)
    warn(EVIL)
    captured = capsys.readouterr()
    assert captured.out == captured.err == "a\\nb\\x1b]0;t\\x07\\u202e\n"


def test_text_of_ours_keeps_its_lines(capsys: pytest.CaptureFixture[str]) -> None:
    say_lines("a\x1b\nb\n")
    assert capsys.readouterr().out == "a\\x1b\nb\n"


def test_an_unforeseen_error_of_a_command_does_not_reach_the_terminal_as_it_is() -> None:
    program = (
        "import sys; import cri.cli.version as command; from cri.cli import main\n"
        "def run(arguments): raise RuntimeError('x\\x1b[31m\\ny')\n"
        "command.run = run; sys.exit(main(['version']))"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, timeout=60, check=False)
    assert done.returncode == 1
    assert b"RuntimeError: x" in done.stderr
    assert b"\x1b" not in done.stderr
