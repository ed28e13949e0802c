import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from oci.monitor.crilog import Stamps, log_lines
from oci.monitor.journal import CHUNK_BYTES, Chunk, Journal, chunk_under_way
from oci.monitor.logfile import LogFile

ID = "f" * 64


@pytest.fixture
def journal() -> Iterator[Journal]:
    journal = Journal()
    yield journal
    journal.close()


@pytest.fixture
def pipe() -> Iterator[tuple[int, int]]:
    reading, writing = os.pipe()
    yield reading, writing
    os.close(reading)
    os.close(writing)


def read(journal: Journal, reading: int, length: int) -> bytes:
    return journal.read(reading, length, ID, "stdout", 12345, (100, 1, 2))


@pytest.mark.parametrize("length", [1, 15, 16, 17, 4096, CHUNK_BYTES])
def test_a_chunk_that_was_read_is_found(journal: Journal, pipe: tuple[int, int], length: int) -> None:
    data = os.urandom(length)
    os.write(pipe[1], data)
    assert read(journal, pipe[0], length) == data
    assert chunk_under_way(journal.descriptor) == Chunk(ID, "stdout", 12345, 100, (1, 2), data)


def test_a_chunk_that_is_done_is_not(journal: Journal, pipe: tuple[int, int]) -> None:
    os.write(pipe[1], b"data")
    read(journal, pipe[0], 4)
    journal.done()
    assert chunk_under_way(journal.descriptor) is None


def test_a_chunk_that_was_not_read_yet_is_not(journal: Journal) -> None:
    # As after a kill between the header and the read: the read fails here, and the state stays.
    class Killed(Exception):
        pass

    def stop() -> None:
        raise Killed

    journal.done = stop  # type: ignore[method-assign]
    with pytest.raises(Killed):
        read(journal, -1, 10)
    assert chunk_under_way(journal.descriptor) is None


def test_a_fresh_journal_is_empty(journal: Journal) -> None:
    assert chunk_under_way(journal.descriptor) is None


DATA = b"three\nfour\nfi"
LINES = log_lines(Stamps().render(7), b"stdout", DATA)


@pytest.mark.parametrize("written", range(len(LINES) + 1))
def test_a_log_written_in_part_is_made_whole(tmp_path: Path, written: int) -> None:
    path = tmp_path / "log"
    path.write_bytes(b"before\n")
    log = LogFile(str(path), 0)
    size, device, inode = log.place()
    log.append(LINES[:written])
    log.close()
    successor = LogFile(str(path), 0)
    chunk = Chunk(ID, "stdout", 7, size, (device, inode), DATA)
    assert successor.recover(chunk, LINES) == b""
    successor.close()
    assert path.read_bytes() == b"before\n" + LINES


def test_a_log_that_was_renamed_meanwhile_is_cut_and_continued_in_the_new_one(tmp_path: Path) -> None:
    path = tmp_path / "log"
    path.write_bytes(b"before\n")
    log = LogFile(str(path), 0)
    size, device, inode = log.place()
    log.append(LINES[:9])
    log.close()
    path.rename(tmp_path / "log.1")
    successor = LogFile(str(path), 0)
    successor.recover(Chunk(ID, "stdout", 7, size, (device, inode), DATA), LINES)
    successor.close()
    assert (tmp_path / "log.1").read_bytes() == b"before\n"
    assert path.read_bytes() == LINES
