"""``podwright image`` on a store of its own."""

import json
import subprocess
from pathlib import Path

import pytest
import yaml

from tests.harness.client import container_config, eventually, pod_config
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


def test_the_store_is_tagged_filtered_measured_and_pruned(archive: Path) -> None:
    with Daemon() as daemon:
        (imported,) = json.loads(run(daemon, "import", "-o", "json", str(archive)).stdout)
        (tagged,) = json.loads(run(daemon, "tag", "-o", "json", NAME, "other:2", "q.io/a/b").stdout)
        assert tagged["repoTags"] == sorted([NAME, "localhost/other:2", "q.io/a/b:latest"])
        for wanted, expected in {
            "reference=*piped*": 1,
            "reference=other:2": 1,
            "reference=b": 1,
            "reference=nothing": 0,
            "dangling=false": 1,
            "dangling=true": 0,
            "pinned=true": 0,
            f"since={NAME}": 0,
        }.items():
            assert len(json.loads(run(daemon, "ls", "-o", "json", "-f", wanted).stdout)) == expected, wanted
        wrong = run(daemon, "ls", "--filter", "size=1")
        assert (wrong.returncode, b"size=1" in wrong.stderr) == (1, True)
        usage = json.loads(run(daemon, "du", "-o", "json").stdout)
        [own] = usage["images"]
        assert own["uniqueBytes"] == usage["totalBytes"] > 0
        (layer,) = json.loads(run(daemon, "du", "--layers", "-o", "json").stdout)
        assert (layer["images"], layer["bytes"]) == ([imported["id"]], usage["totalBytes"])
        assert json.loads(run(daemon, "prune", "-o", "json").stdout) == []
        assert json.loads(run(daemon, "prune", "-a", "--dry-run", "-o", "json").stdout) == [imported["id"]]
        assert json.loads(run(daemon, "ls", "-o", "json").stdout) != []
        assert json.loads(run(daemon, "prune", "-a", "-o", "json").stdout) == [imported["id"]]
        assert json.loads(run(daemon, "ls", "-o", "json").stdout) == []
        assert list((daemon.state / "root/layers").iterdir()) == []


def test_prune_leaves_what_a_container_has(archive: Path) -> None:
    with Daemon() as daemon:
        run(daemon, "import", str(archive))
        config = pod_config("kept")
        pod = daemon.client.run_pod(config)
        daemon.client.create_container(pod, container_config("main", NAME), config)
        assert json.loads(run(daemon, "prune", "-a", "-o", "json").stdout) == []


def test_a_rotten_layer_is_found_and_only_it_is_removed(archive: Path) -> None:
    with Daemon() as daemon:
        run(daemon, "import", str(archive))
        first = run(daemon, "verify", NAME)
        assert (first.returncode, b"broken: 0" in first.stdout) == (0, True)
        [layer] = (daemon.state / "root/layers").iterdir()
        (layer / "diff/bin/busybox").write_bytes(b"rot")
        assert run(daemon, "verify").returncode == 1
        line = daemon.command("check", "--storage")
        found = subprocess.run(line, capture_output=True, timeout=60, check=False)
        assert (found.returncode, NAME in found.stdout.decode()) == (1, True)
        repaired = subprocess.run([*line, "--repair"], capture_output=True, timeout=60, check=False)
        assert repaired.returncode == 0, repaired.stderr
        assert f"{NAME} (" in repaired.stdout.decode()
        assert b"pull it again" in repaired.stdout
        assert json.loads(run(daemon, "ls", "-o", "json").stdout) == []
        assert subprocess.run(line, capture_output=True, timeout=60, check=False).returncode == 0
