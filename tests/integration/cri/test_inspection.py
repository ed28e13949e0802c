"""Looking inside a running daemon: its socket, its command, its dumps, and what crictl inspect shows."""

import subprocess
from collections.abc import Iterator

import pytest

from tests.harness.daemon import Daemon
from tests.harness.patience import patient
from tests.integration.cri.conftest import Pod

pytestmark = pytest.mark.root
TIMEOUT_S = patient(30)
COUNTING = ["sh", "-c", "i=0; while :; do i=$((i+1)); echo $i >/count; sleep 0.05; done"]


@pytest.fixture
def pod(daemon: Daemon) -> Iterator[Pod]:
    made = Pod.start(daemon, COUNTING)
    yield made
    made.remove()


def status(daemon: Daemon, *words: str) -> subprocess.CompletedProcess[str]:
    command = daemon.command(f"status {words[0]}", *words[1:])
    return subprocess.run(command, capture_output=True, text=True, timeout=TIMEOUT_S, check=False)


def told(daemon: Daemon, *words: str) -> str:
    done = status(daemon, *words)
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout
