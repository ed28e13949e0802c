"""What a call says that failed for want of room, whoever noticed it first."""

import errno
import os
import sqlite3
import threading
from pathlib import Path

import pytest

from api.errors import InvalidArgument, ResourceExhausted
from conf.schema import Config
from cri.grpc_errors import message_of
from cri.space import OutOfRoom, Space
from host.reserve import lacks_threads
from oci.runtime import RuntimeFailed


@pytest.fixture
def space(tmp_path: Path) -> Space:
    return Space(Config(root=tmp_path, runroot=tmp_path))


def full(_: object) -> os.statvfs_result:
    return os.statvfs_result((4096, 4096, 1000, 0, 0, 1000, 500, 500, 0, 255))


def sqlite_error(code: int) -> sqlite3.OperationalError:
    error = sqlite3.OperationalError("database or disk is full")
    error.sqlite_errorcode = code
    return error


def caused(cause: Exception) -> Exception:
    error = InvalidArgument("the image has something else there")
    error.__cause__ = cause
    return error


@pytest.mark.parametrize(
    "error",
    [
        OSError(errno.ENOSPC, "No space left on device", "/run/x"),
        sqlite_error(sqlite3.SQLITE_FULL),
        RuntimeFailed("crun", "create", "c" * 64, "mkdir: No space left on device"),
        RuntimeFailed("crun", "exec", "c" * 64, "pipe: Too many open files"),
        caused(OSError(errno.ENOSPC, "No space left on device")),
        MemoryError(),
    ],
    ids=repr,
)
def test_it_names_the_full_place_and_the_way_out(
    error: Exception, space: Space, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "statvfs", full)
    error.add_note("spec 1.0 ms (failed)")
    explained = space.explain(error)
    assert isinstance(explained, OutOfRoom)
    words = message_of(explained)
    assert f"{tmp_path} is full (0 bytes, 500 inodes free)" in words
    assert "make room" in words
    assert "spec 1.0 ms (failed)" in words


def test_without_threads_it_says_which_limit(space: Space) -> None:
    explained = space.explain(RuntimeError("can't start new thread"))
    assert isinstance(explained, OutOfRoom)
    assert "raise TasksMax" in message_of(explained)


def test_cpythons_words_for_it_are_what_we_know() -> None:
    """There is no type and no number; those are the words of the version that runs here."""
    threading.stack_size(1 << 46)  # more than there are addresses
    try:
        with pytest.raises(RuntimeError) as caught:
            threading.Thread(target=int).start()
    finally:
        threading.stack_size(0)
    assert lacks_threads(caught.value)


@pytest.mark.parametrize(
    "error",
    [
        OSError(errno.EPERM, "no"),
        ResourceExhausted("something else"),
        InvalidArgument("odd"),
        sqlite_error(sqlite3.SQLITE_IOERR),  # no disk is full: this one is broken
    ],
    ids=repr,
)
def test_other_errors_stay_what_they_are(error: Exception, space: Space) -> None:
    assert space.explain(error) is error


def test_status_tells_what_is_full_and_lacks_its_reserve(
    space: Space, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    space.renew()
    assert space.problems() == []
    with pytest.raises(OSError, match="full"):
        space.root.spend(raise_full)
    assert any("no reserve" in text for text in space.problems())
    monkeypatch.setattr(os, "statvfs", full)
    assert any(f"{tmp_path} is full" in text for text in space.problems())


def raise_full() -> None:
    raise OSError(errno.ENOSPC, "full")
