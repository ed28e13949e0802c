"""The log in systemd-journald's own protocol (``log_format = "journald"``): a field each, and a priority.

https://systemd.io/JOURNAL_NATIVE_PROTOCOL: one datagram a message, with lines NAME=value, or, for a value of
several lines, its length and bytes. Names of our fields get the prefix PODWRIGHT_, so that
``journalctl PODWRIGHT_POD=web`` finds a pod's. While the journal does not take messages they go to standard
error as text.
"""

import logging
import socket
import struct
from pathlib import Path
from typing import Final, TextIO

from cri.logs import TextFormatter, fields_of

SOCKET: Final = Path("/run/systemd/journal/socket")
# What a datagram takes without its sender having raised SO_SNDBUF.
LIMIT_BYTES: Final = 64 << 10
_FIRST: Final = "PRIORITY="
_PRIORITIES: Final = ((logging.CRITICAL, 2), (logging.ERROR, 3), (logging.WARNING, 4), (logging.INFO, 6))
_DEBUG: Final = 7


class JournalFormatter(TextFormatter):
    """A message as a datagram; in a text, since that is what log handlers pass on (see Journal)."""

    def format(self, record: logging.LogRecord) -> str:
        priority = next((number for level, number in _PRIORITIES if record.levelno >= level), _DEBUG)
        told = {
            "SYSLOG_IDENTIFIER": "podwright",
            "LOGGER": record.name,
            **{f"PODWRIGHT_{name.upper()}": value for name, value in fields_of(record).items()},
        }
        _, _, message = super().format(record).partition(f"{record.name}: ")
        data = _field(_FIRST[:-1], str(priority)) + _field("MESSAGE", message[: LIMIT_BYTES // 4])
        size = len(data)
        for name, value in told.items():
            if name.replace("_", "").isalnum() and name.isascii():
                more = _field(name, str(value))
                if (size := size + len(more)) > LIMIT_BYTES:
                    break
                data += more
        return data.decode("utf-8", "surrogateescape")


def _field(name: str, value: str) -> bytes:
    data = value.encode("utf-8", "backslashreplace")
    if b"\n" not in data:
        return name.encode() + b"=" + data + b"\n"
    return name.encode() + b"\n" + struct.pack("<Q", len(data)) + data + b"\n"


class Journal:
    """Takes what JournalFormatter made, as a stream does; other words become a message of their own."""

    def __init__(self, other: TextIO, path: Path = SOCKET) -> None:
        """``other`` gets what the journal does not take."""
        self._other = other
        self._path = str(path)
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC)

    def write(self, text: str) -> int:
        """One message, or several; blocks while the journal is slow."""
        if not text.startswith(_FIRST):
            words, _, text = text.partition("\n")
            self._send(_field(_FIRST[:-1], "4") + _field("MESSAGE", words))
        if text:
            self._send(text.encode("utf-8", "surrogateescape").removesuffix(b"\n\n") + b"\n")
        return len(text)

    def flush(self) -> None:
        """Nothing waits here."""

    def close(self) -> None:
        """Write no more."""
        self._socket.close()

    def _send(self, data: bytes) -> None:
        try:
            self._socket.sendto(data, self._path)
        except OSError:
            found = data.split(b"\nMESSAGE", 1)[-1].lstrip(b"=")
            self._other.write(found.split(b"\n", 1)[0].decode(errors="replace") + "\n")
            self._other.flush()
