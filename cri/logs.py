"""The daemon's own log, one line a message: ``time level logger message`` or a JSON object."""

import json
import logging
import sys
import time

from cri.log_queue import QueueHandler

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


class TextFormatter(logging.Formatter):
    """Readable by people, one line but for a traceback."""

    def format(self, record: logging.LogRecord) -> str:
        text = f"{_stamp(record.created)} {record.levelname:<7} {record.name}: {record.getMessage()}"
        return f"{text}\n{self.formatException(record.exc_info)}" if record.exc_info else text


class JsonFormatter(logging.Formatter):
    """Readable by machines: time, level, logger, message and, after an unforeseen error, trace."""

    def format(self, record: logging.LogRecord) -> str:
        entry = {
            "time": _stamp(record.created),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
        }
        if record.exc_info:
            entry["trace"] = self.formatException(record.exc_info)
        return json.dumps(entry)


def set_up(level: str, form: str) -> None:
    """Log to standard error; ``level`` and ``form`` as in the configuration."""
    handler = QueueHandler(sys.stderr)
    handler.setFormatter(JsonFormatter() if form == "json" else TextFormatter())
    root = logging.getLogger()
    root.handlers[:] = [handler]
    set_level(level)
    for talkative in ("asyncio", "grpc", "aiohttp"):
        logging.getLogger(talkative).setLevel(logging.WARNING)


def set_level(level: str) -> None:
    """Log from this level on, as the configuration names it."""
    logging.getLogger().setLevel(_LEVELS[level])
