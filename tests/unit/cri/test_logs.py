"""The daemon's log: fields, in both forms, and whom a line is about."""

import asyncio
import json
import logging
import sys
from typing import Any

import pytest

from cri.logs import JsonFormatter, Only, TextFormatter, fields, fields_of, set_filter, set_up, under


def record(template: str, *arguments: object, **extra: Any) -> logging.LogRecord:
    made = logging.LogRecord("cri.x", logging.INFO, "x.py", 1, template, arguments, None)
    for name, value in extra.items():
        setattr(made, name, value)
    return made


def text(made: logging.LogRecord) -> str:
    return TextFormatter().format(made).split(": ", 1)[1]


def entry(made: logging.LogRecord) -> dict[str, Any]:
    found = json.loads(JsonFormatter().format(made))
    assert {"time", "level", "logger", "message"} <= found.keys()
    return dict(found)


def test_fields_of_a_call_are_at_the_end_of_a_text_line() -> None:
    made = record("pod started", **fields(pod="web", ms=1.5, empty="", none=None, words="a b", quote='"'))
    assert text(made) == 'pod started pod=web ms=1.5 words="a b" quote="\\""'


def test_fields_of_a_call_are_keys_in_json_with_their_types() -> None:
    found = entry(record("pod started", **fields(pod="web", ms=1.5, exit_code=0)))
    assert (found["message"], found["pod"], found["ms"], found["exit_code"]) == ("pod started", "web", 1.5, 0)


@pytest.mark.parametrize(
    ("template", "arguments", "found"),
    [
        ("source failed reference=%s host=%s", ("a", "b"), {"reference": "a", "host": "b"}),
        ("%s failed code=%d", ("verb", 5), {"code": 5}),
        ("%d%% of size=%.1f", (5, 1.0), {"size": 1.0}),
        ("nothing", (), {}),
        ("plain %s", ("x",), {}),
    ],
)
def test_what_stands_in_a_template_with_its_name_is_a_field(
    template: str, arguments: tuple[object, ...], found: dict[str, object]
) -> None:
    assert fields_of(record(template, *arguments)) == found


def test_a_field_never_hides_what_every_line_has() -> None:
    found = entry(record("x", **fields(message="other", level="other", pod="web")))
    assert (found["message"], found["level"], found["pod"]) == ("x", "info", "web")


async def test_lines_of_a_request_and_of_its_tasks_and_threads_name_its_pod() -> None:
    async def later() -> str:
        return text(record("in a task"))

    with under(lambda: {"pod": "web"}):
        task = asyncio.create_task(later())
        assert text(record("here", **fields(ms=1))) == "here pod=web ms=1"
        assert entry(record("here"))["pod"] == "web"
        assert await asyncio.to_thread(text, record("in a thread")) == "in a thread pod=web"
    assert await task == "in a task pod=web"
    assert text(record("outside")) == "outside"


def test_whom_a_request_is_about_is_asked_only_when_a_line_is_written() -> None:
    def never() -> dict[str, object]:
        raise AssertionError("asked")

    with under(never):
        pass


EVIL = "no\n2026-11-29T00:00:00.000Z ERROR   cri.daemon: FORGED \x1b[31m\x1b]0;t\x07\x9b\u2028\u202e\ud800\r"
SHOWN = (
    "no\\n2026-11-29T00:00:00.000Z ERROR   cri.daemon: FORGED "
    "\\x1b[31m\\x1b]0;t\\x07\\x9b\\u2028\\u202e\\ud800\\r"
)


def failed(exception: Exception) -> logging.LogRecord:
    made = record("error=%s", EVIL)
    try:
        raise exception
    except Exception:
        made.exc_info = sys.exc_info()
    return made


def test_a_strangers_text_is_one_line_and_acts_on_nothing() -> None:
    assert text(record("error=%s", EVIL)) == f"error={SHOWN}"
    line = TextFormatter().format(record("x", **fields(pod=EVIL)))
    assert len(line.splitlines()) == 1
    assert line.isprintable()
    found = entry(record("error=%s", EVIL, **fields(pod=EVIL)))
    assert found["message"] == f"error={SHOWN}"
    assert found["error"] == found["pod"] == SHOWN


@pytest.mark.parametrize("error", [ValueError(EVIL), RuntimeError(EVIL, EVIL)])
def test_the_words_of_an_unforeseen_error_begin_no_line(error: Exception) -> None:
    first, *others = TextFormatter().format(failed(error)).split("\n")
    assert others
    assert all(line.startswith("    ") for line in others)
    assert "\x1b" not in first + "".join(others)
    assert "\x1b" not in entry(failed(error))["trace"]


@pytest.mark.parametrize(
    ("pattern", "message", "passes"),
    [
        ("", "anything", True),
        ("^pod", "pod started", True),
        ("^pod", "container created", False),
        ("web", "pod started", False),  # fields do not count
        ("start|end", "pod started", True),
    ],
)
def test_a_filter_lets_pass_what_it_is_found_in(pattern: str, message: str, passes: bool) -> None:
    assert Only(pattern).filter(record(message, **fields(pod="web"))) is passes


def test_a_filter_changes_while_the_daemon_runs(capsys: pytest.CaptureFixture[str]) -> None:
    root = logging.getLogger()
    before, level = root.handlers[:], root.level
    try:
        set_up("info", "text", "^a", threaded=False)
        for words in ("^a", "^b", ""):
            set_filter(words)
            logging.warning("a with %s", words)
            logging.warning("b with %s", words)
    finally:
        root.handlers[:] = before
        root.setLevel(level)
    lines = [line.split(": ", 1)[1] for line in capsys.readouterr().err.splitlines()]
    assert lines == ["a with ^a", "b with ^b", "a with ", "b with "]


@pytest.mark.parametrize(
    ("message", "is_told"),
    [
        ("ExecuteBatchError raised in core by servicer method [/runtime.v1.ImageService/PullImage]", False),
        ("Unexpected [KeyError] raised by servicer method [/runtime.v1.ImageService/PullImage]", True),
    ],
)
def test_a_client_that_left_before_its_answer_is_no_error(
    message: str, is_told: bool, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    root = logging.getLogger()
    monkeypatch.setattr(root, "handlers", list(root.handlers))
    monkeypatch.setattr(root, "level", root.level)
    set_up("info", "text", threaded=False)
    logging.getLogger("grpc._cython.cygrpc").error(message)
    assert (message in capfd.readouterr().err) == is_told
