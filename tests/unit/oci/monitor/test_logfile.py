import contextlib
import errno
import os
import socket
from collections.abc import Callable
from pathlib import Path

import pytest

from host.openat2 import LinkOnTheWay
from oci.monitor.logfile import LogFile


@pytest.mark.parametrize("umask", [0o000, 0o022, 0o077])
def test_log_is_appended_and_not_for_everybody(tmp_path: Path, umask: int) -> None:
    path = tmp_path / "log"
    own = os.umask(umask)
    try:
        _append_twice(path)
    finally:
        os.umask(own)
    assert path.read_bytes() == b"one\ntwo\n"
    assert path.stat().st_mode & 0o777 == 0o640


def test_the_mode_of_a_log_that_is_there_stays(tmp_path: Path) -> None:
    path = tmp_path / "log"
    path.touch(0o604)
    path.chmod(0o604)
    _append_twice(path)
    assert path.stat().st_mode & 0o777 == 0o604


def _append_twice(path: Path) -> None:
    for text in (b"one\n", b"two\n"):
        log = LogFile(str(path), 0)
        assert log.append(text) == b""
        log.close()


def test_reopened_log_exists_and_gets_what_comes(tmp_path: Path) -> None:
    path = tmp_path / "log"
    log = LogFile(str(path), 0)
    log.append(b"old\n")
    path.rename(tmp_path / "old")
    log.reopen()
    assert path.read_bytes() == b""
    log.append(b"new\n")
    log.close()
    assert (path.read_bytes(), (tmp_path / "old").read_bytes()) == (b"new\n", b"old\n")


def test_failed_reopening_keeps_the_old_file(tmp_path: Path) -> None:
    directory = tmp_path / "logs"
    directory.mkdir()
    log = LogFile(str(directory / "log"), 0)
    directory.rename(tmp_path / "away")
    with pytest.raises(FileNotFoundError):
        log.reopen()
    assert log.append(b"kept\n") == b""
    log.close()
    assert (tmp_path / "away" / "log").read_bytes() == b"kept\n"


def linked(directory: Path, part: str) -> Path:
    """A log's path of which ``part`` is a symbolic link to a place where there is one, too."""
    (directory / "outside/pod/container").mkdir(parents=True)
    (directory / "outside/pod/container/log").write_bytes(b"theirs\n")
    parts = ("pod", "container", "log")
    until = "/".join(parts[: parts.index(part) + 1]) if part in parts else ""
    link = directory / "logs" / until
    link.parent.mkdir(parents=True, exist_ok=True)
    link.symlink_to(directory / "outside" / until)
    return directory / "logs/pod/container/log"


@pytest.mark.parametrize("part", ["logs", "pod", "container", "log"])
def test_a_symbolic_link_on_the_way_is_not_followed_but_named(tmp_path: Path, part: str) -> None:
    path = linked(tmp_path, part)
    with pytest.raises(LinkOnTheWay, match=rf"symbolic link.*/{part}'$"):
        LogFile(str(path), 0)
    assert (tmp_path / "outside/pod/container/log").read_bytes() == b"theirs\n"


@pytest.mark.parametrize("part", ["pod", "container", "log"])
def test_reopening_follows_none_either_and_the_old_file_goes_on(tmp_path: Path, part: str) -> None:
    path = tmp_path / "logs/pod/container/log"
    path.parent.mkdir(parents=True)
    log = LogFile(str(path), 0)
    (tmp_path / "logs").rename(tmp_path / "before")
    linked(tmp_path, part)
    with pytest.raises(LinkOnTheWay):
        log.reopen()
    assert log.append(b"mine\n") == b""
    log.close()
    assert (tmp_path / "before/pod/container/log").read_bytes() == b"mine\n"
    assert (tmp_path / "outside/pod/container/log").read_bytes() == b"theirs\n"


def test_a_patient_log_does_not_follow_one_later(tmp_path: Path) -> None:
    path = linked(tmp_path, "container")
    log = LogFile(str(path), 0, patient=True)
    assert log.append(b"mine\n") == b"mine\n"
    assert (tmp_path / "outside/pod/container/log").read_bytes() == b"theirs\n"


