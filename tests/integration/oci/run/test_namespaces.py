"""Namespaces, new and joined, and user namespaces with their maps (config-linux.md, Namespaces)."""

import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from host.namespaces import Kind, pin, unpin
from host.userns import pin_owned
from tests.harness import processes
from tests.integration.oci.run.conftest import Bundles, namespace_of

pytestmark = pytest.mark.root

MAPS = [{"containerID": 0, "hostID": 100000, "size": 65536}]
KINDS = {
    "pid": "pid",
    "ipc": "ipc",
    "uts": "uts",
    "mount": "mnt",
    "network": "net",
    "cgroup": "cgroup",
    "time": "time",
}


def test_each_namespace_is_new_and_the_others_are_ours(bundles: Bundles) -> None:
    for kind in ("pid", "ipc", "uts", "network", "cgroup", "time"):
        name = bundles.started(bundles.document("/bin/sleep", "600", namespaces=("mount", kind)))
        pid = bundles.pid(name)
        new = {
            one for one, file in KINDS.items() if namespace_of(pid, file) != namespace_of(os.getpid(), file)
        }
        assert new == {"mount", kind}


def test_an_exec_joins_all_namespaces(bundles: Bundles) -> None:
    document = bundles.document("/bin/sleep", "600", namespaces=(*KINDS, "user"))
    document["linux"] |= {"uidMappings": MAPS, "gidMappings": MAPS}
    document["linux"]["timeOffsets"] = {"boottime": {"secs": 1000000}}
    name = bundles.started(document)
    pid = bundles.pid(name)
    script = "for n in pid ipc uts mnt net cgroup time user; do /bin/busybox readlink /proc/self/ns/$n; done"
    done = bundles.call("exec", name, "/bin/busybox", "sh", "-c", script)
    assert done.stdout.split() == [
        namespace_of(pid, one) for one in ("pid", "ipc", "uts", "mnt", "net", "cgroup", "time", "user")
    ], done.stderr


def test_clocks_of_a_time_namespace_are_shifted(bundles: Bundles) -> None:
    document = bundles.document("/bin/cat", "/proc/uptime", namespaces=("pid", "mount", "time"))
    document["linux"]["timeOffsets"] = {
        "boottime": {"secs": 5_000_000},
        "monotonic": {"secs": 1, "nanosecs": 5},
    }
    assert float(bundles.output(document).split()[0]) > 5_000_000


@pytest.mark.parametrize("more", [(), ("time",), ("network", "ipc", "uts", "cgroup", "time")])
def test_root_of_a_user_namespace_is_mapped(bundles: Bundles, more: tuple[str, ...]) -> None:
    script = "id -u; cat /proc/self/uid_map /proc/self/gid_map; echo x > /tmp/file && echo written"
    document = bundles.document("/bin/sh", "-c", script, namespaces=("pid", "mount", "user", *more))
    document["linux"] |= {"uidMappings": MAPS, "gidMappings": MAPS}
    words = bundles.output(document).split()
    assert words == ["0", *["0", "100000", "65536"] * 2, "written"]


@contextmanager
def pinned_pod(directory: Path) -> Iterator[dict[Kind, Path]]:
    maps = [(0, 200000, 65536)]
    pinned = dict(pin_owned([Kind.NET, Kind.IPC, Kind.UTS], directory, maps, maps))
    try:
        yield pinned
    finally:
        for path in pinned.values():
            unpin(path)


def test_namespaces_of_a_pod_with_a_user_namespace_are_joined(bundles: Bundles, tmp_path: Path) -> None:
    names = {"network": Kind.NET, "ipc": Kind.IPC, "uts": Kind.UTS, "user": Kind.USER}
    with pinned_pod(tmp_path / "pins") as pinned:
        document = bundles.document("/bin/sleep", "600", namespaces=("pid", "mount", "cgroup"))
        document["linux"]["namespaces"] += [
            {"type": name, "path": str(pinned[kind])} for name, kind in names.items()
        ]
        document["linux"] |= {
            "uidMappings": [{"containerID": 0, "hostID": 200000, "size": 65536}],
            "gidMappings": [{"containerID": 0, "hostID": 200000, "size": 65536}],
        }
        document["linux"]["sysctl"] = {"net.ipv4.ip_forward": "1", "kernel.shmmax": "4096"}
        name = bundles.started(document)
        pid = bundles.pid(name)
        for kind in names.values():
            assert (processes.PROC / f"{pid}/ns/{kind}").stat().st_ino == pinned[kind].stat().st_ino
        assert processes.read(pid, "uid_map").split() == ["0", "200000", "65536"]
        assert (
            bundles.ok("exec", name, "/bin/cat", "/proc/sys/net/ipv4/ip_forward", "/proc/sys/kernel/shmmax")
            == "1\n4096\n"
        )


def test_a_pid_namespace_is_joined(bundles: Bundles) -> None:
    first = bundles.started(bundles.document("/bin/sleep", "600"))
    pid = bundles.pid(first)
    document = bundles.document("/bin/sh", "-c", "cat /proc/1/cmdline; echo $$", namespaces=("mount", "ipc"))
    document["linux"]["namespaces"].append({"type": "pid", "path": f"{processes.PROC}/{pid}/ns/pid"})
    text = bundles.output(document)
    assert text.startswith("/bin/sleep\x00600\x00")
    assert text.rpartition("\x00")[2].strip() != "1"
    # And the caller's own children are born where they were before.
    assert subprocess.run(["true"], check=False).returncode == 0


