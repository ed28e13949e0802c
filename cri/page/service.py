"""The page over HTTP: what may be asked and by whom, and what a browser may do with the answer.

A name in Host that is not this machine's is refused: a stranger's web page must not read this one by having
its own name point here. Answers are kept while making new ones would take more than a tenth of the time.
"""

import asyncio
import ipaddress
import math
import re
import socket
import time
from http import HTTPStatus
from typing import Final

from cri.node import Node
from cri.page.pages import page
from cri.page.style import STYLE
from cri.streaming.http_head import Head, Refused

POLICY: Final = (
    "default-src 'none'; style-src 'self'; img-src 'none'; script-src 'none'; base-uri 'none'; "
    "form-action 'none'; frame-ancestors 'none'"
)
_HEADERS: Final = (
    ("Content-Security-Policy", POLICY),
    ("X-Content-Type-Options", "nosniff"),
    ("Referrer-Policy", "no-referrer"),
    ("Cross-Origin-Resource-Policy", "same-origin"),
    ("Cross-Origin-Opener-Policy", "same-origin"),
    ("Cache-Control", "no-store"),
    ("Connection", "close"),
)
_SHARE_OF_TIME: Final = 0.1
_MOST_KEPT: Final = 64


class Pages:
    """Answers for paths at and below /ui."""

    def __init__(self, node: Node) -> None:
        self._node = node
        self._kept: dict[str, tuple[float, bytes]] = {}
        self._making = asyncio.Lock()  # one at a time, as a look into the history takes processor time

    def serves(self, path: str) -> bool:
        """Whether a path is of these."""
        return path == "/" or path == "/ui" or path.startswith("/ui/")

    async def answer(self, head: Head) -> bytes:
        """The whole answer to a request.

        Raises:
            Refused: another method, a foreign Host, no such page.
        """
        if head.method not in ("GET", "HEAD"):
            raise Refused(HTTPStatus.METHOD_NOT_ALLOWED, "only GET is allowed", (("Allow", "GET, HEAD"),))
        require_own_host(head)
        if head.path == "/":
            return _response(HTTPStatus.FOUND, b"", "text/plain", (("Location", "/ui/"),))
        if head.path == "/ui/style.css":
            body, kind = STYLE.encode(), "text/css; charset=utf-8"
        else:
            body, kind = await self._page(head.path), "text/html; charset=utf-8"
        answer = _response(HTTPStatus.OK, body, kind)
        return answer if head.method == "GET" else answer[: -len(body)]

    async def _page(self, path: str) -> bytes:
        async with self._making:
            good_until_s, body = self._kept.pop(path, (-math.inf, b""))
            begun_s = time.monotonic()
            if begun_s >= good_until_s:
                body = (await page(self._node, path)).encode()
                good_until_s = time.monotonic() + (time.monotonic() - begun_s) / _SHARE_OF_TIME
            self._kept[path] = good_until_s, body
            while len(self._kept) > _MOST_KEPT:
                del self._kept[next(iter(self._kept))]
            return body


def require_own_host(head: Head) -> None:
    """Refuse a request by a name that others may have pointed here.

    Raises:
        Refused: Host is neither an address, nor localhost, nor this machine's name.
    """
    names = [value for key, value in head.headers if key == "host"]
    if len(names) == 1 and is_own(re.sub(r":\d*$", "", names[0])):
        return
    raise Refused(HTTPStatus.MISDIRECTED_REQUEST, "ask by an address, localhost or this machine's name")


def is_own(host: str) -> bool:
    """Whether a Host without its port can only mean this machine; none at all comes by the Unix socket."""
    own = socket.gethostname().lower()
    if host.lower() in ("localhost", own, own.partition(".")[0]):
        return True
    try:
        ipaddress.ip_address(host.strip("[]"))
    except ValueError:
        return False
    return True


def _response(status: HTTPStatus, body: bytes, kind: str, more: tuple[tuple[str, str], ...] = ()) -> bytes:
    pairs = (("Content-Type", kind), ("Content-Length", str(len(body))), *_HEADERS, *more)
    lines = (f"HTTP/1.1 {status.value} {status.phrase}", *(f"{name}: {value}" for name, value in pairs), "")
    return "".join(f"{line}\r\n" for line in lines).encode() + body
