import pytest

from cri.streaming.process.admission import Admission, client_of


@pytest.mark.parametrize(
    ("address", "client"),
    [
        ("127.0.0.1", "127.0.0.1"),
        ("::ffff:10.0.0.1", "10.0.0.1"),
        ("2001:db8::1", "2001:db8::/64"),
        ("2001:db8::ffff:ffff:1", "2001:db8::/64"),
        ("fe80::1%eth0", "fe80::/64"),
        ("?", "?"),
    ],
)
def test_a_client_is_an_address_or_what_a_network_gives_out(address: str, client: str) -> None:
    assert client_of(address) == client


def test_whoever_comes_is_let_in_and_the_oldest_goes() -> None:
    table = Admission[int](most=3, most_of_one=3)
    assert [table.enter(number, "a") for number in range(5)] == [None, None, None, 0, 1]
    assert len(table) == 3


def test_the_oldest_of_the_client_that_has_most_goes() -> None:
    table = Admission[str](most=4, most_of_one=4)
    for visitor in ("b1", "a1", "a2", "a3"):
        table.enter(visitor, visitor[0])
    assert table.enter("c1", "c") == "a1"
    assert table.enter("b2", "b") in ("b1", "a2")


def test_one_client_cannot_fill_the_table() -> None:
    table = Admission[str](most=10, most_of_one=2)
    assert [table.enter(f"a{number}", "a") for number in range(4)] == [None, None, "a0", "a1"]
    assert table.enter("b", "b") is None


def test_who_has_left_makes_room_once() -> None:
    table = Admission[int](most=2, most_of_one=2)
    table.enter(1, "a")
    table.enter(2, "a")
    table.leave(1)
    table.leave(1)
    table.leave(9)
    assert len(table) == 1
    assert table.enter(3, "a") is None
    assert table.enter(4, "a") == 2