def test_a_joined_network_namespace_with_a_new_user_namespace(bundles: Bundles, tmp_path: Path) -> None:
    pinned = pin([Kind.NET], tmp_path / "pins")
    try:
        document = bundles.document("/bin/sleep", "600", namespaces=("pid", "mount", "user"))
        document["linux"]["namespaces"].append({"type": "network", "path": str(pinned[Kind.NET])})
        document["linux"] |= {"uidMappings": MAPS, "gidMappings": MAPS}
        pid = bundles.pid(bundles.started(document))
        assert (processes.PROC / f"{pid}/ns/net").stat().st_ino == pinned[Kind.NET].stat().st_ino
        assert processes.read(pid, "uid_map").split() == ["0", "100000", "65536"]
    finally:
        unpin(pinned[Kind.NET])


@pytest.mark.parametrize(
    ("linux", "words"),
    [
        ({"namespaces": [{"type": "nothing"}]}, "unknown namespace type"),
        ({"namespaces": [{"type": "pid"}, {"type": "pid"}]}, "duplicated ns"),
        ({"namespaces": [{"type": "mount"}, {"type": "network", "path": "relative"}]}, "not absolute"),
        ({"namespaces": [{"type": "mount"}, {"type": "network", "path": "/dev/null"}]}, "invalid argument"),
        ({"namespaces": [{"type": "mount"}, {"type": "network", "path": "/no/such"}]}, "no such file"),
        ({"namespaces": [{"type": "mount"}, {"type": "user"}]}, "no uid or gid mapping"),
        ({"namespaces": [{"type": "mount"}], "uidMappings": MAPS}, "user namespace"),
        ({"namespaces": [{"type": "mount"}], "timeOffsets": {"boottime": {"secs": 1}}}, "time namespace"),
        ({"namespaces": [{"type": "mount"}], "sysctl": {"net.ipv4.ip_forward": "1"}}, "not allowed"),
        ({"namespaces": [{"type": "mount"}], "sysctl": {"vm.swappiness": "1"}}, "separate kernel namespace"),
        ({"namespaces": [{"type": "mount"}], "intelRdt": {"closID": "x"}}, "not supported"),
    ],
)
def test_what_cannot_be_is_refused_with_its_reason(
    bundles: Bundles, linux: dict[str, object], words: str
) -> None:
    document = bundles.document("/bin/true")
    document["linux"] |= linux
    done = bundles.run(document)
    assert done.returncode == 1
    assert words in done.stderr


def test_hostname_and_domainname_are_set_inside_alone(bundles: Bundles) -> None:
    document = bundles.document("/bin/sh", "-c", "cat /proc/sys/kernel/hostname /proc/sys/kernel/domainname")
    document |= {"hostname": "box", "domainname": "example"}
    before = os.uname().nodename
    assert bundles.output(document) == "box\nexample\n"
    assert os.uname().nodename == before
    document = bundles.document("/bin/true", namespaces=("mount", "pid"))
    document["hostname"] = "box"
    assert "UTS namespace" in bundles.run(document).stderr


@pytest.mark.parametrize("how", ["pivot", "move", "chroot"])
def test_the_root_is_the_containers(bundles: Bundles, how: str) -> None:
    namespaces = ("pid", "uts") if how == "chroot" else ("pid", "uts", "mount")
    document = bundles.document(
        "/bin/sh", "-c", "cd /; cd ..; pwd; echo bin/*sybox; sleep 600", namespaces=namespaces
    )
    if how == "chroot":
        document["mounts"] = []
    name = bundles.make(document)
    flags = ["--no-pivot"] if how == "move" else []
    bundles.ok("create", *flags, "--bundle", bundles.bundle(name), name)
    bundles.ok("start", name)
    assert (
        bundles.ok("exec", name, "/bin/sh", "-c", "cd ..; echo bin/*sybox; echo /usr/*")
        == "bin/busybox\n/usr/*\n"
    )


@pytest.mark.parametrize("own", [True, False])
def test_cgroups_are_shown_to_a_user_namespace_that_cannot_reach_them(bundles: Bundles, own: bool) -> None:
    script = "cat /proc/self/cgroup; for c in /sys/fs/cgroup/*; do echo $c; done"
    namespaces = ("pid", "mount", "user", *(("cgroup",) if own else ()))
    document = bundles.document("/bin/sh", "-c", script, namespaces=namespaces)
    document["linux"] |= {"uidMappings": MAPS, "gidMappings": MAPS}
    host = Path("/sys/fs/cgroup")
    document["mounts"] += [
        {"destination": "/sys", "type": "bind", "source": "/sys", "options": ["rbind", "rro", "nosuid"]},
        {"destination": "/sys/fs/cgroup", "type": "cgroup", "source": "cgroup", "options": ["ro", "nosuid"]},
    ]
    listed = {line for line in bundles.output(document).splitlines() if line.startswith("/sys")}
    assert {f"/sys/fs/cgroup/{path.name}" for path in host.iterdir() if path.name != "unified"} <= {
        *listed,
        "/sys/fs/cgroup/unified",
    }
