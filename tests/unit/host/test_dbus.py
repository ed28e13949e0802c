"""Messages as jeepney makes and reads them, the daemon's own library for the same bus."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from jeepney.low_level import HeaderFields, Parser
from jeepney.wrappers import DBusAddress, new_error, new_method_call, new_signal

from host import dbus
from host.dbus import BadMessage, Message, decode, size, split

VALUES: list[tuple[str, Any]] = [
    ("s", "text"),
    ("", None),
    ("u", 7),
    ("ybnqiuxtd", (1, True, -2, 3, -4, 5, -6, (1 << 64) - 1, 0.5)),
    ("o", "/a/b"),
    ("g", "a(sv)"),
    ("ay", b"\x01\x02"),
    ("as", ["a", "", "é"]),
    ("a(ss)", [("a", "r"), ("b", "rw")]),
    ("a{sv}", {"a": ("u", 1), "b": ("as", ["x"])}),
    ("ssa(sv)a(sa(sv))", ("x.scope", "replace", [("PIDs", ("au", [1, 2])), ("Slice", ("s", "a"))], [])),
    ("(yt)u", ((1, 2), 3)),
    ("av", [("t", 1), ("s", "a")]),
]


def body(signature: str, value: Any) -> tuple[Any, ...]:
    if not signature:
        return ()
    return value if isinstance(value, tuple) and len(split(signature)) > 1 else (value,)


@pytest.mark.parametrize(("signature", "value"), VALUES)
def test_another_library_reads_what_we_write(signature: str, value: Any) -> None:
    message = Message(
        dbus.METHOD_CALL, 9, body(signature, value), signature, "/p", "a.b", "Call", destination="c.d"
    )
    data = message.encode()
    assert size(data[: dbus.FIXED_HEADER]) == len(data)
    [read] = Parser().feed(data)
    assert read.body == body(signature, value)
    assert read.header.fields[HeaderFields.member] == "Call"
    assert read.header.fields[HeaderFields.destination] == "c.d"
    assert read.header.serial == 9
    assert decode(data) == message


@pytest.mark.parametrize(("signature", "value"), VALUES)
def test_we_read_what_another_library_writes(signature: str, value: Any) -> None:
    address = DBusAddress("/p", "c.d", "a.b")
    call = new_method_call(address, "Call", signature or None, body(signature, value))
    read = decode(call.serialise(5))
    assert (read.kind, read.member, read.serial, read.body) == (1, "Call", 5, body(signature, value))
    [heard] = Parser().feed(call.serialise(5))
    failed = decode(new_error(heard, "x.Y", "s", ("no",)).serialise(6))
    assert (failed.kind, failed.error_name, failed.body) == (dbus.ERROR, "x.Y", ("no",))
    told = decode(new_signal(address, "Told", "s", ("it",)).serialise(7))
    assert (told.kind, told.member, told.body) == (dbus.SIGNAL, "Told", ("it",))


@pytest.mark.parametrize(
    ("signature", "value"),
    [("u", -1), ("y", 256), ("s", 5), ("as", 5), ("(ss)", ("a",)), ("v", 1), ("?", 1), ("a", 1), ("(s", 1)],
)
def test_values_that_a_signature_cannot_have(signature: str, value: object) -> None:
    with pytest.raises(BadMessage):
        Message(dbus.METHOD_CALL, 1, (value,), signature).encode()


WHOLE = Message(dbus.SIGNAL, 3, ([("a", ("u", 1))], "x"), "a(sv)s", "/p", "a.b", "Told").encode()


@pytest.mark.parametrize("cut", range(dbus.FIXED_HEADER, len(WHOLE)))
def test_a_message_that_ends_early(cut: int) -> None:
    with pytest.raises(BadMessage):
        decode(WHOLE[:cut])


@given(st.binary(max_size=200), st.integers(0, len(WHOLE)))
def test_rubbish_is_a_bad_message_at_worst(rubbish: bytes, place: int) -> None:
    for data in (rubbish, b"l\x04\x00\x01" + rubbish, WHOLE[:place] + rubbish + WHOLE[place:]):
        try:
            decode(data)
        except BadMessage:
            continue


@pytest.mark.parametrize("start", [b"x" * 16, b"l\4\0\1" + b"\xff" * 12])
def test_a_start_that_is_none(start: bytes) -> None:
    with pytest.raises(BadMessage):
        size(start)
