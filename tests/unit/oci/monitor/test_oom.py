import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from oci.monitor.oom import Above, Counters, Kills, count, counter_path, memory_file
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


class Slice:
    """A cgroup of version 2 with containers' below it, of ordinary files."""

    def __init__(self, reactor: Reactor, directory: Path) -> None:
        self.reactor = reactor
        self.directory = directory
        self.kill(directory, 5)  # of before
        self.above = Above(f"{directory}/memory.events")

    def kill(self, cgroup: Path, number: int) -> None:
        cgroup.mkdir(exist_ok=True)
        (cgroup / "memory.events").write_text(f"max 9\noom_kill {number}\n")

    def start(self, name: str, kills: int = 0) -> Kills:
        self.kill(self.directory / name, kills)
        return Kills(self.reactor, f"{self.directory / name}/memory.events", self.above)

    def vanish(self, kills: Kills) -> None:
        """systemd was faster."""
        assert kills._descriptor is not None
        kills._let_go()


@pytest.fixture
def pods(reactor: Reactor, tmp_path: Path) -> Slice:
    return Slice(reactor, tmp_path)


def test_a_kill_in_a_cgroup_that_went_unread_is_known_from_above(pods: Slice) -> None:
    one = pods.start("one")
    pods.vanish(one)
    pods.kill(pods.directory, 6)
    assert one.at_end(killed=True)
    one.close()


@pytest.mark.parametrize(("killed", "above"), [(False, 6), (True, 5)])
def test_only_what_was_killed_and_counted_above_is_of_memory(pods: Slice, killed: bool, above: int) -> None:
    one = pods.start("one")
    pods.vanish(one)
    pods.kill(pods.directory, above)
    assert not one.at_end(killed=killed)
    one.close()


def test_kills_that_others_have_counted_are_theirs(pods: Slice) -> None:
    one, living, ended = pods.start("one"), pods.start("living"), pods.start("ended")
    pods.kill(pods.directory / "living", 2)
    pods.kill(pods.directory / "ended", 1)
    assert ended.at_end(killed=True)
    ended.close()
    pods.kill(pods.directory, 8)
    pods.vanish(one)
    assert not one.at_end(killed=True)
    one.close()
    living.close()


def test_a_kill_from_above_is_of_one_only(pods: Slice) -> None:
    one, other = pods.start("one"), pods.start("other")
    pods.kill(pods.directory, 8)  # three processes of one group
    for kills, expected in ((one, True), (other, False)):
        pods.vanish(kills)
        assert kills.at_end(killed=True) == expected
        kills.close()


def test_a_container_that_is_taken_over_brings_its_kills_along(pods: Slice) -> None:
    old = pods.start("old", kills=5)  # those that were counted above before
    new = pods.start("new")
    pods.vanish(new)
    assert not new.at_end(killed=True)
    pods.kill(pods.directory, 6)
    assert new.at_end(killed=True)
    new.close()
    old.close()


def test_containers_side_by_side_share_what_is_above(reactor: Reactor, tmp_path: Path) -> None:
    counters = Counters(reactor)
    one = counters._over(f"{tmp_path}/pods/one/memory.events")
    assert one is not None
    assert counters._over(f"{tmp_path}/pods/other/memory.events") is one
    assert counters._over(f"{tmp_path}/others/one/memory.events") is not one
    assert counters._over(f"{tmp_path}/one/memory.oom_control") is None
    assert counters._over(None) is None
