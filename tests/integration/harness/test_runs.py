"""What a run of the harness leaves behind, and what takes it away."""

import fcntl
import os
import secrets
import signal
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from host.cgroups import Hierarchy
from tests.harness import private
from tests.harness.cache import PROJECT
from tests.harness.client import eventually
from tests.harness.runs import PLACE, PREFIX, Run, make_locked, sweep

pytestmark = pytest.mark.root

LEAVE = """
[ -e /sys/fs/cgroup/cgroup.procs ] && trees=/sys/fs/cgroup/ || trees=$(echo /sys/fs/cgroup/*/)
for tree in $trees; do mkdir -p "$tree/podwright-pod/container" 2>/dev/null; done
mkdir "$PODWRIGHT_SCRATCH/podwright-state"
mount -t tmpfs tmpfs "$PODWRIGHT_SCRATCH/podwright-state"
echo "$PODWRIGHT_SCRATCH"
"""


# Leaves version 2 alone, as newer distributions have it; a mount that is merely hidden would still be found.
ONLY_VERSION_2 = [
    *("unshare", "--mount", "--propagation", "private", "sh", "-ec"),
    "while umount --recursive /sys/fs/cgroup 2>/dev/null; do :; done; "
    'mount -t cgroup2 cgroup2 /sys/fs/cgroup; exec "$0" "$@"',
]
Start = Callable[[str], subprocess.Popen[str]]


@pytest.fixture(params=["as here", "version 2"])
def layout(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def hierarchy(layout: str) -> Hierarchy:
    """Where the runs have their cgroups, as this process sees it."""
    found = Hierarchy.detect()
    return found if layout == "as here" else Hierarchy(tuple(tree for tree in found.trees if tree.v2))


@pytest.fixture
def start(layout: str, monkeypatch: pytest.MonkeyPatch) -> Start:
    """Start a run with a script; it is killed by killing what is returned."""
    monkeypatch.delenv(private.INSIDE, raising=False)

    def started(script: str) -> subprocess.Popen[str]:
        line = private.command_line(["sh", "-c", script])
        outer = ONLY_VERSION_2 if layout == "version 2" else []
        return subprocess.Popen([*outer, *line], cwd=PROJECT, stdout=subprocess.PIPE, text=True)

    return started


def name_of(run: subprocess.Popen[str]) -> str:
    """What it calls itself, once it has left what it will leave."""
    assert run.stdout is not None
    return next(Path(line.strip()).name for line in run.stdout if PREFIX in line)


def left(name: str, hierarchy: Hierarchy) -> Iterator[Path]:
    """What there is of a run, in the hierarchies that are mounted here."""
    yield from (path for path in [PLACE / name, *hierarchy.directories(f"/{name}")] if path.exists())


def test_a_run_takes_its_cgroups_and_files_with_it(start: Start, hierarchy: Hierarchy) -> None:
    with start(LEAVE) as run:
        name = name_of(run)
    assert run.returncode == 0
    assert list(left(name, hierarchy)) == []


def test_a_run_that_is_told_to_end_ends_and_takes_all_with_it(start: Start, hierarchy: Hierarchy) -> None:
    with start(f"{LEAVE}exec sleep 600") as run:
        name = name_of(run)
        run.send_signal(signal.SIGTERM)
    assert run.returncode == 128 + signal.SIGTERM
    assert list(left(name, hierarchy)) == []


def test_what_a_killed_run_leaves_is_taken_away_by_the_next(start: Start, hierarchy: Hierarchy) -> None:
    with start(f"{LEAVE}exec sleep 600") as run:
        name = name_of(run)
        run.kill()
    eventually(
        lambda: hierarchy.pids(f"/{name}"),
        lambda busy: not busy,
        "the processes of the run have ended with its guard",
    )
    assert PLACE / name in left(name, hierarchy)
    with start("true"):
        pass
    assert list(left(name, hierarchy)) == []


def test_a_run_that_lives_loses_nothing_to_the_next(start: Start, hierarchy: Hierarchy) -> None:
    with start(f"{LEAVE}exec sleep 600") as run:
        name = name_of(run)
        before = list(left(name, hierarchy))
        with start("true"):
            pass
        assert list(left(name, hierarchy)) == before
        assert all((path / "podwright-pod").is_dir() for path in before[1:])
        run.terminate()
    assert len(before) == 1 + len(hierarchy.trees)


def test_a_run_that_has_no_process_yet_loses_nothing_to_one_that_cannot_see_its_directory(
    tmp_path: Path, hierarchy: Hierarchy
) -> None:
    run = Run.begin(hierarchy, tmp_path)
    for cgroup in run.cgroups():
        (cgroup / "podwright-pod").mkdir()
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    sweep(hierarchy, elsewhere)
    assert all((path / "podwright-pod").is_dir() for path in run.cgroups())
    run.close()
    assert not any(path.exists() for path in run.cgroups())


def test_a_cgroup_that_is_swept_before_it_is_locked_is_made_again(
    hierarchy: Hierarchy, monkeypatch: pytest.MonkeyPatch
) -> None:
    (directory, *_) = hierarchy.directories(f"/{PREFIX}{secrets.token_hex(4)}")
    real, sweeps = fcntl.flock, [directory.rmdir]

    def swept(descriptor: int, how: int) -> None:
        if sweeps:
            sweeps.pop()()
        real(descriptor, how)

    monkeypatch.setattr(fcntl, "flock", swept)
    lock = make_locked(directory)
    assert directory.is_dir()
    directory.rmdir()
    os.close(lock)


def test_a_directory_is_judged_by_its_lock_and_a_cgroup_by_its_processes_too(
    tmp_path: Path, hierarchy: Hierarchy
) -> None:
    run = Run.begin(hierarchy, tmp_path)
    sweep(hierarchy, tmp_path)
    assert run.directory.is_dir()
    assert all(path.is_dir() for path in run.cgroups())
    elsewhere = tmp_path / "elsewhere"  # as a chroot with a /var/tmp of its own sees it
    elsewhere.mkdir()
    busy = subprocess.Popen(["sleep", "600"])
    try:
        for cgroup in run.cgroups():
            (cgroup / "cgroup.procs").write_text(str(busy.pid))
        sweep(hierarchy, elsewhere)
        assert all(path.is_dir() for path in run.cgroups())
    finally:
        busy.kill()
        busy.wait()
    run.close()
    assert not run.directory.exists()
    assert not any(path.exists() for path in run.cgroups())
