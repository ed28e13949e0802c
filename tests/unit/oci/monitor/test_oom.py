import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from oci.monitor.oom import Kills, count, counter_path, memory_file
from oci.monitor.reactor import Reactor

V1 = "4:memory:/pods/a\n3:cpu,cpuacct:/pods/b\n1:name=systemd:/\n0::/\n"
V2 = "0::/pods/a\n"


@pytest.mark.parametrize(
    ("cgroups", "unified", "path"),
    [
        (V1, False, "/sys/fs/cgroup/memory/pods/a/memory.oom_control"),
        (V2, True, "/sys/fs/cgroup/pods/a/memory.events"),
        (V2, False, None),
        ("4:memory:/\n", False, None),
        ("0::/\n", True, None),
        ("7:memory,hugetlb:/x:y\n", False, "/sys/fs/cgroup/memory/x:y/memory.oom_control"),
    ],
)
def test_memory_cgroup_is_found_in_either_version(cgroups: str, unified: bool, path: str | None) -> None:
    assert counter_path(cgroups, unified=unified) == path


@pytest.mark.parametrize(
    ("text", "number"),
    [
        ("oom_kill_disable 0\nunder_oom 0\noom_kill 2\n", 2),
        ("low 0\nhigh 0\nmax 7\noom 1\noom_kill 1\noom_group_kill 0\n", 1),
        ("oom_kill_disable 0\nunder_oom 0\n", 0),
    ],
)
def test_kills_are_counted_in_either_version(text: str, number: int) -> None:
    assert count(text) == number


@pytest.fixture
def reactor() -> Iterator[Reactor]:
    made = Reactor()
    yield made
    made.close()


def test_kills_are_seen_as_they_come(reactor: Reactor, tmp_path: Path) -> None:
    file = tmp_path / "memory.oom_control"
    file.write_text("oom_kill 0\n")
    kills = Kills(reactor, str(file))
    assert kills.look() == 0
    file.write_text("oom_kill 2\n")
    assert kills.look() == 2
    kills.close()


def test_what_was_seen_of_a_cgroup_that_is_gone_stays_known(reactor: Reactor, tmp_path: Path) -> None:
    file = tmp_path / "memory.oom_control"
    file.write_text("oom_kill 1\n")
    kills = Kills(reactor, str(file))
    assert kills.look() == 1
    directory = os.open(tmp_path, os.O_RDONLY)
    assert kills._descriptor is not None
    os.dup2(directory, kills._descriptor)  # reading fails now, as it does in a cgroup that was removed
    os.close(directory)
    assert kills.look() == 1
    kills.close()


def test_a_cgroup_that_was_never_there_tells_of_no_kill(reactor: Reactor) -> None:
    for path in ("/nonexistent/memory.events", None):
        kills = Kills(reactor, path)
        assert kills.look() == 0
        kills.close()


def test_a_process_that_has_ended_has_no_cgroup() -> None:
    assert memory_file(2**22 + 1) is None
