"""What goes from one image of a monitor to the next."""

import os

import pytest

from oci.monitor.keeping import Kept
from oci.monitor.upgrade import (
    Connected,
    State,
    _with_copies,
    become,
    decode,
    descriptors_of,
    encode,
    resumed,
)

STATE = State(
    lock=3,
    listener=4,
    peers=[Connected(5, True), Connected(6, False)],
    kept=[Kept("a", b'{"x": 1}', [7, 8, 9]), Kept("exec 1", b"{}", [10])],
    askers={"exec 1": 0},
    answer=(0, 17),
)


def test_the_next_image_reads_what_the_last_wrote() -> None:
    assert decode(encode(STATE)) == STATE
    assert descriptors_of(STATE) == [3, 4, 5, 6, 7, 8, 9, 10]


def test_another_argument_is_no_state() -> None:
    assert resumed("/srv/tree") is None


def test_objects_that_share_a_descriptor_get_one_each() -> None:
    shared, other = os.pipe()
    state = STATE._replace(kept=[Kept("a", b"", [shared, other]), Kept("b", b"", [shared])])
    found, copies = _with_copies(state)
    try:
        assert found.kept == [Kept("a", b"", [shared, other]), Kept("b", b"", copies)]
        assert os.path.sameopenfile(copies[0], shared)
    finally:
        for number in (shared, other, *copies):
            os.close(number)


def test_what_cannot_be_executed_leaves_all_as_it_is() -> None:
    reading, writing = os.pipe()
    state = State(reading, writing, [], [Kept("a", b"", [reading])], {}, (-1, 0))
    before = set(os.listdir("/proc/self/fd"))  # noqa: PTH208 - as the monitor would
    with pytest.raises(FileNotFoundError):
        become(["/nowhere/python", "/run/x"], state)
    assert set(os.listdir("/proc/self/fd")) == before  # noqa: PTH208
    assert not os.get_inheritable(reading)
    os.close(reading)
    os.close(writing)
