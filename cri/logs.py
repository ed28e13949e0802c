"""The daemon's own log, one line a message: ``time level logger: message name=value`` or a JSON object.

A line has fields: those that a call gives (``extra=fields(...)``), those that stand in its template as
``name=%s``, and those of the request that it is logged ``under``: whose pod and container it is about.
In JSON every field is a key of its own.

Messages and fields quote registries, images, plugins, runtimes and pods: what would act in them is escaped
here, for all of them (api/text.py). No message begins a second line, and the lines of a traceback are
indented, so what stands at the beginning of a line was written by the daemon.
"""

import contextlib
import json
import logging
import re
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextvars import ContextVar

from api.text import printable
from cri.log_queue import QueueHandler

Fields = Mapping[str, object]

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
_PLACEHOLDER = re.compile(r"(?:(\w+)=)?%(?:%|[-#0+ ]*\d*(?:\.\d+)?[a-zA-Z])")
_PLAIN = re.compile(r"[^\s\"=]+")
_RESERVED = frozenset({"time", "level", "logger", "message", "trace"})
_SUBJECT: ContextVar[Callable[[], Fields] | None] = ContextVar("subject", default=None)


def fields(**values: object) -> Mapping[str, Fields]:
    """For ``extra=`` of a logging call; what is empty is left out."""
    return {"fields": {name: value for name, value in values.items() if value not in ("", None)}}


def subject() -> Fields:
    """What the code that runs now is about."""
    resolve = _SUBJECT.get()
    return {} if resolve is None else resolve()


@contextlib.contextmanager
def under(resolve: Callable[[], Fields]) -> Iterator[None]:
    """Every line of the block, and of the tasks and threads that it begins, gets what ``resolve`` gives then.

    It is asked when a line is written, so that a request which logs nothing costs nothing.
    """
    token = _SUBJECT.set(resolve)
    try:
        yield
    finally:
        _SUBJECT.reset(token)


def fields_of(record: logging.LogRecord) -> dict[str, object]:
    """All fields of a line; the call's own win over those of the request."""
    return {**subject(), **_in_template(record), **getattr(record, "fields", {})}


def _in_template(record: logging.LogRecord) -> dict[str, object]:
    if not isinstance(record.args, tuple) or "=%" not in str(record.msg):
        return {}
    names = [match[1] for match in _PLACEHOLDER.finditer(str(record.msg)) if not match[0].endswith("%%")]
    return {name: value for name, value in zip(names, record.args, strict=False) if name}


def _stamp(created: float) -> str:
    whole = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(created))
    return f"{whole}.{int(created * 1000) % 1000:03}Z"


def _indented(trace: str) -> str:
    """A traceback, whose last words may be a stranger's, with every line behind a margin."""
    return "\n".join(f"    {printable(line)}" for line in trace.split("\n"))


class TextFormatter(logging.Formatter):
    """Readable by people, one line but for a traceback."""

    def format(self, record: logging.LogRecord) -> str:
        shown = {**subject(), **getattr(record, "fields", {})}
        message = printable(
            " ".join([record.getMessage(), *(f"{name}={_text(value)}" for name, value in shown.items())])
        )
        text = f"{_stamp(record.created)} {record.levelname:<7} {record.name}: {message}"
        return f"{text}\n{_indented(self.formatException(record.exc_info))}" if record.exc_info else text


def _text(value: object) -> str:
    text = f"{value:g}" if isinstance(value, float) else str(value)
    return text if _PLAIN.fullmatch(text) else json.dumps(text, ensure_ascii=False)


class JsonFormatter(logging.Formatter):
    """Readable by machines: time, level, logger, message, fields and, after an unforeseen error, trace."""

    def format(self, record: logging.LogRecord) -> str:
        entry: dict[str, object] = {
            "time": _stamp(record.created),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": printable(record.getMessage()),
        }
        for name, value in fields_of(record).items():
            if name not in _RESERVED:
                entry[name] = printable(value) if isinstance(value, str) else value
        if record.exc_info:
            entry["trace"] = _indented(self.formatException(record.exc_info))
        return json.dumps(entry, default=str)


class Only(logging.Filter):
    """Lets messages pass in which ``pattern`` is found (``log_filter``); fields do not count."""

    def __init__(self, pattern: str = "") -> None:
        super().__init__()
        self.pattern = re.compile(pattern)

    def filter(self, record: logging.LogRecord) -> bool:
        return not self.pattern.pattern or self.pattern.search(record.getMessage()) is not None


def set_up(level: str, form: str, pattern: str = "", *, threaded: bool = True) -> None:
    """Log to standard error; ``level``, ``form`` and ``pattern`` as in the configuration.

    ``threaded``: a thread writes, so that nobody waits for a disk.
    """
    handler = _handler(form, threaded=threaded)
    handler.addFilter(Only(pattern))
    root = logging.getLogger()
    root.handlers[:] = [handler]
    set_level(level)
    # No line says which file, thread or process it is of: looking that up is a third of what a message costs.
    logging._srcfile = None  # as the documentation of logging has it
    logging.logThreads = logging.logProcesses = logging.logMultiprocessing = False
    logging.getLogger("grpc._cython.cygrpc").addFilter(_is_more_than_a_client_that_left)
    for talkative in ("asyncio", "grpc", "aiohttp"):
        logging.getLogger(talkative).setLevel(logging.WARNING)


def _handler(form: str, *, threaded: bool) -> logging.Handler:
    if form == "journald" and threaded:
        from cri.journal import Journal, JournalFormatter  # only where systemd runs the machine

        handler: logging.Handler = QueueHandler(Journal(sys.stderr))
        handler.setFormatter(JournalFormatter())
        return handler
    handler = QueueHandler(sys.stderr) if threaded else logging.StreamHandler()
    handler.setFormatter(JsonFormatter() if form == "json" else TextFormatter())
    return handler


def _is_more_than_a_client_that_left(record: logging.LogRecord) -> bool:
    """gRPC tells as an error that it could not send an answer, which nobody wanted any more."""
    return "ExecuteBatchError raised in core" not in record.getMessage()


def set_level(level: str) -> None:
    """Log from this level on, as the configuration names it."""
    logging.getLogger().setLevel(_LEVELS[level])


def set_filter(pattern: str) -> None:
    """Let only messages pass in which this regular expression is found; "" lets all."""
    for handler in logging.getLogger().handlers:
        for one in handler.filters:
            if isinstance(one, Only):
                one.pattern = re.compile(pattern)
