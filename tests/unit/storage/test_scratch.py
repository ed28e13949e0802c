"""storage/scratch: what is not written."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from storage.scratch import FLOOR_BYTES, TooMuchData, write_bounded
from storage.unpack.faults import Limits

MIB = bytes(1 << 20)


def endless() -> Iterator[bytes]:
    while True:
        yield MIB


def test_more_than_the_limit_is_not_written(tmp_path: Path) -> None:
    with (tmp_path / "x").open("wb") as target:
        write_bounded([MIB] * 3, target, replace(Limits(), total_bytes=3 << 20), what="x", made_of=1 << 20)
        with pytest.raises(TooMuchData, match="x: more than 4194304 bytes"):
            write_bounded(endless(), target, replace(Limits(), total_bytes=4 << 20), what="x")


def test_what_unpacks_to_many_times_its_size_is_not_written(tmp_path: Path) -> None:
    with (tmp_path / "x").open("wb") as target:
        with pytest.raises(TooMuchData, match="more than 20 times its size"):
            write_bounded(endless(), target, Limits(), what="x", made_of=1000)
        assert target.tell() <= FLOOR_BYTES


def test_the_disk_keeps_its_reserve(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Full:
        f_blocks, f_frsize, f_bavail = 100_000, 4096, 5000

    monkeypatch.setattr("os.fstatvfs", lambda _: Full)
    with (tmp_path / "x").open("wb") as target, pytest.raises(TooMuchData, match="kept free"):
        write_bounded([MIB], target, Limits(), what="x")
    assert (tmp_path / "x").read_bytes() == b""
