"""No mount lies over /proc wherever links of image and volumes lead, and nothing outside is looked at."""

from pathlib import Path
from typing import Any

import pytest

from cri.containers.mount_targets import Tree, check
from cri.containers.mounts import BadMount


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


def bind(destination: str, source: str | Path) -> dict[str, Any]:
    return {"destination": destination, "type": "bind", "source": str(source), "options": ["rbind", "rw"]}


PROC = {"destination": "/proc", "type": "proc", "source": "proc", "options": ["nosuid"]}
SYS = {"destination": "/sys", "type": "sysfs", "source": "sysfs", "options": ["nosuid", "ro"]}
DEV = {"destination": "/dev", "type": "tmpfs", "source": "tmpfs", "options": ["nosuid"]}


def document(*mounts: dict[str, Any], cwd: str = "/") -> dict[str, Any]:
    return {"mounts": [PROC, DEV, SYS, *mounts], "process": {"cwd": cwd}}


@pytest.mark.parametrize("path", PLACES)
def test_links_lead_where_they_would_inside(rootfs: Path, path: str) -> None:
    assert Tree(rootfs).place(path) == PLACES[path]


def test_a_link_that_leads_out_stays_inside(rootfs: Path, tmp_path: Path) -> None:
    assert Tree(rootfs).place("/out/x") == f"{tmp_path}/outside/x"
    check(document(bind("/out/x", "/usr")), rootfs)
    assert not (tmp_path / "outside").exists()


@pytest.mark.parametrize("path", ["/circle", "/one/x", "/two"])
def test_a_circle_of_links_is_refused(rootfs: Path, path: str) -> None:
    with pytest.raises(BadMount, match="too many links"):
        check(document(bind(path, "/usr")), rootfs)


def test_a_long_way_by_links_is_refused(rootfs: Path) -> None:
    for number in range(40):
        (rootfs / f"long{number}").symlink_to("there/../" * 400 + f"long{number + 1}")
    with pytest.raises(BadMount, match="more than 2000 names"):
        check(document(bind("/long0", "/usr")), rootfs)
    check(document(bind("/a" * 1000, "/usr")), rootfs)


@pytest.mark.parametrize(
    "path",
    ["/proc", "/proc/", "/proc/self/attr", "/proc/sys", "/proc/sysrq-trigger", "/p", "/q/attr", "/via"],
)
def test_nothing_lies_over_proc(rootfs: Path, path: str) -> None:
    with pytest.raises(BadMount, match="/proc"):
        check(document(bind("/data", "/usr"), bind(path, "/usr")), rootfs)


def test_what_runc_lets_pass_may_lie_there(rootfs: Path) -> None:
    nodes, prepared = bind("/proc", "/proc"), bind("/proc", "/run/podwright/mounts/1/0")
    check(
        document(nodes, bind("/proc/cpuinfo", "/var/lib/lxcfs/proc/cpuinfo"), bind("/proc2", "/usr")),
        rootfs,
        {"/proc"},
    )
    check(document(prepared), rootfs, {"/run/podwright/mounts/1/0"})
    with pytest.raises(BadMount, match="/proc"):
        check(document(prepared), rootfs, {"/proc"})
    with pytest.raises(BadMount, match="/proc"):
        check(document(bind("/p", "/proc")), rootfs, {"/proc"})


@pytest.mark.parametrize(
    ("link", "path", "place"),
    [
        ("/proc/self", "/data/link/attr/exec", "/proc/self/attr/exec"),
        ("../proc/sys", "/data/link", "/proc/sys"),
        ("../../../proc/sys", "/data/link/kernel", "/proc/sys/kernel"),
        ("/p", "/data/link/sys", "/proc/sys"),
    ],
)
def test_links_of_a_volume_lead_as_those_of_an_image(
    rootfs: Path, tmp_path: Path, link: str, path: str, place: str
) -> None:
    volume = tmp_path / "volume"
    volume.mkdir()
    (volume / "link").symlink_to(link)
    with pytest.raises(BadMount) as caught:
        check(document(bind("/data", volume), bind(path, "/usr")), rootfs)
    assert f"{path} ({place})" in str(caught.value)
    check(document(bind(path, "/usr"), bind("/data", volume)), rootfs)  # it is not there yet


def test_a_volume_hides_what_the_image_has_there(rootfs: Path, tmp_path: Path) -> None:
    (tmp_path / "volume/in").mkdir(parents=True)
    check(document(bind("/there", tmp_path / "volume"), bind("/there/in/self", "/usr")), rootfs)
    hidden = {"destination": "/there", "type": "tmpfs", "source": "tmpfs", "options": ["rw"]}
    check(document(hidden, bind("/there/in/self", "/usr")), rootfs)
    check(document(bind("/there", "/etc/hostname"), bind("/there/in/self", "/usr")), rootfs)
    check(document(bind("/there", tmp_path / "missing"), bind("/there/in/self", "/usr")), rootfs)


def test_a_volume_reached_by_a_link_is_looked_into(rootfs: Path, tmp_path: Path) -> None:
    """Nothing follows the links inside but we: none of the node's own names is looked up."""
    volume = tmp_path / "volume"
    volume.mkdir()
    (volume / "self").symlink_to(tmp_path)
    (tmp_path / "secret").symlink_to("/proc/self")
    check(document(bind("/there/own", volume), bind("/there/deep/self/secret/x", "/usr")), rootfs)
    (volume / "x").symlink_to("/proc")
    with pytest.raises(BadMount, match=r"/there/deep/x/1 \(/proc/1\)"):
        check(document(bind("/there/own", volume), bind("/there/deep/x/1", "/usr")), rootfs)


@pytest.mark.parametrize("name", ["proc", "sys"])
def test_proc_and_sys_are_where_they_are_called(rootfs: Path, name: str) -> None:
    (rootfs / name).symlink_to("/there")
    with pytest.raises(BadMount, match=f"/{name} .*link"):
        check(document(), rootfs)


def test_what_every_container_gets_is_judged_too(rootfs: Path) -> None:
    (rootfs / "dev").symlink_to("/proc/sys")
    with pytest.raises(BadMount, match=r"/dev \(/proc/sys\)"):
        check(document(), rootfs)


@pytest.mark.parametrize("path", ["/proc/self/fd/7", "/proc/1/fd", "/q/fd/9", "/proc/self/task/1/fd/3/x"])
def test_nobody_works_among_descriptors(rootfs: Path, path: str) -> None:
    with pytest.raises(BadMount, match="working_dir"):
        check(document(cwd=path), rootfs)


def test_nor_by_a_link_of_a_volume(rootfs: Path, tmp_path: Path) -> None:
    volume = tmp_path / "volume"
    volume.mkdir()
    (volume / "work").symlink_to("/proc/self/fd/7")
    with pytest.raises(BadMount, match=r"/data/work is /proc/self/fd/7"):
        check(document(bind("/data", volume), cwd="/data/work"), rootfs)


@pytest.mark.parametrize(
    "path", ["/", "/there", "/missing", "/proc/self", "/proc/fd", "/fd/proc", "/home/fd"]
)
def test_other_directories_will_do(rootfs: Path, path: str) -> None:
    check(document(cwd=path), rootfs)
