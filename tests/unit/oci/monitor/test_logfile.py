import os
from pathlib import Path

import pytest

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


def test_a_symbolic_link_is_not_followed(tmp_path: Path) -> None:
    (tmp_path / "target").write_bytes(b"")
    (tmp_path / "log").symlink_to("target")
    with pytest.raises(OSError, match="symbolic"):
        LogFile(str(tmp_path / "log"), 0)


def test_size_limit_cuts_before_the_line_that_exceeds_it(tmp_path: Path) -> None:
    path = tmp_path / "log"
    log = LogFile(str(path), 10)
    for text in (b"12345\n", b"678\n", b"9\n"):
        log.make_room(len(text))
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
