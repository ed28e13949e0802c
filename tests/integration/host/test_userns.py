"""Namespaces that a user namespace owns, and id-mapped copies of mounts, on the real kernel."""

import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from host import userns as host_userns
from host.features import idmapped_mounts, recursive_readonly
from host.idmaps import attach_copy, detach_copy, mapped_copies
from host.mounts import is_mountpoint, mount_tmpfs, mountpoints_below, umount
from host.namespaces import Kind, SysctlRefused, is_pinned, unpin
from host.userns import UserNamespaceFailed, make_user_namespace, pin_owned
from tests.harness.patience import patient

pytestmark = pytest.mark.root

MAP = [(0, 3949199360, 65536)]
ALL = (Kind.NET, Kind.IPC, Kind.UTS)


def test_all_are_pinned_and_set_up(tmp_path: Path) -> None:
    sysctls = {"kernel.shm_rmid_forced": "1", "fs.mqueue.msg_max": "100", "net.ipv4.ip_forward": "1"}
    before = Path("/proc/sys/kernel/shm_rmid_forced").read_text()
    pinned = pin_owned(ALL, tmp_path, MAP, MAP, sysctls=sysctls, hostname="mapped")
    try:
        assert set(pinned) == {Kind.USER, *ALL}
        assert all(is_pinned(path) for path in pinned.values())
        assert Path("/proc/sys/kernel/shm_rmid_forced").read_text() == before
    finally:
        for path in pinned.values():
            unpin(path)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("sysctl", "value", "said"),
    [
        ("kernel.shm_rmid_forced", "no number", "kernel.shm_rmid_forced = 'no number': Invalid"),
        ("net.ipv4.no_such_thing", "1", "does not exist"),
        ("vm.swappiness", "1", "not namespaced"),
    ],
)
def test_a_refused_sysctl_leaves_nothing(tmp_path: Path, sysctl: str, value: str, said: str) -> None:
    with pytest.raises(SysctlRefused, match=said):
        pin_owned(ALL, tmp_path, MAP, MAP, sysctls={sysctl: value})
    assert list(tmp_path.iterdir()) == []


def test_a_helper_whose_asker_has_ended_ends_without_a_word() -> None:
    reading, writing = os.pipe()
    os.close(reading)
    helper = [sys.executable, "-I", "-S", str(Path(host_userns.__file__).with_name("userns_helper.py")), "0"]
    done = subprocess.run(
        helper,
        stdin=subprocess.DEVNULL,
        stdout=writing,
        stderr=subprocess.PIPE,
        timeout=patient(60),
        check=False,
    )
    os.close(writing)
    assert (done.returncode, done.stderr) == (0, b"")


def test_a_refused_map_leaves_nothing(tmp_path: Path) -> None:
    with pytest.raises(UserNamespaceFailed, match="uid_map"):
        pin_owned(ALL, tmp_path, [(0, 0, 10), (5, 100, 10)], MAP)
    assert list(tmp_path.iterdir()) == []


def test_a_process_with_threads_can_make_them(tmp_path: Path) -> None:
    done = threading.Event()
    thread = threading.Thread(target=done.wait)
    thread.start()
    try:
        os.close(make_user_namespace(MAP, MAP))
    finally:
        done.set()
        thread.join()


@pytest.fixture
def userns(tmp_path: Path) -> Iterator[Path]:
    (tmp_path / "ns").mkdir()
    pinned = pin_owned((), tmp_path / "ns", MAP, MAP)
    yield pinned[Kind.USER]
    unpin(pinned[Kind.USER])


def test_a_copy_shows_other_owners(tmp_path: Path, userns: Path) -> None:
    source = tmp_path / "source"
    source.mkdir()
    (source / "file").write_text("x")
    (source / "file").chmod(0o600)
    os.chown(source / "file", 7, 8)
    with mapped_copies([source, source], tmp_path / "copies", userns) as copies:
        for copy in copies:
            found = (copy / "file").stat()
            assert (found.st_uid, found.st_gid) == (MAP[0][1] + 7, MAP[0][1] + 8)
    assert not (tmp_path / "copies").exists()
    assert (source / "file").stat().st_uid == 7
    assert mountpoints_below(tmp_path / "copies") == []


def test_a_file_may_be_copied_too(tmp_path: Path, userns: Path) -> None:
    source, target = tmp_path / "source", tmp_path / "target"
    source.write_text("x")
    target.touch()
    descriptor = os.open(userns, os.O_RDONLY)
    try:
        attach_copy(source, target, userns=descriptor)
    finally:
        os.close(descriptor)
    assert target.stat().st_uid == MAP[0][1]
    detach_copy(target)
    detach_copy(target)
    assert not target.exists()
    assert source.read_text() == "x"


def test_a_read_only_copy_is_so_all_the_way_down(tmp_path: Path) -> None:
    source, target = tmp_path / "source", tmp_path / "target"
    (source / "below").mkdir(parents=True)
    target.mkdir()
    mount_tmpfs(source / "below")
    try:
        attach_copy(source, target, readonly=True)
        for path in (target / "file", target / "below/file"):
            with pytest.raises(OSError, match="Read-only file system"):
                path.touch()
        (source / "below/file").touch()
        detach_copy(target)
        assert not target.exists()
        assert is_mountpoint(source / "below")
        assert (source / "below/file").exists()
    finally:
        umount(source / "below")


def test_the_probe_tries_and_leaves_nothing(tmp_path: Path) -> None:
    assert idmapped_mounts(tmp_path)
    assert recursive_readonly(tmp_path)
    assert list(tmp_path.iterdir()) == []
    assert mountpoints_below(tmp_path) == []


def test_what_a_killed_probe_has_left_is_taken_away_by_the_next(tmp_path: Path) -> None:
    ended = os.posix_spawn("/bin/true", ["true"], {})
    os.waitpid(ended, 0)
    for pid in (ended, os.getpid()):
        place = tmp_path / f".probe-{pid}"
        (place / "0").mkdir(parents=True)
        attach_copy(place / "0", place / "0", userns=None, recursive=False)
    other = tmp_path / ".probe-1"
    other.mkdir()
    assert idmapped_mounts(tmp_path)
    assert list(tmp_path.iterdir()) == [other]
    assert mountpoints_below(tmp_path) == []


def test_a_file_system_that_cannot_be_mapped_is_known() -> None:
    assert not idmapped_mounts(Path("/sys/kernel"))
