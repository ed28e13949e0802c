"""The journal's own protocol, read back from a socket as journald does."""

import io
import logging
import socket
import struct
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from cri.journal import LIMIT_BYTES, Journal, JournalFormatter


@pytest.fixture
def journald(tmp_path: Path) -> Iterator[socket.socket]:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listening:
        listening.bind(str(tmp_path / "journal"))
        listening.settimeout(10)
        yield listening


def read(datagram: bytes) -> dict[str, str]:
    found = {}
    while datagram:
        line, _, datagram = datagram.partition(b"\n")
        name, has_value, value = line.partition(b"=")
        if not has_value:
            (length,) = struct.unpack("<Q", datagram[:8])
            value, datagram = datagram[8 : 8 + length], datagram[8 + length + 1 :]
        found[name.decode()] = value.decode()
    return found


def write(path: str | Path, text: str) -> str:
    """What the other stream got."""
    other = io.StringIO()
    with closing(Journal(other, Path(path))) as journal:
        journal.write(text)
    return other.getvalue()


def sent(journald: socket.socket, message: str, level: int = logging.INFO, **extra: Any) -> dict[str, str]:
    record = logging.LogRecord("cri.x", level, "x.py", 1, message, (), extra.pop("exc_info", None))
    for name, value in extra.items():
        setattr(record, name, value)
    assert write(journald.getsockname(), JournalFormatter().format(record) + "\n") == ""
    return read(journald.recv(1 << 20))


def test_a_message_has_its_fields(journald: socket.socket) -> None:
    assert sent(journald, "pod started", fields={"pod": "web", "ms": 1.5}) == {
        "PRIORITY": "6",
        "MESSAGE": "pod started pod=web ms=1.5",
        "SYSLOG_IDENTIFIER": "podwright",
        "LOGGER": "cri.x",
        "PODWRIGHT_POD": "web",
        "PODWRIGHT_MS": "1.5",
    }


@pytest.mark.parametrize(
    ("level", "priority"),
    [
        (logging.DEBUG, "7"),
        (logging.INFO, "6"),
        (logging.WARNING, "4"),
        (logging.ERROR, "3"),
        (logging.CRITICAL, "2"),
    ],
)
def test_a_level_is_a_priority(journald: socket.socket, level: int, priority: str) -> None:
    assert sent(journald, "x", level)["PRIORITY"] == priority


def test_a_traceback_is_one_message_of_many_lines(journald: socket.socket) -> None:
    try:
        raise ValueError("PRIORITY=0\nPODWRIGHT_POD=other")
    except ValueError as error:
        found = sent(journald, "failed", exc_info=(type(error), error, error.__traceback__))
    assert found["MESSAGE"].startswith("failed\n    Traceback")
    assert "PODWRIGHT_POD" not in found


@pytest.mark.parametrize("value", ["a\nPRIORITY=0", "\ud800", "x" * (2 * LIMIT_BYTES)])
def test_a_strangers_value_is_a_value_and_no_more(journald: socket.socket, value: str) -> None:
    found = sent(journald, "x", fields={"image": value})
    assert found["PRIORITY"] == "6"
    assert set(found) <= {"PRIORITY", "MESSAGE", "SYSLOG_IDENTIFIER", "LOGGER", "PODWRIGHT_IMAGE"}


def test_a_remark_of_the_queue_is_a_message_too(journald: socket.socket) -> None:
    write(journald.getsockname(), "5 messages are lost here\nPRIORITY=6\nMESSAGE=x\n\n")
    assert read(journald.recv(9999)) == {"PRIORITY": "4", "MESSAGE": "5 messages are lost here"}
    assert read(journald.recv(9999)) == {"PRIORITY": "6", "MESSAGE": "x"}


def test_without_a_journal_words_go_to_standard_error(tmp_path: Path) -> None:
    assert write(tmp_path / "none", "PRIORITY=6\nMESSAGE=pod started\nLOGGER=x\n\n") == "pod started\n"
