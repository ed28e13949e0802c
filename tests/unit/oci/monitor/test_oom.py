import pytest

from oci.monitor.oom import count, counter_path, kills

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


def test_a_cgroup_that_is_gone_tells_of_no_kill() -> None:
    assert kills("/nonexistent/memory.events") == 0
    assert kills(None) == 0
