"""cri/logs: a stranger's text is one line, and acts on nothing."""

import json
import logging
import sys

import pytest

from cri.logs import JsonFormatter, TextFormatter

EVIL = "no\n2026-11-29T00:00:00.000Z ERROR   cri.daemon: FORGED \x1b[31m\x1b]0;t\x07\x9b\u2028\u202e\ud800\r"


def record(exception: BaseException | None = None) -> logging.LogRecord:
    trace = None
    if exception is not None:
        try:
            raise exception
        except BaseException:
            trace = sys.exc_info()
    return logging.LogRecord("cri.x", logging.ERROR, "f", 1, "error=%s", (EVIL,), trace)


def test_a_message_is_one_line() -> None:
    line = TextFormatter().format(record())
    assert len(line.splitlines()) == 1
    assert line.endswith(
        "cri.x: error=no\\n2026-11-29T00:00:00.000Z ERROR   cri.daemon: FORGED "
        "\\x1b[31m\\x1b]0;t\\x07\\x9b\\u2028\\u202e\\ud800\\r"
    )


@pytest.mark.parametrize("error", [ValueError(EVIL), RuntimeError(EVIL, EVIL)])
def test_the_words_of_an_unforeseen_error_begin_no_line(error: Exception) -> None:
    first, *others = TextFormatter().format(record(error)).split("\n")
    assert others
    assert all(line.startswith("    ") for line in others)
    assert "\x1b" not in first + "".join(others)


def test_json_has_the_same_words() -> None:
    entry = json.loads(JsonFormatter().format(record(ValueError(EVIL))))
    assert entry["message"].startswith("error=no\\n2026")
    assert "\x1b" not in entry["message"] + entry["trace"]
