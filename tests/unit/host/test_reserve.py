"""The reserve: there when there is room, given up by what frees when there is none, made again."""

import errno
import os
import sqlite3
from collections.abc import Callable
from pathlib import Path

import pytest

from host.reserve import Reserve, is_exhaustion

SIZE = 64 << 10


def sqlite_error(code: int) -> sqlite3.OperationalError:
    error = sqlite3.OperationalError("of a test")
    error.sqlite_errorcode = code
    return error


EXHAUSTED = [
    OSError(errno.ENOSPC, "no room"),
    OSError(errno.EDQUOT, "no room for you"),
    OSError(errno.EMFILE, "no descriptors"),
    OSError(errno.ENFILE, "none at all"),
    OSError(errno.ENOMEM, "no memory"),
    MemoryError(),
    RuntimeError("can't start new thread"),
    sqlite_error(sqlite3.SQLITE_FULL),
    sqlite_error(sqlite3.SQLITE_IOERR_SHMSIZE),
    sqlite_error(sqlite3.SQLITE_CANTOPEN),
    sqlite_error(sqlite3.SQLITE_NOMEM),
]
OTHERS = [
    OSError(errno.EPERM, "no"),
    ValueError(),
    RuntimeError("something else"),
    RecursionError("can't start new thread"),
    sqlite3.IntegrityError(),
    sqlite_error(sqlite3.SQLITE_CORRUPT),
    sqlite_error(sqlite3.SQLITE_BUSY),
]


@pytest.mark.parametrize("error", EXHAUSTED, ids=repr)
def test_what_has_run_out(error: BaseException) -> None:
    assert is_exhaustion(error)


@pytest.mark.parametrize("error", OTHERS, ids=repr)
def test_what_has_another_reason(error: BaseException) -> None:
    assert not is_exhaustion(error)


@pytest.fixture
def reserve(tmp_path: Path) -> Reserve:
    made = Reserve(tmp_path, SIZE)
    assert made.renew()
    return made


def fails_once_with(error: Exception) -> Callable[[], int]:
    """Work whose first try fails."""
    tries: list[int] = []

    def work() -> int:
        tries.append(1)
        if len(tries) == 1:
            raise error
        return len(tries)

    return work


def test_it_is_blocks_and_inodes(reserve: Reserve, tmp_path: Path) -> None:
    room = (tmp_path / "reserve/room").stat()
    assert (room.st_size, room.st_blocks * 512 >= SIZE) == (SIZE, True)
    assert len(list((tmp_path / "reserve").iterdir())) == 16


def test_a_full_disk_costs_it_and_the_work_is_done(reserve: Reserve, tmp_path: Path) -> None:
    assert reserve.spend(fails_once_with(OSError(errno.ENOSPC, "full"))) == 2
    assert not reserve.whole
    assert list(tmp_path.iterdir()) == []
    assert reserve.renew()
    assert reserve.whole


def test_work_that_succeeds_or_fails_otherwise_does_not_cost_it(reserve: Reserve) -> None:
    assert reserve.spend(lambda: 1) == 1
    with pytest.raises(PermissionError):
        reserve.spend(fails_once_with(PermissionError(errno.EPERM, "no")))
    assert reserve.whole


def test_without_one_the_error_is_the_works(tmp_path: Path) -> None:
    for none in (Reserve(tmp_path, 0), Reserve(tmp_path, SIZE)):
        with pytest.raises(OSError, match="full"):
            none.spend(fails_once_with(OSError(errno.ENOSPC, "full")))


def statvfs(*, free_bytes: int, free_inodes: int) -> Callable[[object], os.statvfs_result]:
    blocks = free_bytes // 4096
    answer = os.statvfs_result(
        (4096, 4096, 1 << 20, blocks, blocks, 1 << 20, free_inodes, free_inodes, 0, 255)
    )
    return lambda _: answer


@pytest.mark.parametrize(
    ("free_bytes", "free_inodes", "made"),
    [(2 * SIZE, 60, True), (2 * SIZE - 4096, 60, False), (2 * SIZE, 59, False)],
)
def test_it_is_made_again_only_when_there_is_more_than_enough(
    free_bytes: int, free_inodes: int, made: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "statvfs", statvfs(free_bytes=free_bytes, free_inodes=free_inodes))
    assert Reserve(tmp_path, SIZE).renew() is made


def test_a_start_on_a_full_disk_gives_it_up(reserve: Reserve, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "statvfs", statvfs(free_bytes=1 << 30, free_inodes=1 << 20))
    reserve.spend_if_full()
    assert reserve.whole
    monkeypatch.setattr(os, "statvfs", statvfs(free_bytes=4096, free_inodes=1 << 20))
    reserve.spend_if_full()
    assert not reserve.whole


def test_a_half_made_one_is_no_reserve(tmp_path: Path) -> None:
    (tmp_path / "reserve").mkdir()
    (tmp_path / "reserve/room.new").write_bytes(b"x")
    reserve = Reserve(tmp_path, SIZE)
    assert not reserve.whole
    assert reserve.renew()
