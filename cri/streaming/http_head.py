"""The HTTP/1.1 head of a streaming connection, read by h11: one request, then an upgrade or the end."""

from dataclasses import dataclass
from http import HTTPStatus
from typing import Final, Self

import h11

from api.errors import InvalidArgument

LONGEST_HEAD_BYTES: Final = 32 * 1024


class Refused(InvalidArgument):
    """The request gets a plain HTTP answer instead of an upgrade."""

    def __init__(self, status: int, message: str, headers: tuple[tuple[str, str], ...] = ()) -> None:
        super().__init__(message)
        self.status = status
        self.headers = headers


@dataclass(frozen=True, slots=True)
class Head:
    """A request; header names are lower case."""

    method: str
    target: str
    headers: tuple[tuple[str, str], ...]

    @classmethod
    def from_h11(cls, request: h11.Request) -> Self:
        """h11 has checked the characters; latin-1 takes any byte."""
        pairs = tuple((name.decode("latin-1"), value.decode("latin-1")) for name, value in request.headers)
        return cls(request.method.decode("ascii"), request.target.decode("latin-1"), pairs)

    @property
    def path(self) -> str:
        """The target without its query."""
        return self.target.partition("?")[0]

    def values(self, name: str) -> list[str]:
        """The comma-separated values of every header of this name, in order."""
        lines = [value for key, value in self.headers if key == name]
        return [item.strip() for line in lines for item in line.split(",") if item.strip()]

    def wants_upgrade_to(self, protocol: str) -> bool:
        """Whether Connection and Upgrade both say so; neither cares about case."""
        connection = {value.lower() for value in self.values("connection")}
        return "upgrade" in connection and protocol.lower() in {
            value.lower() for value in self.values("upgrade")
        }


class HeadReader:
    """Reads one request head and frames the answer to it."""

    def __init__(self) -> None:
        self._h11 = h11.Connection(h11.SERVER, max_incomplete_event_size=LONGEST_HEAD_BYTES)
        self._head: Head | None = None

    def receive(self, data: bytes) -> Head | None:
        """The request once it is complete.

        Raises:
            Refused: not HTTP, too large, or with a body.
        """
        try:
            self._h11.receive_data(data)
            if self._head is None:
                event = self._h11.next_event()
                if event is h11.NEED_DATA:
                    return None
                if not isinstance(event, h11.Request):
                    raise Refused(HTTPStatus.BAD_REQUEST, "a request was expected")
                self._head = Head.from_h11(event)
            return self._without_body(self._head)
        except h11.RemoteProtocolError as error:
            raise Refused(error.error_status_hint, f"malformed request: {error}") from None

    def _without_body(self, head: Head) -> Head:
        if not isinstance(self._h11.next_event(), h11.EndOfMessage):
            raise Refused(HTTPStatus.BAD_REQUEST, "a streaming request has no body")
        return head

    @property
    def trailing(self) -> bytes:
        """What came after the head; it belongs to the next protocol."""
        return self._h11.trailing_data[0]

    def switch(self, headers: list[tuple[str, str]]) -> bytes:
        """101 Switching Protocols."""
        event = h11.InformationalResponse(status_code=101, headers=headers, reason=b"Switching Protocols")
        return self._h11.send(event) or b""

    def refuse(self, refusal: Refused) -> bytes:
        """A plain answer; the connection ends with it."""
        body = f"{refusal}\n".encode()
        fixed = [
            ("Content-Type", "text/plain; charset=utf-8"),
            ("Content-Length", str(len(body))),
            ("Connection", "close"),
        ]
        phrase = HTTPStatus(refusal.status).phrase.encode()
        response = h11.Response(status_code=refusal.status, headers=[*refusal.headers, *fixed], reason=phrase)
        parts = (self._h11.send(event) for event in (response, h11.Data(data=body), h11.EndOfMessage()))
        return b"".join(part or b"" for part in parts)
