import pytest

from cri.streaming.http_head import Head, Refused
from cri.streaming.origin import check_origin

NAMES = ("node.example", "10.0.0.1")


def head(host: str | None, *origins: str, forwarded: str = "") -> Head:
    headers = [("host", host)] if host is not None else []
    headers += [("origin", origin) for origin in origins]
    headers += [("x-forwarded-for", forwarded)] if forwarded else []
    return Head("GET", "/exec/t", tuple(headers))


@pytest.mark.parametrize(
    ("request_head", "names"),
    [
        (head("127.0.0.1:10010"), ()),
        (head("whatever"), ()),
        (head(None), ()),
        (head("127.0.0.1:10010", "http://127.0.0.1:10010"), ()),
        (head("[::1]:10010", "http://[::1]:10010"), ()),
        (head("localhost:10010", "http://LOCALHOST:10010"), ()),
        (head("node:10250", "https://console.example", forwarded="10.0.0.7"), ()),
        (head("node.example:10010"), NAMES),
        (head("NODE.example:10010", "http://node.example:10010"), NAMES),
        (head("10.0.0.1"), NAMES),
    ],
)
def test_clients_of_kubernetes_are_let_in(request_head: Head, names: tuple[str, ...]) -> None:
    check_origin(request_head, names)


@pytest.mark.parametrize(
    "request_head",
    [
        head("127.0.0.1:10010", "http://evil.example"),
        head("127.0.0.1:10010", "null"),
        head("127.0.0.1:10010", ""),
        head("127.0.0.1:10010", "http://127.0.0.1:8080"),
        head("evil.example", "http://evil.example"),  # its name server says that it is we
        head("127.0.0.1:10010", "http://127.0.0.1:10010", "http://evil.example"),
        head("127.0.0.1:10010", "http://[::1"),
        head(None, "http://evil.example"),
        head("", "null"),
    ],
)
def test_pages_of_browsers_are_refused(request_head: Head) -> None:
    with pytest.raises(Refused) as caught:
        check_origin(request_head, ())
    assert caught.value.status == 403


@pytest.mark.parametrize("host", ["evil.example", "127.0.0.1:10010", "", None, "[::1", "node.example.evil"])
def test_with_names_configured_others_are_refused(host: str | None) -> None:
    with pytest.raises(Refused) as caught:
        check_origin(head(host), NAMES)
    assert caught.value.status == 421
