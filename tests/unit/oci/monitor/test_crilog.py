import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from oci.monitor.crilog import PIECE_BYTES, Stamps, end_of_line, log_lines

STAMP = b"2026-01-02T03:04:05.000000006Z"
TEXT = b"one\n\ntwo \x00\xff\r\nP F stdout\n\n last"


def joined(log: bytes) -> bytes:
    """What a reader makes of a log: P pieces joined, tags and times off."""
    text = b""
    for line in log.split(b"\n")[:-1]:
        stamp, stream, tag, content = line.split(b" ", 3)
        assert (stamp, stream) == (STAMP, b"stdout")
        assert len(content) <= PIECE_BYTES
        text += content + {b"F": b"\n", b"P": b""}[tag]
    return text


def test_stamp_has_nine_digits_and_is_in_utc() -> None:
    stamps = Stamps()
    assert stamps.render(1_767_323_045_000_000_006) == STAMP
    assert stamps.render(1_767_323_045_999_999_999) == b"2026-01-02T03:04:05.999999999Z"
    assert stamps.render(1_767_323_046_000_000_000) == b"2026-01-02T03:04:06.000000000Z"


def test_lines_get_f_and_the_unfinished_rest_p() -> None:
    assert log_lines(STAMP, b"stderr", b"a\nb") == STAMP + b" stderr F a\n" + STAMP + b" stderr P b\n"


def test_a_line_whose_newline_never_came_ends_with_an_empty_f() -> None:
    log = log_lines(STAMP, b"stdout", b"last") + end_of_line(STAMP, b"stdout")
    assert log == STAMP + b" stdout P last\n" + STAMP + b" stdout F \n"
    assert joined(log) == b"last\n"


@pytest.mark.parametrize("cut", range(1, len(TEXT)))
def test_text_may_arrive_in_two_reads(cut: int) -> None:
    log = log_lines(STAMP, b"stdout", TEXT[:cut]) + log_lines(STAMP, b"stdout", TEXT[cut:])
    assert joined(log) == TEXT


@given(st.lists(st.binary(min_size=1, max_size=200), min_size=1, max_size=20))
def test_any_reads_join_to_the_same_bytes(reads: list[bytes]) -> None:
    log = b"".join(log_lines(STAMP, b"stdout", read) for read in reads)
    assert joined(log) == b"".join(reads)


@given(
    st.lists(
        st.sampled_from(
            [0, 1, PIECE_BYTES - 1, PIECE_BYTES, PIECE_BYTES + 1, 2 * PIECE_BYTES, 3 * PIECE_BYTES + 7]
        ),
        min_size=1,
        max_size=6,
    ),
    st.booleans(),
)
def test_long_lines_are_cut_into_pieces(lengths: list[int], finished: bool) -> None:
    data = b"\n".join(b"x" * length for length in lengths) + (b"\n" if finished else b"")
    if data:
        log = log_lines(STAMP, b"stdout", data)
        assert joined(log) == data
        assert re.fullmatch(rb"(?:[^ \n]+ stdout [FP] x*\n)+", log)
