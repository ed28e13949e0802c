import fcntl
import os
import secrets
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from oci.monitor.crilog import Stamps, log_lines
from oci.monitor.journal import CHUNK_BYTES, Chunk, Journal, Slot, new_journal, waiting
from oci.monitor.logfile import LogFile

ID = "f" * 64


@pytest.fixture
def journal() -> Iterator[Journal]:
    journal = Journal(new_journal())
    yield journal
    journal.close()


@pytest.fixture
def pipe() -> Iterator[tuple[int, int]]:
    reading, writing = os.pipe()
    yield reading, writing
    os.close(reading)
    os.close(writing)


def read(slot: Slot, reading: int, length: int, container_id: str = ID) -> bytes:
    return slot.read(reading, length, container_id, "stdout", 12345, (100, 1, 2))


def left_by(journal: Journal) -> list[Chunk]:
    """What a writer finds that takes over when this one is dead."""
    descriptor = os.dup(journal.descriptor)
    fcntl.flock(descriptor, fcntl.LOCK_UN)  # as the kernel does for the dead
    successor = Journal(descriptor)
    try:
        return [chunk for _, chunk in successor.left]
    finally:
        successor.close()


@pytest.mark.parametrize("length", [1, 15, 16, 17, 4096, CHUNK_BYTES])
def test_a_chunk_that_was_read_is_found(journal: Journal, pipe: tuple[int, int], length: int) -> None:
    data = secrets.token_urlsafe(length)[:length].encode()
    os.write(pipe[1], data)
    assert read(journal.take(), pipe[0], length) == data
    assert left_by(journal) == [Chunk(ID, "stdout", 12345, (100, 1, 2), data)]


def test_a_chunk_that_is_done_is_not(journal: Journal, pipe: tuple[int, int]) -> None:
    os.write(pipe[1], b"data")
    slot = journal.take()
    read(slot, pipe[0], 4)
    slot.done()
    assert left_by(journal) == []


def test_a_chunk_that_was_not_read_yet_is_not(journal: Journal, pipe: tuple[int, int]) -> None:
    class Killed(Slot):
        """Between the header and the read: that fails here, and the state stays."""

        def done(self) -> None:
            pass

    slot = Killed(journal, journal.take().number)
    os.set_blocking(pipe[0], False)
    with pytest.raises(BlockingIOError):
        read(slot, pipe[0], 10)
    slot.close()
    assert left_by(journal) == []


def test_a_fresh_journal_is_empty(journal: Journal) -> None:
    assert left_by(journal) == []
    assert waiting(journal.descriptor, 0) == []


def test_chunks_that_wait_for_room_are_all_kept_beside_the_one_under_way(
    journal: Journal, pipe: tuple[int, int]
) -> None:
    names = [f"{number:064x}" for number in range(5)]
    slots = []
    for name in names:
        os.write(pipe[1], name.encode())
        slots.append(journal.take())
        assert read(slots[-1], pipe[0], 64, name) == name.encode()
        slots[-1].stall()
    os.write(pipe[1], b"now")
    read(journal.take(), pipe[0], 3)
    expected = [(name, name.encode()) for name in names] + [(ID, b"now")]
    assert [(chunk.container_id, chunk.data) for chunk in left_by(journal)] == expected
    assert [(one.container_id, one.is_refused) for one in waiting(journal.descriptor, 0)] == [
        *((name, True) for name in names),
        (ID, False),
    ]
    for slot in slots:
        slot.done()
    assert [chunk.data for chunk in left_by(journal)] == [b"now"]
    assert journal.take() in slots


def test_only_what_waits_for_longer_is_told(journal: Journal, pipe: tuple[int, int]) -> None:
    os.write(pipe[1], b"x")
    journal.take().read(pipe[0], 1, ID, "stdout", time.time_ns(), (0, 0, 0))
    assert waiting(journal.descriptor, 3600) == []


