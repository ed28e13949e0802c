"""A daemon for a module's tests, with a busybox image imported; afterwards nothing of it may be left."""

import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.harness.client import Client
from tests.harness.counts import Counts
from tests.harness.daemon import Daemon, Settings
from tools.demo import busybox_image

IMAGE = "localhost/test/busybox:1"


@pytest.fixture(scope="module")
def daemon() -> Iterator[Daemon]:
    """Started, its image there; torn down with the check that nothing had to be forced."""
    with_image = Daemon(Settings())
    import_busybox(with_image)
    with_image.start()
    yield with_image
    forced = with_image.teardown()
    assert forced == []


def import_busybox(daemon: Daemon) -> None:
    """Put the test image into the daemon's store."""
    archive = daemon.state / "busybox.tar"
    busybox_image().write_docker_archive(archive, IMAGE)
    subprocess.run(daemon.command("image import", str(archive)), check=True, timeout=60, capture_output=True)


@pytest.fixture
def client(daemon: Daemon) -> Client:
    return daemon.client


@pytest.fixture
def nothing_left(daemon: Daemon) -> Iterator[None]:
    """The test removes its pods; then the machine must be as it was."""
    before = Counts.take([daemon.runroot])
    yield
    after = Counts.take([daemon.runroot])
    assert before.left_over(after) == [], daemon.log_tail()


@pytest.fixture
def logs(tmp_path: Path) -> Path:
    return tmp_path / "logs"
