"""A container's mount table is judged as the kernel has it, whatever was asked for."""

import os
from pathlib import Path

import pytest

from cri.containers.outcome import BordersMisplaced, require_inside, require_masks, require_proc
from host.mounts import MountTable

MASKED = ("/proc/keys", "/proc/scsi", "/sys/firmware")
# Of a container by runc with those masked paths.
ORDINARY = """\
373 107 0:75 / / rw,relatime - overlay overlay rw
249 373 0:59 / /proc rw,nosuid,nodev,noexec,relatime - proc proc rw
125 249 0:59 /sys /proc/sys ro,nosuid,nodev,noexec,relatime - proc proc rw
126 249 0:59 /sysrq-trigger /proc/sysrq-trigger ro,nosuid,nodev,noexec,relatime - proc proc rw
127 249 0:60 /null /proc/keys rw,nosuid - tmpfs tmpfs rw
128 249 0:69 / /proc/scsi ro,relatime - tmpfs tmpfs ro
129 249 0:70 / /proc/uptime rw - fuse.lxcfs lxcfs rw
130 249 0:71 / /proc/driver/nvidia rw - tmpfs tmpfs rw
"""


def own_mounts() -> MountTable:
    return MountTable(Path("/proc/self/mountinfo").read_text())


def test_an_ordinary_container_passes() -> None:
    require_proc(MountTable(ORDINARY), MASKED)


@pytest.mark.parametrize(
    "line",
    [
        "414 249 254:0 /volumes/x /proc/1/attr/exec rw,relatime - ext4 /dev/vda rw",
        "414 249 254:0 /volumes/x /proc/sys/kernel rw,relatime - ext4 /dev/vda rw",
        "414 249 254:0 / /proc/sys rw,relatime - tmpfs tmpfs rw",
        "414 249 0:59 /kcore /proc/sys/kernel/hostname rw,relatime - proc proc rw",
        "414 249 0:59 /sys/kernel /proc/self rw,relatime - proc proc rw",
    ],
)
def test_nothing_else_lies_over_proc(line: str) -> None:
    with pytest.raises(BordersMisplaced, match=line.split()[4]):
        require_proc(MountTable(ORDINARY + line + "\n"), MASKED)


def test_a_mask_shows_nothing(tmp_path: Path) -> None:
    (tmp_path / "proc").mkdir()
    require_masks(tmp_path, MountTable(""), ["/proc/keys"])
    (tmp_path / "proc/keys").touch()
    with pytest.raises(BordersMisplaced, match="/proc/keys is not masked"):
        require_masks(tmp_path, MountTable(""), ["/proc/keys"])
    with pytest.raises(BordersMisplaced, match="/proc is not masked"):
        require_masks(tmp_path, own_mounts(), ["/proc"])
    require_masks(Path("/"), own_mounts(), ["/dev/null"])


def test_a_mask_is_looked_for_inside(tmp_path: Path) -> None:
    (tmp_path / "null").symlink_to("/dev/null")
    (tmp_path / "dev").mkdir()
    (tmp_path / "dev/null").write_text("of the image")
    with pytest.raises(BordersMisplaced, match="/null is not masked"):
        require_masks(tmp_path, MountTable(""), ["/null"])


def test_the_working_directory_is_on_one_of_the_mounts(tmp_path: Path) -> None:
    require_inside(tmp_path, own_mounts())
    with pytest.raises(BordersMisplaced, match="working_dir"):
        require_inside(tmp_path, MountTable(ORDINARY.replace("373 ", f"{os.getpid() + 10**8} ")))