def test_a_log_that_is_begun_anew_gets_its_chunk_once(tmp_path: Path, pipe: tuple[int, int]) -> None:
    """Killed between the cut at the size limit and the end of the write."""
    path = tmp_path / "log"
    path.write_bytes(b"x" * 500)
    journal = Journal(new_journal())
    log = LogFile(str(path), 400)
    os.write(pipe[1], DATA)
    slot = journal.take()
    slot.read(pipe[0], len(DATA), ID, "stdout", 7, log.place())
    slot.log_is_cut()
    log.cut()
    log.append(LINES)
    log.close()
    successor = LogFile(str(path), 400)
    [chunk] = left_by(journal)
    assert recover(successor, chunk) == b""
    successor.close()
    journal.close()
    assert path.read_bytes() == LINES


def test_a_second_writer_waits_for_the_end_of_the_first(journal: Journal) -> None:
    child = os.fork()
    if child == 0:
        Journal(os.dup(journal.descriptor))
        os._exit(7)
    assert os.waitpid(child, os.WNOHANG) == (0, 0)
    fcntl.flock(journal.descriptor, fcntl.LOCK_UN)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 7


DATA = b"three\nfour\nfi"
LINES = log_lines(Stamps().render(7), b"stdout", DATA)


def recover(log: LogFile, chunk: Chunk) -> bytes:
    log.take_back(chunk.log, lambda: None)
    return log.append(LINES)


@pytest.mark.parametrize("written", range(len(LINES) + 1))
def test_a_log_written_in_part_is_made_whole(tmp_path: Path, written: int) -> None:
    path = tmp_path / "log"
    path.write_bytes(b"before\n")
    log = LogFile(str(path), 0)
    place = log.place()
    log.append(LINES[:written])
    log.close()
    successor = LogFile(str(path), 0)
    chunk = Chunk(ID, "stdout", 7, place, DATA)
    assert recover(successor, chunk) == b""
    successor.close()
    assert path.read_bytes() == b"before\n" + LINES


def test_a_log_that_was_renamed_meanwhile_is_cut_and_continued_in_the_new_one(tmp_path: Path) -> None:
    path = tmp_path / "log"
    path.write_bytes(b"before\n")
    log = LogFile(str(path), 0)
    place = log.place()
    log.append(LINES[:9])
    log.close()
    path.rename(tmp_path / "log.1")
    successor = LogFile(str(path), 0)
    recover(successor, Chunk(ID, "stdout", 7, place, DATA))
    successor.close()
    assert (tmp_path / "log.1").read_bytes() == b"before\n"
    assert path.read_bytes() == LINES


def test_each_try_notes_where_it_begins_and_what_was_taken_before(
    journal: Journal, pipe: tuple[int, int]
) -> None:
    os.write(pipe[1], DATA)
    slot = journal.take()
    read(slot, pipe[0], len(DATA))
    first = Chunk(ID, "stdout", 12345, (100, 1, 2), DATA)
    assert left_by(journal) == [first]
    slot.stall(7)
    assert left_by(journal) == [first._replace(taken=7, is_under_way=False)]
    slot.stall()  # there was no try
    assert left_by(journal) == [first._replace(taken=7, is_under_way=False)]
    slot.again((300, 1, 3))
    assert left_by(journal) == [first._replace(log=(300, 1, 3), taken=7)]
    assert [one.is_refused for one in waiting(journal.descriptor, 0)] == [True]
    slot.stall(5)
    assert left_by(journal) == [first._replace(log=(300, 1, 3), taken=12, is_under_way=False)]
    slot.done()
    os.write(pipe[1], DATA)
    assert journal.take() is slot
    read(slot, pipe[0], len(DATA))
    assert left_by(journal) == [first]


def test_a_try_that_was_taken_back_was_not_refused(journal: Journal, pipe: tuple[int, int]) -> None:
    os.write(pipe[1], DATA)
    slot = journal.take()
    read(slot, pipe[0], len(DATA))
    slot.mended()
    slot.again((300, 1, 3))
    assert [one.is_refused for one in waiting(journal.descriptor, 0)] == [False]
    slot.stall()
    slot.again((300, 1, 3))
    assert [one.is_refused for one in waiting(journal.descriptor, 0)] == [True]
