"""What to speak with a client: SPDY or WebSocket, and which Kubernetes protocol inside."""

from collections.abc import Sequence
from enum import StrEnum
from http import HTTPStatus
from typing import Final

from cri.streaming.http_head import Head, Refused

SPDY_HEADER: Final = "x-stream-protocol-version"
_ACCEPTED_HEADER: Final = "X-Accepted-Stream-Protocol-Versions"
_WEBSOCKET_HEADER: Final = "sec-websocket-protocol"


class Transport(StrEnum):
    """By the names of the Upgrade header."""

    SPDY = "SPDY/3.1"
    WEBSOCKET = "websocket"


def transport_of(head: Head) -> Transport:
    """The transport that the client wants to change to.

    Raises:
        Refused: neither SPDY/3.1 nor WebSocket (400), or a method that no client uses (405).
    """
    if head.method not in ("GET", "POST"):
        raise Refused(HTTPStatus.METHOD_NOT_ALLOWED, "use GET or POST", (("Allow", "GET, POST"),))
    for transport in Transport:
        if head.wants_upgrade_to(transport):
            return transport
    raise Refused(HTTPStatus.BAD_REQUEST, "unable to upgrade: ask for Upgrade: SPDY/3.1 or websocket")


def choose(head: Head, transport: Transport, supported: Sequence[str]) -> str | None:
    """The first protocol of the client's list that is supported; None when it names none.

    Raises:
        Refused: it names protocols, but none of these (403, with the list of what there is).
    """
    offered = head.values(SPDY_HEADER if transport is Transport.SPDY else _WEBSOCKET_HEADER)
    for protocol in offered:
        if protocol in supported:
            return protocol
    if not offered:
        return None
    accepted = tuple((_ACCEPTED_HEADER, protocol) for protocol in supported)
    raise Refused(
        HTTPStatus.FORBIDDEN,
        f"unable to upgrade: none of {', '.join(offered)} is supported; {', '.join(supported)} are",
        accepted,
    )


def spdy_answer(protocol: str | None) -> list[tuple[str, str]]:
    """The headers of the 101 answer for SPDY."""
    headers = [("Connection", "Upgrade"), ("Upgrade", Transport.SPDY.value)]
    return [*headers, ("X-Stream-Protocol-Version", protocol)] if protocol is not None else headers
