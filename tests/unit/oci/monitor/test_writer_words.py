import pytest

from oci.monitor import writer_words
from oci.monitor.writer_words import Order, Refusal

ORDERS: list[Order] = [
    writer_words.Open("c", "/log", 5, 7, True),
    writer_words.Open("c", None, 0, 0, False),
    writer_words.Add("c", ["stdout", "stderr"]),
    writer_words.Reopen("c"),
    writer_words.Attach("c", 3, ["stdout"]),
    writer_words.Detach("c", 3),
    writer_words.Drain("c"),
    writer_words.Drop("c"),
]


@pytest.mark.parametrize("order", ORDERS, ids=lambda order: type(order).__name__)
def test_an_order_survives_the_wire(order: Order) -> None:
    assert writer_words.decode_order(writer_words.encode_order(7, order)) == (7, order)


def test_every_order_is_tested() -> None:
    assert {type(order) for order in ORDERS} == set(Order.__args__)


@pytest.mark.parametrize("refusal", [None, Refusal("log_refused", "a link")])
def test_a_reply_survives_the_wire(refusal: Refusal | None) -> None:
    assert writer_words.decode_reply(writer_words.encode_reply(7, refusal)) == (7, refusal)
