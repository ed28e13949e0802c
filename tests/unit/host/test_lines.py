"""Names of others in the kernel's tables end no line."""

from pathlib import Path

import pytest

from host.cgroups import Hierarchy, own_paths
from host.lines import lines, read_table
from host.mounts import parse_mountinfo
from host.net_counters import parse
from oci.monitor.oom import counter_path

# What str.splitlines takes for the end of a line, and the kernel prints as it is.
ENDS = ["\v", "\f", "\r", "\x1c", "\x1d", "\x1e", "\x85", "\u2028", "\u2029"]
each_end = pytest.mark.parametrize("end", ENDS, ids=ascii)


@each_end
def test_a_mount_point_is_one_whatever_its_name(end: str) -> None:
    named = f"90 28 0:45 / /home/u/a{end}b rw - fuse.x x rw\n"
    cgroup = "30 28 0:26 / /sys/fs/cgroup rw - cgroup2 cgroup2 rw\n"
    first, _ = parse_mountinfo(named + cgroup)
    assert str(first.mountpoint) == f"/home/u/a{end}b"
    assert [str(tree.root) for tree in Hierarchy.detect(named + cgroup).trees] == ["/sys/fs/cgroup"]


@each_end
def test_a_cgroup_is_one_whatever_its_name(end: str) -> None:
    text = f"4:memory:/a{end}b\n0::/c{end}d\n"
    assert own_paths(text)["memory"] == f"/a{end}b"
    assert counter_path(text, unified=False) == f"/sys/fs/cgroup/memory/a{end}b/memory.oom_control"


@pytest.mark.parametrize("end", ENDS[3:], ids=ascii)  # the kernel refuses blanks (dev_valid_name)
def test_an_interface_is_one_whatever_its_name(end: str) -> None:
    dev = f"head\nhead\n  a{end}b: 1 0 0 0 0 0 0 0 4 0 0 0 0 0 0 0\n"
    route = f"head\na{end}b\t00000000\t0100580A\t0003\t0\t0\t0\t00000000\t0\t0\t0\n"
    found = parse(dev, route).default
    assert found is not None
    assert (found.name, found.rx_bytes, found.tx_bytes) == (f"a{end}b", 1, 4)


def test_bytes_that_are_no_utf_8_are_kept(tmp_path: Path) -> None:
    (tmp_path / "table").write_bytes(b"1 /a\xff\n\n2 /b")
    assert lines(read_table(tmp_path / "table")) == ["1 /a\udcff", "2 /b"]
