"""The daemon's own log, one line a message: ``time level logger message`` or a JSON object.

Messages quote registries, images, plugins, runtimes and pods: what would act in them is escaped here, for all
of them (api/text.py). No message begins a second line, and the lines of a traceback are indented, so what
stands at the beginning of a line was written by the daemon.
"""

import json
import logging
import sys
import time

from api.text import printable

_LEVELS = {
    "trace": logging.DEBUG,
    "debug": logging.DEBUG,
    "info": logging.INFO,
    "warn": logging.WARNING,
    "warning": logging.WARNING,
    "error": logging.ERROR,
    "fatal": logging.CRITICAL,
    "panic": logging.CRITICAL,
}


def _stamp(created: float) -> str:
    whole = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(created))
    return f"{whole}.{int(created * 1000) % 1000:03}Z"


def _indented(trace: str) -> str:
    """A traceback, whose last words may be a stranger's, with every line behind a margin."""
    return "\n".join(f"    {printable(line)}" for line in trace.split("\n"))


class TextFormatter(logging.Formatter):
    """Readable by people, one line but for a traceback."""

    def format(self, record: logging.LogRecord) -> str:
        message = printable(record.getMessage())
        text = f"{_stamp(record.created)} {record.levelname:<7} {record.name}: {message}"
        return f"{text}\n{_indented(self.formatException(record.exc_info))}" if record.exc_info else text


class JsonFormatter(logging.Formatter):
    """Readable by machines: time, level, logger, message and, after an unforeseen error, trace."""

    def format(self, record: logging.LogRecord) -> str:
        entry = {
            "time": _stamp(record.created),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": printable(record.getMessage()),
        }
        if record.exc_info:
            entry["trace"] = _indented(self.formatException(record.exc_info))
        return json.dumps(entry)


def set_up(level: str, form: str) -> None:
    """Log to standard error; ``level`` and ``form`` as in the configuration."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(JsonFormatter() if form == "json" else TextFormatter())
    root = logging.getLogger()
    root.handlers[:] = [handler]
    set_level(level)
    for talkative in ("asyncio", "grpc", "aiohttp"):
        logging.getLogger(talkative).setLevel(logging.WARNING)


def set_level(level: str) -> None:
    """Log from this level on, as the configuration names it."""
    logging.getLogger().setLevel(_LEVELS[level])
