import pytest
from hypothesis import given
from hypothesis import strategies as st

from cri.streaming.resize import ResizeReader, Size

TEXT = b'{"Width":80,"Height":24}\n {"Width":120, "Height":40}{"width":1,"height":65535}'
SIZES = [Size(80, 24), Size(120, 40), Size(1, 65535)]


@pytest.mark.parametrize("cut", range(len(TEXT) + 1))
def test_sizes_follow_each_other_however_they_are_cut(cut: int) -> None:
    reader = ResizeReader()
    assert reader.receive(TEXT[:cut]) + reader.receive(TEXT[cut:]) == SIZES


@pytest.mark.parametrize(
    "text",
    [
        b"}",
        b"[]}",
        b'{"Width":80}',
        b'{"Width":0,"Height":24}',
        b'{"Width":-1,"Height":24}',
        b'{"Width":65536,"Height":24}',
        b'{"Width":"80","Height":24}',
        b'{"Width":true,"Height":24}',
        b'{"Width":8.5,"Height":24}',
        b"\xff\xfe}",
    ],
)
def test_what_is_no_size_is_skipped_and_the_next_counts(text: bytes) -> None:
    assert ResizeReader().receive(text + TEXT) == SIZES


def test_a_flood_of_objects_costs_no_more_than_a_few() -> None:
    reader = ResizeReader()
    assert reader.receive(b"}" * 1_000_000 + TEXT) == SIZES
    assert len(reader.receive(TEXT * 1000)) == 16
    assert reader.receive(b"[" * 1_000_000 + b"}" + TEXT) == SIZES


def test_an_endless_object_is_not_kept() -> None:
    reader = ResizeReader()
    for _ in range(100):
        assert reader.receive(b"x" * 1000) == []
    assert reader.receive(b"}" + TEXT) == SIZES


@given(st.binary(max_size=200))
def test_any_bytes_are_read(data: bytes) -> None:
    for size in ResizeReader().receive(data):
        assert 0 < size.width < 65536
        assert 0 < size.height < 65536
