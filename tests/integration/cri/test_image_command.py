"""``podwright image`` on a store of its own."""

import subprocess
from pathlib import Path

import pytest

from tests.harness.daemon import Daemon
from tools.demo import busybox_image

NAME = "localhost/test/piped:1"


@pytest.fixture
def archive(tmp_path: Path) -> Path:
    busybox_image().write_docker_archive(tmp_path / "busybox.tar", NAME)
    return tmp_path / "busybox.tar"


def run(
    daemon: Daemon, action: str, *arguments: str, data: bytes = b""
) -> subprocess.CompletedProcess[bytes]:
    line = daemon.command(f"image {action}", *arguments)
    return subprocess.run(line, input=data, capture_output=True, timeout=60, check=False)


def test_an_archive_may_come_through_a_pipe(archive: Path) -> None:
    with Daemon() as daemon:
        imported = run(daemon, "import", "-", data=archive.read_bytes())
        assert (imported.returncode, imported.stderr) == (0, b"")
        assert NAME.encode() in imported.stdout
        assert NAME.encode() in run(daemon, "list").stdout
    assert list(Path("/var/tmp").glob("podwright-import-*")) == []


def test_a_pipe_without_an_archive_is_refused_and_leaves_no_copy() -> None:
    with Daemon() as daemon:
        imported = run(daemon, "import", "-", data=b"nonsense")
    assert imported.returncode == 1
    assert b"is no tar archive" in imported.stderr
    assert list(Path("/var/tmp").glob("podwright-import-*")) == []
