"""The script that removes all state, as it runs when the package is purged: without daemon and program."""

import re
import subprocess
from collections.abc import Iterator

import pytest

from tests.harness.client import container_config, pod_config
from tests.harness.counts import Counts
from tests.harness.daemon import Daemon, Settings
from tests.integration.cri.conftest import IMAGE, import_busybox
from tools.packaging.layout import CHECKOUT

pytestmark = pytest.mark.root

TIMEOUT_S = 60


@pytest.fixture
def daemon() -> Iterator[Daemon]:
    """With two pods, each with a container."""
    daemon = Daemon(Settings(bridge="pw-purge0", subnet="10.89.0.0/16"))
    try:
        import_busybox(daemon)
        daemon.start()
        client = daemon.client
        for name in ("one", "two"):
            config = pod_config(name, log_directory=daemon.state / "log" / name)
            # As pid 1 it does not hear SIGTERM.
            container = container_config("c", IMAGE, ["sleep", "86400"])
            pod = client.run_pod(config)
            client.start_container(client.create_container(pod, container, config))
        yield daemon
    finally:
        daemon.teardown()


def _purge(daemon: Daemon) -> subprocess.CompletedProcess[str]:
    script = CHECKOUT / "tools/packaging/purge"
    directories = (daemon.state / "root", daemon.runroot, daemon.state / "log")
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
    done = _purge(daemon)
    assert (done.returncode, done.stderr) == (0, "")
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
