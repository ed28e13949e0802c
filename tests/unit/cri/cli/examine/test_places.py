import os
import socket
from dataclasses import replace
from pathlib import Path

import pytest

from conf.schema import Config
from cri.cli.examine import places
from cri.cli.examine.findings import Level
from host.mounts import Mount


def mount(point: str, fstype: str) -> Mount:
    return Mount(1, 0, "/", Path(point), (), (), fstype, fstype, ())


def config(tmp_path: Path) -> Config:
    api = replace(Config().api, listen=tmp_path / "run/podwright.sock")
    return Config(root=tmp_path / "root", runroot=tmp_path / "run", log_dir=tmp_path / "log", api=api)


def test_the_nearest_existing_parent_counts(tmp_path: Path) -> None:
    assert places.nearest_existing(tmp_path / "a/b/c") == tmp_path
    assert places.nearest_existing(tmp_path) == tmp_path


def test_directories_that_can_be_made_are_fine(tmp_path: Path) -> None:
    assert {finding.level for finding in places.directories(config(tmp_path))} == {Level.OK}


def test_directories_of_options_that_are_set_count_too(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    usual = config(tmp_path)
    moved = replace(
        usual,
        runtime=replace(usual.runtime, namespaces_dir=tmp_path / "file/ns"),
        metrics=replace(usual.metrics, enable_metrics=True, metrics_socket=tmp_path / "file/metrics.sock"),
    )
    found = [finding.subject for finding in places.directories(moved) if finding.level is Level.FAILS]
    assert found == ["namespaces_dir", "metrics_socket"]


def test_a_file_in_the_way_fails(tmp_path: Path) -> None:
    (tmp_path / "root").write_text("")
    root, *others = places.directories(config(tmp_path))
    assert root.level is Level.FAILS
    assert "not a directory" in root.text
    assert {finding.level for finding in others} == {Level.OK}


def test_a_directory_that_cannot_be_written_fails(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "access", lambda path, mode: False)  # root may write everywhere
    assert {finding.level for finding in places.directories(config(tmp_path))} == {Level.FAILS}


MOUNTS = [mount("/", "ext4"), mount("/run", "tmpfs"), mount("/var/lib", "overlay"), mount("/var/lib", "xfs")]


@pytest.mark.parametrize(
    ("path", "fstype"),
    [("/etc", "ext4"), ("/run/x", "tmpfs"), ("/running", "ext4"), ("/var/lib/podwright", "xfs")],
)
def test_the_last_mount_on_the_nearest_mount_point_counts(path: str, fstype: str) -> None:
    assert places.filesystem_of(Path(path), MOUNTS) == fstype


def test_a_root_on_overlay_fails(tmp_path: Path) -> None:
    (tmp_path / "run").mkdir()
    mounts = [mount("/", "overlay"), mount(str(tmp_path / "run"), "tmpfs")]
    (finding,) = places.filesystems(config(tmp_path), mounts)
    assert finding.level is Level.FAILS
    assert "overlay" in finding.text


def test_a_runroot_on_disk_is_a_warning(tmp_path: Path) -> None:
    (finding,) = places.filesystems(config(tmp_path), [mount("/", "ext4")])
    assert finding.level is Level.WARNING
    assert finding.subject == "runroot"


def test_a_runroot_on_a_tmpfs_is_fine(tmp_path: Path) -> None:
    assert list(places.filesystems(config(tmp_path), [mount("/", "tmpfs")])) == []


def statvfs(blocks_free: int, inodes: int = 0, inodes_free: int = 0) -> os.statvfs_result:
    return os.statvfs_result(
        (4096, 4096, 10**9, blocks_free, blocks_free, inodes, inodes_free, inodes_free, 0, 255)
    )


@pytest.mark.parametrize(
    ("stat", "level"),
    [
        (statvfs(10**8, 10**6, 10**5), Level.OK),
        (statvfs(10**8), Level.OK),  # btrfs counts no inodes
        (statvfs(1000, 10**6, 10**5), Level.WARNING),
        (statvfs(10**8, 10**6, 10), Level.WARNING),
    ],
)
def test_a_full_disk_is_a_warning(tmp_path: Path, stat: os.statvfs_result, level: Level) -> None:
    (finding,) = places.disk(config(tmp_path), lambda path: stat)
    assert finding.level is level


def test_a_daemon_that_runs_is_told_and_no_trouble(tmp_path: Path) -> None:
    path = tmp_path / "s"
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(path))
        assert list(places.listener(path)) == []
        server.listen()
        (finding,) = places.listener(path)
    assert (finding.level, finding.text) == (Level.OK, f"a daemon runs and serves {path}")
    assert list(places.listener(path)) == []
