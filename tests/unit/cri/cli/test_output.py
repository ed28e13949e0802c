"""cri/cli/output: what reaches the terminal."""

import io
import subprocess
import sys

import pytest
import yaml

from cri.cli.output import RED, reason, say, say_lines, show, table, warn

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


@pytest.mark.parametrize(
    ("form", "printed"),
    [
        ("table", "one line\n"),
        ("json", '[\n  {\n    "name": "ä",\n    "tags": []\n  }\n]\n'),
        ("yaml", "- name: ä\n  tags: []\n"),
    ],
)
def test_one_thing_in_each_form(capsys: pytest.CaptureFixture[str], form: str, printed: str) -> None:
    show(form, [{"name": "ä", "tags": []}], ["one line"])
    assert capsys.readouterr().out == printed


@pytest.mark.parametrize("form", ["json", "yaml"])
def test_no_form_acts_on_the_terminal_or_breaks_what_reads_it(
    capsys: pytest.CaptureFixture[str], form: str
) -> None:
    show(form, {"name": EVIL}, [])
    printed = capsys.readouterr().out
    assert "\x1b" not in printed
    assert "\u202e" not in printed
    assert yaml.safe_load(printed) == {"name": EVIL}  # JSON is YAML too


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (FileNotFoundError(2, "No such file or directory", "/x"), "/x: No such file or directory"),
        (OSError(28, "No space left on device"), "No space left on device"),
        (OSError("odd"), "odd"),
    ],
)
def test_an_error_of_the_system_is_told_without_its_number(error: OSError, words: str) -> None:
    assert reason(error) == words


def test_columns_are_as_wide_as_what_is_in_them() -> None:
    lines = list(table(("ID", "NAME"), [("1", "a b"), ("1234", "\x1b[31m")]))
    assert lines == ["ID     NAME", "1      a b", "1234   \\x1b[31m"]


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.mark.parametrize(
    ("file", "environment", "printed"),
    [
        (Terminal(), {"TERM": "xterm"}, "\x1b[31mFAILS\x1b[0m kernel\n"),
        (Terminal(), {"TERM": "xterm", "NO_COLOR": ""}, "\x1b[31mFAILS\x1b[0m kernel\n"),
        (Terminal(), {"TERM": "xterm", "NO_COLOR": "1"}, "FAILS kernel\n"),
        (Terminal(), {"TERM": "dumb"}, "FAILS kernel\n"),
        (Terminal(), {}, "FAILS kernel\n"),
        (io.StringIO(), {"TERM": "xterm"}, "FAILS kernel\n"),
    ],
)
def test_colours_are_for_terminals_that_want_them(
    monkeypatch: pytest.MonkeyPatch, file: io.StringIO, environment: dict[str, str], printed: str
) -> None:
    for name in ("TERM", "NO_COLOR"):
        monkeypatch.delenv(name, raising=False)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    say("FAILS kernel", file, {"FAILS": RED})
    assert file.getvalue() == printed


def test_a_strangers_word_gets_no_colour(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TERM", "xterm")
    file = Terminal()
    say("image\x1b[31m FAILS", file, {"FAILS": RED})
    assert file.getvalue() == "image\\x1b[31m FAILS\n"
