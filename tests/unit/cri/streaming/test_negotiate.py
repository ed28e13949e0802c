import pytest

from cri.streaming.http_head import Head, Refused
from cri.streaming.negotiate import Transport, choose, spdy_answer, transport_of


def head(*headers: tuple[str, str], method: str = "GET") -> Head:
    return Head(method, "/exec/t", headers)


UPGRADE = ("connection", "Upgrade")


@pytest.mark.parametrize("method", ["GET", "POST"])
def test_transport_is_what_the_client_asks_to_upgrade_to(method: str) -> None:
    assert transport_of(head(UPGRADE, ("upgrade", "SPDY/3.1"), method=method)) is Transport.SPDY
    assert transport_of(head(UPGRADE, ("upgrade", "WebSocket"), method=method)) is Transport.WEBSOCKET


@pytest.mark.parametrize(
    ("request_head", "status"),
    [
        (head(), 400),
        (head(UPGRADE, ("upgrade", "h2c")), 400),
        (head(("upgrade", "SPDY/3.1")), 400),
        (head(UPGRADE, ("upgrade", "SPDY/3.1"), method="DELETE"), 405),
    ],
)
def test_other_requests_are_refused(request_head: Head, status: int) -> None:
    with pytest.raises(Refused) as caught:
        transport_of(request_head)
    assert caught.value.status == status


@pytest.mark.parametrize(
    ("transport", "header"),
    [
        (Transport.SPDY, "x-stream-protocol-version"),
        (Transport.WEBSOCKET, "sec-websocket-protocol"),
    ],
)
def test_the_clients_first_supported_protocol_is_chosen(transport: Transport, header: str) -> None:
    request = head((header, "new, v4"), (header, "v5"))
    assert choose(request, transport, ["v5", "v4"]) == "v4"
    assert choose(head(), transport, ["v5"]) is None
    with pytest.raises(Refused, match="none of new, v4, v5") as caught:
        choose(request, transport, ["v1", "v2"])
    assert caught.value.status == 403
    assert [value for _, value in caught.value.headers] == ["v1", "v2"]


def test_the_answer_repeats_the_protocol() -> None:
    assert ("X-Stream-Protocol-Version", "v4") in spdy_answer("v4")
    assert spdy_answer(None) == [("Connection", "Upgrade"), ("Upgrade", "SPDY/3.1")]
