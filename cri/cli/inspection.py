"""Asking the daemon over its inspection socket (cri/inspect): one HTTP request, and words if it fails."""

import http.client
import json
import socket
from pathlib import Path
from typing import Any

from api.errors import Unavailable
from cri.cli.ops import NoDaemon

TIMEOUT_S = 30.0
ANSWER_LIMIT_BYTES = 64 << 20


class Refused(Unavailable):
    """The daemon does not do what it was asked for; the text is its own."""


class _Connection(http.client.HTTPConnection):
    """To a Unix socket."""

    def __init__(self, path: Path, timeout_s: float) -> None:
        super().__init__("localhost", timeout=timeout_s)
        self._path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_CLOEXEC)
        self.sock.settimeout(self.timeout)
        self.sock.connect(str(self._path))


def ask(path: Path, target: str, *, method: str = "GET", timeout_s: float = TIMEOUT_S) -> str:
    """The text of an answer.

    Raises:
        NoDaemon: nobody answers at ``path``. Refused: the answer is no.
    """
    connection = _Connection(path, timeout_s)
    try:
        connection.request(method, target)
        response = connection.getresponse()
        text = response.read(ANSWER_LIMIT_BYTES).decode(errors="replace")
    except TimeoutError as error:
        raise NoDaemon(f"whoever listens on {path} says nothing within {timeout_s:.0f} s") from error
    except (OSError, http.client.HTTPException) as error:
        why = getattr(error, "strerror", None) or str(error) or type(error).__name__
        raise NoDaemon(
            f"no daemon answers on {path}: {why}; start it (systemctl start podwright), ask as root, or name "
            "its configuration (--config)"
        ) from error
    finally:
        connection.close()
    if response.status >= http.client.BAD_REQUEST:
        raise Refused(text.strip() or f"the daemon answers {response.status} {response.reason}")
    return text


def ask_json(path: Path, target: str) -> Any:
    """The document of an answer.

    Raises:
        NoDaemon, Refused: see ask.
    """
    text = ask(path, target)
    try:
        return json.loads(text)
    except ValueError as error:
        raise NoDaemon(f"whoever listens on {path} is no Podwright: {text[:80]!r}") from error