@pytest.mark.parametrize("part", ["pod", "container", "log.1"])
def test_recovery_cuts_no_file_behind_a_link(tmp_path: Path, part: str) -> None:
    """The successor of a dead writer looks for the renamed log beside the new one."""
    theirs = (
        linked(tmp_path, "container" if part == "log.1" else part).parents[3] / "outside/pod/container/log"
    )
    status = theirs.stat()
    if part == "log.1":
        (tmp_path / "logs/pod/container").unlink()
        (tmp_path / "logs/pod/container").mkdir()
        (tmp_path / "logs/pod/container/log.1").symlink_to(theirs)
    log = LogFile(str(tmp_path / "logs/pod/container/log"), 0, patient=True)
    log.take_back((2, status.st_dev, status.st_ino), lambda: None)
    with contextlib.suppress(OSError):
        log.append(b"x\n")
    log.close()
    assert theirs.read_bytes() == b"theirs\n"


@pytest.mark.parametrize("make", [os.mkfifo, os.mkdir, lambda path: bind(path)])
def test_what_is_no_regular_file_is_not_opened(tmp_path: Path, make: Callable[[Path], object]) -> None:
    path = tmp_path / "log"
    make(path)
    with pytest.raises(OSError, match="not a regular file"):
        LogFile(str(path), 0)


def bind(path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as sock:
        sock.bind(str(path))


def test_size_limit_cuts_before_the_line_that_exceeds_it(tmp_path: Path) -> None:
    path = tmp_path / "log"
    log = LogFile(str(path), 10)
    for text in (b"12345\n", b"678\n", b"9\n"):
        if log.exceeds(len(text)):
            log.cut()
        log.append(text)
    log.close()
    assert path.read_bytes() == b"9\n"


def test_a_line_that_the_disk_takes_in_part_is_taken_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "log"
    log = LogFile(str(path), 0)
    room = 6
    write = os.write
    monkeypatch.setattr("oci.monitor.logfile.os.write", lambda fd, data: write(fd, data[:room]))
    assert log.append(b"one\ntwo\nthree\n") == b"two\nthree\n"
    assert path.read_bytes() == b"one\n"
    room = 3
    assert log.append(b"two\nthree\n") == b"two\nthree\n"
    path.rename(tmp_path / "old")
    log.reopen()
    room = 100
    assert log.append(b"two\nthree\n") == b""
    assert ((tmp_path / "old").read_bytes(), path.read_bytes()) == (b"one\n", b"two\nthree\n")
    log.close()


def test_a_patient_log_is_opened_once_it_can_be(tmp_path: Path) -> None:
    path = tmp_path / "logs/log"
    log = LogFile(str(path), 0, patient=True)
    assert log.append(b"nobody could read this\n") == b""
    path.mkdir(parents=True)
    assert log.append(b"kept\n") == b"kept\n"
    path.rmdir()
    assert log.append(b"kept\n") == b""
    log.close()
    assert path.read_bytes() == b"kept\n"


def test_nobody_writes_behind_a_part_of_a_line_that_could_not_be_taken_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "log"
    log = LogFile(str(path), 0)
    assert log.append(b"zero\n") == b""
    with monkeypatch.context() as broken:
        write = os.write
        broken.setattr(os, "write", lambda fd, data: write(fd, data[:6]))
        broken.setattr(os, "ftruncate", refuse)
        assert log.append(b"one\ntwo\n") == b"one\ntwo\n"
        assert log.append(b"aside\n") == b"aside\n"
        assert log.is_torn
        assert path.read_bytes() == b"zero\none\ntw"
    path.rename(tmp_path / "old")
    assert log.append(b"aside\n") == b""
    assert log.append(b"one\ntwo\n") == b""
    assert ((tmp_path / "old").read_bytes(), path.read_bytes()) == (b"zero\n", b"aside\none\ntwo\n")
    log.close()


def refuse(descriptor: int, size: int) -> None:
    raise OSError(errno.EIO, os.strerror(errno.EIO))


def test_what_is_taken_back_later_is_told_then(tmp_path: Path) -> None:
    path = tmp_path / "logs/log"
    path.parent.mkdir()
    path.write_bytes(b"one\ntw")
    status = path.stat()
    path.parent.rename(tmp_path / "away")
    path.parent.symlink_to(tmp_path / "away")
    told: list[int] = []
    log = LogFile(str(path), 0, patient=True)
    log.take_back((4, status.st_dev, status.st_ino), lambda: told.append(log.size))
    assert log.append(b"two\n") == b"two\n"
    assert (told, log.is_torn) == ([], True)
    path.parent.unlink()
    (tmp_path / "away").rename(path.parent)
    assert log.append(b"two\n") == b""
    assert (told, log.is_torn) == ([4], False)
    assert path.read_bytes() == b"one\ntwo\n"
    log.close()
