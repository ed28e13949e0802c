"""The script that removes all state, as it runs when the package is purged: without daemon and program."""

import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from api.runtime.v1 import api_pb2 as pb
from cri.paths import Paths
from tests.harness.client import container_config, pod_config
from tests.harness.counts import Counts
from tests.harness.daemon import Daemon, Settings
from tests.integration.cri.conftest import IMAGE, import_busybox
from tools.packaging.layout import CHECKOUT

pytestmark = pytest.mark.root

TIMEOUT_S = 60
IDS = [pb.IDMapping(host_id=1 << 20, length=1 << 16)]
MAPPED = pb.UserNamespace(mode=pb.POD, uids=IDS, gids=IDS)
REACHABLE = Paths(Path("/")).reachable


@pytest.fixture
def daemon() -> Iterator[Daemon]:
    """With two pods, each with a container; the second has a user namespace."""
    daemon = Daemon(Settings(bridge="pw-purge0", subnet="10.89.0.0/16"))
    try:
        import_busybox(daemon)
        daemon.start()
        client = daemon.client
        for name in ("one", "two"):
            config = pod_config(name, log_directory=daemon.state / "log" / name)
            if name == "two":
                config.linux.security_context.namespace_options.userns_options.CopyFrom(MAPPED)
            # As pid 1 it does not hear SIGTERM.
            container = container_config("c", IMAGE, ["sleep", "86400"])
            pod = client.run_pod(config)
            client.start_container(client.create_container(pod, container, config))
        yield daemon
    finally:
        daemon.teardown()


def _purge(daemon: Daemon) -> subprocess.CompletedProcess[str]:
    return _purge_directories(daemon.state / "root", daemon.runroot, daemon.state / "log")


def _purge_directories(*directories: Path) -> subprocess.CompletedProcess[str]:
    """ROOT, RUNROOT and LOGS."""
    script = CHECKOUT / "tools/packaging/purge"
    return subprocess.run(
        [script, *directories], capture_output=True, text=True, timeout=TIMEOUT_S, check=False
    )


def test_it_ends_all_that_runs_and_removes_all_that_is_kept(request: pytest.FixtureRequest) -> None:
    before = Counts.take()
    daemon: Daemon = request.getfixturevalue("daemon")
    client = daemon.client
    # Cgroups are the host's: those of others come and go meanwhile.
    ids = [pod.id for pod in client.pods()] + [container.id for container in client.containers()]
    own = re.compile("|".join(ids))
    daemon.stop()
    running = before.left_over(Counts.take(cgroups=own))
    assert sum("sleep 86400" in line for line in running) == 2
    assert any(line.startswith("cgroup: ") for line in running)
    assert len(list(REACHABLE.iterdir())) == 1
    done = _purge(daemon)
    assert (done.returncode, done.stderr) == (0, "")
    assert not REACHABLE.exists()
    left = [line for line in before.left_over(Counts.take(cgroups=own)) if "pw-purge0" not in line]
    assert left == []  # but for the bridge, which the CNI plugin leaves as well
    assert not daemon.runroot.exists()
    assert not (daemon.state / "root").exists()
    assert not (daemon.state / "log").exists()


def test_nothing_is_touched_while_the_daemon_runs(daemon: Daemon) -> None:
    done = _purge(daemon)
    assert done.returncode == 1
    assert "stop it first" in done.stderr
    assert len(daemon.client.containers()) == 2


def _mount(directory: Path) -> Path:
    """A tmpfs with a directory and a file in it."""
    directory.mkdir(parents=True, exist_ok=True)
    subprocess.run(["mount", "-t", "tmpfs", "tmpfs", directory], timeout=TIMEOUT_S, check=True)
    (directory / "kept").mkdir()
    (directory / "kept/file").write_text("content")
    return directory


def test_directories_that_are_mount_points_are_emptied_and_stay_mounted(tmp_path: Path) -> None:
    mounts = [_mount(tmp_path / name) for name in ("root", "runroot", "logs")]
    try:
        _mount(tmp_path / "root/below")
        done = _purge_directories(*mounts)
        assert (done.returncode, done.stderr) == (0, "")
        assert all(directory.is_mount() for directory in mounts)
        assert [list(directory.iterdir()) for directory in mounts] == [[], [], []]
    finally:
        subprocess.run(["umount", "--recursive", *mounts], timeout=TIMEOUT_S, check=False)


def test_nothing_is_deleted_on_a_file_system_that_is_mounted_among_the_logs(tmp_path: Path) -> None:
    logs = _mount(tmp_path / "logs")
    other = _mount(logs / "other")
    try:
        _purge_directories(tmp_path / "root", tmp_path / "runroot", logs)
        assert (other / "kept/file").read_text() == "content"
        assert not (logs / "kept").exists()
    finally:
        subprocess.run(["umount", "--recursive", logs], timeout=TIMEOUT_S, check=False)
