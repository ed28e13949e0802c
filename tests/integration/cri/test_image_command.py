"""``podwright image`` on a store of its own."""

import json
import subprocess
from pathlib import Path

import pytest
import yaml

from tests.harness.client import eventually
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


def copies() -> set[Path]:
    """Of what came through pipes; others of this machine may import too."""
    return set(Path("/var/tmp").glob("podwright-import-*"))


def none_stays_of(made: set[Path]) -> None:
    eventually(lambda: [path for path in made if path.exists()], lambda left: not left, "no copy is left")


def test_an_archive_may_come_through_a_pipe(archive: Path) -> None:
    before = copies()
    with Daemon() as daemon:
        imported = run(daemon, "import", "-", data=archive.read_bytes())
        assert (imported.returncode, imported.stderr) == (0, b"")
        assert NAME.encode() in imported.stdout
        assert NAME.encode() in run(daemon, "list").stdout
    none_stays_of(copies() - before)


def test_a_pipe_without_an_archive_is_refused_and_leaves_no_copy() -> None:
    before = copies()
    with Daemon() as daemon:
        imported = run(daemon, "import", "-", data=b"nonsense")
    assert imported.returncode == 1
    assert b"is no tar archive" in imported.stderr
    none_stays_of(copies() - before)


def test_images_are_shown_for_people_and_for_programs(archive: Path) -> None:
    with Daemon() as daemon:
        (imported,) = json.loads(run(daemon, "import", "-o", "json", str(archive)).stdout)
        assert imported["repoTags"] == [NAME]
        (listed,) = json.loads(run(daemon, "ls", "--output=json").stdout)
        assert listed == imported
        assert yaml.safe_load(run(daemon, "list", "-o", "yaml").stdout) == [imported]
        assert json.loads(run(daemon, "inspect", "-o", "json", NAME).stdout) == [imported]
        assert run(daemon, "list", "-q").stdout.decode() == f"{imported['id']}\n"
        heads, line = run(daemon, "list").stdout.decode().splitlines()
        assert heads.split() == ["IMAGE", "ID", "SIZE", "NAMES"]
        assert line.split()[-2:] == ["MB", NAME]
        shown = run(daemon, "inspect", NAME).stdout.decode()
        assert f"repoTags:     {NAME}\n" in shown
        missing = run(daemon, "inspect", "none")
        assert (missing.returncode, missing.stdout) == (1, b"")
        assert b"podwright image list shows what is there" in missing.stderr
        assert run(daemon, "rm", NAME).returncode == 0
        assert run(daemon, "list", "-o", "json").stdout == b"[]\n"
        assert run(daemon, "list").stdout == b""
