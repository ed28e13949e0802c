import asyncio
import threading
from pathlib import Path

import pytest

from cri.log_directories import (
    LogDirectories,
    LogDirectoryHangs,
    LogPathLeadsOut,
    below,
    prepare,
    settle,
)
from host.openat2 import LinkOnTheWay
from oci.monitor.types import LogRefused


def test_links_above_the_pods_directory_are_resolved_once(tmp_path: Path) -> None:
    (tmp_path / "disk").mkdir()
    (tmp_path / "var").symlink_to("disk")
    settled = settle(tmp_path / "var/pods/pod")
    assert settled == tmp_path / "disk/pods/pod"
    assert settled.is_dir()
    assert prepare(settled / "container") == settled.stat().st_dev
    (tmp_path / "disk/pods").rename(tmp_path / "away")
    (tmp_path / "disk/pods").symlink_to(tmp_path / "away")
    with pytest.raises(LinkOnTheWay, match="disk/pods"):
        prepare(settled / "container")


def test_a_pods_directory_that_is_a_link_is_refused(tmp_path: Path) -> None:
    (tmp_path / "outside").mkdir()
    (tmp_path / "pod").symlink_to("outside")
    with pytest.raises(LinkOnTheWay, match="pod"):
        settle(tmp_path / "pod")


@pytest.mark.parametrize(
    ("log_path", "where"), [("main/0.log", "main/0.log"), ("/main/0.log", "main/0.log"), ("a..b/c", "a..b/c")]
)
def test_logs_lie_below_the_directory(log_path: str, where: str) -> None:
    assert below(Path("/logs/pod"), log_path) == Path("/logs/pod") / where


@pytest.mark.parametrize("log_path", ["..", "../x", "a/../../x", "/../x", "a/.."])
def test_a_path_that_leads_out_is_refused(log_path: str) -> None:
    with pytest.raises(LogPathLeadsOut, match="leads out"):
        below(Path("/logs/pod"), log_path)


async def test_a_link_is_named_to_the_client(tmp_path: Path) -> None:
    (tmp_path / "pod").symlink_to("outside")
    with pytest.raises(LogRefused, match=rf"{tmp_path}/pod is a symbolic link"):
        await LogDirectories().call(tmp_path, lambda: prepare(tmp_path / "pod/main"), 60)


async def test_a_call_that_hangs_is_given_up_and_not_joined_by_others() -> None:
    directories, release, calls = LogDirectories(), threading.Event(), []

    def hang() -> int:
        calls.append(1)
        release.wait()
        return 1

    for _ in range(3):
        with pytest.raises(LogDirectoryHangs, match=r"log directory /hung has not answered within 0\.02 s"):
            await directories.call(Path("/hung"), hang, 0.02)
    assert len(calls) == 1
    assert await directories.call(Path("/well"), lambda: 2, 60) == 2
    waiting = asyncio.create_task(directories.call(Path("/hung"), lambda: 3, 60))
    release.set()
    assert await waiting == 3
