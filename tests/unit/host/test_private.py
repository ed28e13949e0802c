"""What is for root alone, what is not, and what becomes of older states."""

import logging
import os
import stat
from collections.abc import Iterator
from pathlib import Path

import pytest

from host.private import SharedPlace, Tree, claim, public_directory, require_own


@pytest.fixture(autouse=True, params=[0o022, 0o000, 0o077], ids=oct)
def _umask(request: pytest.FixtureRequest) -> Iterator[None]:
    own = os.umask(int(request.param))
    yield
    os.umask(own)


def mode(path: Path) -> int:
    return stat.S_IMODE(path.lstat().st_mode)


def make(path: Path, bits: int) -> Path:
    """A file with these bits; a directory if its name ends without a suffix."""
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.suffix:
        path.touch()
    else:
        path.mkdir()
    path.chmod(bits)
    return path


def test_a_new_tree_is_for_root_alone_and_its_parents_are_ordinary(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    top = tmp_path / "var/lib/state"
    assert claim(Tree(top)) == 0
    assert [mode(path) for path in (top, top.parent, top.parent.parent)] == [0o700, 0o755, 0o755]
    assert caplog.records == []


def test_what_an_earlier_version_left_open_is_closed_and_told_in_one_line(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    top = make(tmp_path / "state", 0o711)
    for name, bits in (
        ("records.sqlite", 0o644),
        ("records.sqlite-wal", 0o644),
        ("lock.file", 0o600),
        ("cni", 0o755),
        ("layers", 0o700),
        ("layers/one", 0o755),
        ("containers", 0o711),
        ("containers/one", 0o711),
    ):
        make(top / name, bits)
    image = make(top / "layers/one/diff", 0o755)
    shm = make(top / "cni/shm", 0o1777)
    with caplog.at_level(logging.WARNING):
        assert claim(Tree(top, crowded=("layers", "containers"))) == 7
    assert caplog.messages == [
        f"others could reach state of an earlier version: repaired 7 modes at and below {top}"
    ]
    assert [mode(path) for path in (top, *sorted(top.rglob("*"))) if mode(path) & 0o077] == [0o1777, 0o755]
    assert (mode(image), mode(shm)) == (0o755, 0o1777)
    assert mode(top / "records.sqlite-wal") == 0o600
    caplog.clear()
    assert claim(Tree(top, crowded=("layers", "containers"))) == 0
    assert caplog.records == []


def test_links_are_not_followed_and_sockets_keep_their_modes(tmp_path: Path) -> None:
    top, outside = make(tmp_path / "state", 0o700), make(tmp_path / "outside.file", 0o644)
    (top / "link").symlink_to(outside)
    os.mkfifo(top / "fifo", 0o600)
    (top / "fifo").chmod(0o666)
    assert claim(Tree(top)) == 0
    assert (mode(outside), mode(top / "fifo")) == (0o644, 0o666)


@pytest.mark.skipif(os.geteuid() != 0, reason="gives a directory to another group")
def test_members_of_a_group_pass_through_the_top_and_read_nothing(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    top = tmp_path / "state"
    for _ in range(2):
        assert claim(Tree(top, group=1)) == 0
        assert (mode(top), top.stat().st_gid) == (0o710, 1)
    assert claim(Tree(top)) == 0
    assert (mode(top), top.stat().st_gid) == (0o700, 0)
    assert caplog.records == []


@pytest.mark.parametrize("path", ["/", "/run", "/var/lib", "/var/run", "/tmp", "/var/log/..", "/dev/shm"])
def test_a_directory_that_others_need_is_refused_by_name(path: str) -> None:
    with pytest.raises(SharedPlace, match=rf"{path} is not for Podwright alone: name a directory"):
        require_own(Path(path))


def test_one_that_everybody_writes_to_is_refused_too(tmp_path: Path) -> None:
    with pytest.raises(SharedPlace):
        claim(Tree(make(tmp_path / "shared", 0o1777)))
    assert mode(tmp_path / "shared") == 0o1777


def test_public_directories_have_their_mode_and_those_that_are_there_keep_theirs(tmp_path: Path) -> None:
    make(tmp_path / "closed", 0o700)
    public_directory(tmp_path / "closed/a/b")
    public_directory(tmp_path / "closed/c", 0o711)
    public_directory(tmp_path / "closed/a/b", 0o700)
    modes = {str(path.relative_to(tmp_path)): mode(path) for path in tmp_path.rglob("*")}
    assert modes == {"closed": 0o700, "closed/a": 0o755, "closed/a/b": 0o755, "closed/c": 0o711}
