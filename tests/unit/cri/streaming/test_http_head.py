import pytest

from cri.streaming.http_head import Head, HeadReader, Refused

REQUEST = (
    b"POST /exec/token?x=1 HTTP/1.1\r\nHost: node\r\nConnection: keep-alive, Upgrade\r\n"
    b"Upgrade: SPDY/3.1\r\nX-Stream-Protocol-Version: v4.channel.k8s.io, v3.channel.k8s.io\r\n"
    b"X-Stream-Protocol-Version: v2.channel.k8s.io\r\n\r\n"
)


@pytest.mark.parametrize("cut", range(len(REQUEST)))
def test_a_head_may_arrive_in_two_pieces(cut: int) -> None:
    reader = HeadReader()
    if cut:
        assert reader.receive(REQUEST[:cut]) is None
    head = reader.receive(REQUEST[cut:])
    assert head is not None
    assert (head.method, head.target, head.path) == ("POST", "/exec/token?x=1", "/exec/token")


def read(data: bytes) -> tuple[HeadReader, Head]:
    reader = HeadReader()
    head = reader.receive(data)
    assert head is not None
    return reader, head


def test_values_of_all_lines_are_one_list() -> None:
    _, head = read(REQUEST)
    assert head.values("x-stream-protocol-version") == [f"v{n}.channel.k8s.io" for n in (4, 3, 2)]
    assert head.values("absent") == []


def test_an_upgrade_needs_both_headers_in_any_case() -> None:
    _, head = read(REQUEST)
    assert head.wants_upgrade_to("spdy/3.1")
    assert not head.wants_upgrade_to("websocket")
    _, plain = read(b"GET / HTTP/1.1\r\nHost: node\r\nUpgrade: SPDY/3.1\r\n\r\n")
    assert not plain.wants_upgrade_to("SPDY/3.1")


def test_what_follows_the_head_belongs_to_the_next_protocol() -> None:
    reader, _ = read(REQUEST + b"\x80\x03 spdy")
    assert reader.switch([("Upgrade", "SPDY/3.1")]).startswith(b"HTTP/1.1 101 ")
    assert reader.trailing == b"\x80\x03 spdy"


def test_a_refusal_says_why_and_closes() -> None:
    reader, _ = read(REQUEST)
    answer = reader.refuse(Refused(429, "too many", (("Retry-After", "1"),)))
    head, _, body = answer.partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 429 Too Many Requests\r\n")
    assert b"Retry-After: 1" in head
    assert b"Connection: close" in head
    assert body == b"too many\n"


@pytest.mark.parametrize(
    ("data", "status"),
    [
        (b"\x80\x03\x00\x01 this is no HTTP\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\n\r\n", 400),  # Host is missing
        (b"GET / HTTP/1.1\r\nHost: node\r\nX: " + b"a" * 70_000, 431),
        (b"POST / HTTP/1.1\r\nHost: node\r\nContent-Length: 3\r\n\r\nabc", 400),
        (b"GET / HTTP/1.1\r\nHost: node\r\nbad header\r\n\r\n", 400),
    ],
)
def test_what_cannot_be_upgraded_is_refused(data: bytes, status: int) -> None:
    reader = HeadReader()
    with pytest.raises(Refused) as caught:
        reader.receive(data)
    assert caught.value.status == status
    assert reader.refuse(caught.value).startswith(b"HTTP/1.1 %d " % status)
