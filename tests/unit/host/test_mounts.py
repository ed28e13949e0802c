"""host/mounts: what needs no root, the reading of mountinfo."""

import os
import subprocess
from pathlib import Path

import pytest

from host.mounts import Mount, MountTable, is_mountpoint, mountpoints_below, mounts_of, parse_mountinfo

SAMPLE = (
    "28 1 254:0 / / rw,relatime shared:1 - ext4 /dev/vda rw,discard\n"
    "90 28 0:45 /sub\\040dir /mnt/with\\040blank\\134 ro,nosuid shared:5 master:2 - tmpfs tmpfs rw,size=1k\n"
    "91 90 0:46 / /mnt/x rw - overlay overlay rw,lowerdir=/a:/b,upperdir=/c\n"
)


def test_mountinfo_lines_become_records() -> None:
    first, second, third = parse_mountinfo(SAMPLE)
    assert first == Mount(
        28, 1, "/", Path("/"), ("rw", "relatime"), ("shared:1",), "ext4", "/dev/vda", ("rw", "discard")
    )
    assert (second.root, second.mountpoint) == ("/sub dir", Path("/mnt/with blank\\"))
    assert second.propagation == ("shared:5", "master:2")
    assert third.propagation == ()
    assert third.super_options == ("rw", "lowerdir=/a:/b", "upperdir=/c")


def test_proc_is_a_mount_point_of_this_machine() -> None:
    assert is_mountpoint(Path("/proc"))
    assert Path("/proc") in mountpoints_below(Path("/proc"))
    assert mountpoints_below(Path("/no-such-prefix")) == []


def test_the_mounts_of_a_process_are_those_of_its_namespace() -> None:
    assert [each.mountpoint for each in mounts_of(os.getpid()).below("")].count(Path("/proc"))


def test_one_that_has_ended_has_none_reaped_or_not() -> None:
    with subprocess.Popen(["/bin/true"]) as child:
        os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT)
        with pytest.raises(ProcessLookupError):
            mounts_of(child.pid)
    with pytest.raises(ProcessLookupError):
        mounts_of(child.pid)


def test_a_table_takes_apart_what_is_asked_for() -> None:
    table = MountTable(SAMPLE)
    assert (90 in table, 92 in table) == (True, False)
    assert table.find(91) == parse_mountinfo(SAMPLE)[2]
    assert table.find(92) is None
    assert [mount.mount_id for mount in table.below("/mnt")] == [90, 91]
    assert list(table.below("/mnt/x")) == []
    assert list(table.below("/mn")) == []
