"""One HTTP/1.1 request and its answer on a connection of the inspection socket; root's alone, and bounded.

A client gets CLIENT_TIMEOUT_S for its request and as much for taking the answer; MOST_CLIENTS are served at
once, and the oldest goes for the next. Whoever is not root hears 403, whatever the socket's mode.
"""

import asyncio
import json
import logging
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from http import HTTPStatus
from typing import Final

from cri import http_clients
from cri.streaming.http_head import Head, HeadReader, Refused
from host.local_sockets import peer_of

logger = logging.getLogger(__name__)

CLIENT_TIMEOUT_S: Final = 10.0
MOST_CLIENTS: Final = 16


@dataclass(frozen=True, slots=True)
class Answer:
    """What is sent for a request."""

    body: bytes
    kind: str = "text/plain; charset=utf-8"
    status: int = 200

    @classmethod
    def of_text(cls, text: str) -> "Answer":
        return cls(text.encode("utf-8", "backslashreplace"))

    @classmethod
    def of_json(cls, document: object) -> "Answer":
        """Strings of pods may hold anything: JSON escapes it."""
        return cls(json.dumps(document).encode(), "application/json")


Answering = Callable[[Head], Awaitable[Answer]]


class Clients:
    """Those who are connected now; ``serve`` is for asyncio.start_unix_server."""

    def __init__(self, answer: Answering) -> None:
        """``answer`` raises Refused for what gets another status than 200."""
        self._answer = answer
        self._clients = http_clients.Clients(MOST_CLIENTS)

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One request, one answer, the end."""
        async with self._clients.connected(writer):
            try:
                response = await self._respond(reader, writer)
                async with asyncio.timeout(CLIENT_TIMEOUT_S):
                    writer.write(response)
                    await writer.drain()
            except (OSError, TimeoutError) as error:
                logger.debug("client of the inspection socket lost: %s", error)

    async def _respond(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bytes:
        heads = HeadReader()
        try:
            async with asyncio.timeout(CLIENT_TIMEOUT_S):
                head = await http_clients.read_head(heads, reader)
            if head is None:
                return b""
            _require_root(writer)
            return _framed(await self._answer(head), head)
        except Refused as refusal:
            return heads.refuse(refusal)
        except (OSError, TimeoutError):
            raise
        except Exception:
            logger.exception("a request on the inspection socket failed")
            return heads.refuse(
                Refused(HTTPStatus.INTERNAL_SERVER_ERROR, "failed: the daemon's log says why")
            )


def _require_root(writer: asyncio.StreamWriter) -> None:
    if peer_of(writer.get_extra_info("socket"))[1] != 0:
        raise Refused(HTTPStatus.FORBIDDEN, "this socket is root's")


def _framed(answer: Answer, head: Head) -> bytes:
    lines = (
        f"HTTP/1.1 {answer.status} {HTTPStatus(answer.status).phrase}",
        f"Content-Type: {answer.kind}",
        f"Content-Length: {len(answer.body)}",
        "Connection: close",
    )
    text = "".join(f"{line}\r\n" for line in (*lines, "")).encode()
    return text if head.method == "HEAD" else text + answer.body
