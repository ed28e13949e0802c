"""Mounts over /proc are refused wherever a link of the image leads, and nothing outside is looked at."""

import os
from pathlib import Path

import pytest

from cri.containers.mount_targets import check, check_working_directory, resolved
from cri.containers.mounts import BadMount
from oci.generate.inputs import Mount


@pytest.fixture
def rootfs(tmp_path: Path) -> Path:
    root = tmp_path / "rootfs"
    (root / "there").mkdir(parents=True)
    for name, target in {
        "p": "/proc",
        "q": "p/self",
        "up": "../../../../proc/sys",
        "via": "there/../p",
        "out": str(tmp_path / "outside"),
        "circle": "/circle",
        "one": "two",
        "two": "one",
        "there/in": "../p",
        "there/own": "deep",
    }.items():
        (root / name).symlink_to(target)
    return root


PLACES = {
    "/data": "/data",
    "/there/x/../y": "/there/y",
    "/p": "/proc",
    "/q/attr": "/proc/self/attr",
    "/up/kernel": "/proc/sys/kernel",
    "/via": "/proc",
    "/there/in/self": "/proc/self",
    "/there/own/x": "/there/deep/x",
    "/missing/../p/self": "/proc/self",
    "/../../proc": "/proc",
    "//proc//./self": "/proc/self",
}


@pytest.mark.parametrize("path", PLACES)
def test_links_lead_where_they_would_inside(rootfs: Path, path: str) -> None:
    root = os.open(rootfs, os.O_PATH)
    try:
        assert resolved(root, path) == PLACES[path]
    finally:
        os.close(root)


def test_a_link_that_leads_out_stays_inside(rootfs: Path, tmp_path: Path) -> None:
    root = os.open(rootfs, os.O_PATH)
    try:
        assert resolved(root, "/out/x") == f"{tmp_path}/outside/x"
    finally:
        os.close(root)
    check([Mount("/out/x", "/usr")], rootfs)
    assert not (tmp_path / "outside").exists()


@pytest.mark.parametrize("path", ["/circle", "/one/x", "/two"])
def test_a_circle_of_links_is_refused(rootfs: Path, path: str) -> None:
    with pytest.raises(BadMount, match="too many links"):
        check([Mount(path, "/usr")], rootfs)


@pytest.mark.parametrize(
    "path",
    ["/proc", "/proc/", "/proc/self/attr", "/proc/sys", "/proc/sysrq-trigger", "/p", "/q/attr", "/via"],
)
def test_nothing_lies_over_proc(rootfs: Path, path: str) -> None:
    with pytest.raises(BadMount, match="/proc"):
        check([Mount("/data", "/usr"), Mount(path, "/usr")], rootfs)


def test_what_runc_lets_pass_may_lie_there(rootfs: Path) -> None:
    check(
        [
            Mount("/proc", "/proc"),
            Mount("/proc/cpuinfo", "/var/lib/lxcfs/proc/cpuinfo"),
            Mount("/proc2", "/usr"),
        ],
        rootfs,
    )


@pytest.mark.parametrize("path", ["/proc/self/fd/7", "/proc/1/fd", "/q/fd/9", "/proc/self/task/1/fd/3/x"])
def test_nobody_works_among_descriptors(rootfs: Path, path: str) -> None:
    with pytest.raises(BadMount, match="working_dir"):
        check_working_directory(path, rootfs)


@pytest.mark.parametrize(
    "path", ["/", "/there", "/missing", "/proc/self", "/proc/fd", "/fd/proc", "/home/fd"]
)
def test_other_directories_will_do(rootfs: Path, path: str) -> None:
    check_working_directory(path, rootfs)
