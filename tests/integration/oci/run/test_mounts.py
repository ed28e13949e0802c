"""Mounts, devices, what is masked and read-only (config.md, mounts; config-linux.md)."""

import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from host.mounts import make_shared, mount_tmpfs, mountpoints_below, umount
from tests.integration.oci.run.conftest import Bundles

pytestmark = pytest.mark.root


@contextmanager
def shared_tmpfs(path: Path) -> Iterator[Path]:
    path.mkdir()
    mount_tmpfs(path)
    make_shared(path)
    try:
        yield path
    finally:
        for one in mountpoints_below(path):
            umount(one)


def bind(source: Path, *options: str, destination: str = "/tmp/there") -> dict[str, object]:
    return {"destination": destination, "type": "bind", "source": str(source), "options": list(options)}


def options_of(text: str, path: str) -> set[str]:
    (line,) = [line for line in text.splitlines() if line.split()[1] == path]
    return set(line.split()[3].split(","))


@pytest.mark.parametrize(
    ("options", "there", "not_there"),
    [
        (("bind", "ro"), {"ro"}, {"rw"}),
        (("bind", "nosuid", "nodev", "noexec"), {"rw", "nosuid", "nodev", "noexec"}, {"ro"}),
        (("bind", "noatime"), {"noatime"}, {"relatime"}),
        (("bind", "noatime", "relatime"), {"relatime"}, {"noatime"}),
        (("bind", "ro", "rw"), {"rw"}, {"ro"}),
        (("rbind", "rro"), {"ro"}, {"rw"}),
        (("rbind", "rnosuid", "rnoexec"), {"nosuid", "noexec"}, {"ro"}),
    ],
)
def test_attributes_of_a_bind(
    bundles: Bundles, tmp_path: Path, options: tuple[str, ...], there: set[str], not_there: set[str]
) -> None:
    source = tmp_path / "source"
    source.mkdir()
    document = bundles.document("/bin/cat", "/proc/self/mounts")
    document["mounts"].append(bind(source, *options))
    found = options_of(bundles.output(document), "/tmp/there")
    assert there <= found
    assert not found & not_there


@pytest.mark.parametrize("option", ["ro", "rro"])
def test_only_the_recursive_form_reaches_mounts_below(bundles: Bundles, tmp_path: Path, option: str) -> None:
    with shared_tmpfs(tmp_path / "source") as source:
        (source / "below").mkdir()
        mount_tmpfs(source / "below")
        document = bundles.document("/bin/sh", "-c", "echo > /tmp/there/below/file")
        document["mounts"].append(bind(source, "rbind", option))
        bundles.run(document)
        assert (source / "below/file").exists() == (option == "ro")


@pytest.mark.parametrize(("option", "seen"), [("rshared", True), ("rslave", False), ("rprivate", False)])
def test_propagation(bundles: Bundles, tmp_path: Path, option: str, seen: bool) -> None:
    with shared_tmpfs(tmp_path / "source") as source:
        (source / "inner").mkdir()
        document = bundles.document("/bin/busybox", "mount", "-t", "tmpfs", "t", "/tmp/there/inner")
        held = ["CAP_SYS_ADMIN"]
        document["process"]["capabilities"] = {"bounding": held, "effective": held, "permitted": held}
        document["linux"]["rootfsPropagation"] = "rshared" if seen else "rslave"
        document["mounts"].append(bind(source, "rbind", option))
        bundles.output(document)
        assert (source / "inner" in mountpoints_below(source)) == seen


def test_a_bind_makes_what_is_missing_and_takes_files(bundles: Bundles, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("content\n")
    document = bundles.document("/bin/cat", "/tmp/a/b/file")
    document["mounts"].append(bind(tmp_path / "file", "bind", destination="/tmp/a/b/file"))
    assert bundles.output(document) == "content\n"


def test_tmpfs_has_the_mode_of_what_it_covers_and_may_copy_it(bundles: Bundles, tmp_path: Path) -> None:
    source = tmp_path / "source"
    (source / "directory").mkdir(parents=True)
    (source / "directory/file").write_text("content\n")
    os.chown(source / "directory/file", 5, 6)
    (source / "link").symlink_to("directory/file")
    source.chmod(0o2751)
    document = bundles.document("/bin/sh", "-c", "cat /tmp/there/link; id -u; ls -ldn /tmp/there")
    document["process"]["args"] = [
        "/bin/busybox",
        "sh",
        "-c",
        "cat /tmp/there/link; /bin/busybox stat -c '%a %u' /tmp/there /tmp/there/directory/file",
    ]
    document["mounts"] += [
        bind(source, "bind"),
        {"destination": "/tmp/there", "type": "tmpfs", "source": "tmpfs", "options": ["tmpcopyup", "ro"]},
    ]
    assert bundles.output(document).splitlines() == ["content", "2751 0", "644 5"]


def test_ids_of_a_mount_are_mapped(bundles: Bundles, tmp_path: Path) -> None:
    source = tmp_path / "source"
    source.mkdir()
    os.chown(source, 1000, 1000)
    document = bundles.document("/bin/busybox", "stat", "-c", "%u %g", "/tmp/there")
    maps = [{"containerID": 1000, "hostID": 5000, "size": 1}]
    document["mounts"].append({**bind(source, "bind"), "uidMappings": maps, "gidMappings": maps})
    done = bundles.run(document)
    if "invalid argument" in done.stderr:
        pytest.skip("the file system here cannot be mounted with mapped ids")
    assert done.stdout == "5000 5000\n", done.stderr


@pytest.mark.parametrize(
    ("mount", "words"),
    [
        ({"destination": "/proc", "type": "tmpfs", "source": "tmpfs"}, "not of type proc"),
        ({"destination": "/proc/self", "type": "tmpfs", "source": "tmpfs"}, "inside /proc"),
        (
            {"destination": "/proc/1/attr", "type": "bind", "source": "/tmp", "options": ["bind"]},
            "inside /proc",
        ),
        ({"destination": "/proc", "type": "bind", "source": "/tmp", "options": ["bind"]}, "not of type proc"),
        (
            {"destination": "/tmp/x", "type": "bind", "source": "/no/such", "options": ["bind"]},
            "no such file",
        ),
        ({"destination": "/tmp/x", "type": "nothing", "source": "x"}, "no such device"),
        ({"destination": "/tmp/x", "type": "tmpfs", "source": "x", "options": ["nonsense=1"]}, "nonsense"),
        ({"type": "tmpfs", "source": "x"}, "destination"),
    ],
)
def test_a_mount_that_cannot_be_names_itself(bundles: Bundles, mount: dict[str, object], words: str) -> None:
    document = bundles.document("/bin/true")
    document["mounts"].append(mount)
    done = bundles.run(document)
    assert done.returncode == 1
    assert words in done.stderr.lower()


def test_masked_and_readonly_paths(bundles: Bundles) -> None:
    script = (
        "cat /proc/version; echo /proc/bus/*; echo 1 > /proc/sys/net/ipv4/ip_forward; cat /proc/self/mounts"
    )
    document = bundles.document("/bin/sh", "-c", script)
    document["linux"] |= {
        "maskedPaths": ["/proc/version", "/proc/bus", "/no/such", "/proc/bus"],
        "readonlyPaths": ["/proc/sys", "/no/such/path"],
    }
    done = bundles.run(document)
    assert done.stdout.splitlines()[0] == "/proc/bus/*"
    assert "Read-only file system" in done.stderr
    assert {"ro", "nosuid", "nodev", "noexec"} <= options_of(
        "\n".join(done.stdout.splitlines()[1:]), "/proc/sys"
    )


def test_devices_and_links(bundles: Bundles) -> None:
    names = "null zero full random urandom tty mine fd stdin stdout stderr ptmx"
    script = f"cd /dev; for n in {names}; do /bin/busybox stat -c '%n %F %t:%T %a %u' $n; done"
    document = bundles.document("/bin/sh", "-c", script)
    document["linux"]["devices"] = [
        {"path": "/dev/mine", "type": "c", "major": 1, "minor": 3, "fileMode": 0o640, "uid": 7, "gid": 8}
    ]
    lines = bundles.output(document).splitlines()
    assert lines[0] == "null character special file 1:3 666 0"
    assert lines[6] == "mine character special file 1:3 640 7"
    assert [line.split()[1] for line in lines[7:]] == ["symbolic"] * 5


def test_the_hosts_dev_is_left_alone(bundles: Bundles, tmp_path: Path) -> None:
    source = tmp_path / "dev"
    source.mkdir()
    document = bundles.document("/bin/true")
    document["mounts"] = [document["mounts"][0], bind(source, "bind", destination="/dev")]
    bundles.output(document)
    assert list(source.iterdir()) == []


@pytest.mark.parametrize("own", [True, False])
def test_cgroups_inside(bundles: Bundles, own: bool) -> None:
    namespaces = ("pid", "mount", *(("cgroup",) if own else ()))
    document = bundles.document(
        "/bin/sh", "-c", "cat /proc/self/cgroup; echo /sys/fs/cgroup/*", namespaces=namespaces
    )
    document["mounts"] += [
        {"destination": "/sys", "type": "sysfs", "source": "sysfs", "options": ["ro", "nosuid"]},
        {"destination": "/sys/fs/cgroup", "type": "cgroup", "source": "cgroup", "options": ["ro", "nosuid"]},
    ]
    text = bundles.output(document)
    *lines, listed = text.splitlines()
    assert all(line.endswith(":/") for line in lines if ":memory:" in line or line.startswith("0::")) == own
    host = {path.name for path in Path("/sys/fs/cgroup").iterdir() if path.is_dir()} - {"unified"}
    assert host <= {Path(word).name for word in listed.split()} | {"unified"}


def test_a_hostile_image_leads_nowhere(bundles: Bundles, tmp_path: Path) -> None:
    """Links of the root file system are followed inside of it: nothing of the host is made or changed."""
    outside = tmp_path / "outside"
    outside.mkdir()
    root = tmp_path / "hostile"
    (root / "bin").mkdir(parents=True)
    for path in bundles.rootfs.rglob("*"):
        target = root / path.relative_to(bundles.rootfs)
        if path.is_dir() and not path.is_symlink():
            target.mkdir(exist_ok=True)
        elif path.is_symlink():
            target.symlink_to(path.readlink())
        else:
            os.link(path, target)
    (root / "linked").symlink_to(outside)
    (root / "data").symlink_to("../../../../../../../.." + str(outside))
    document = bundles.document("/bin/true")
    document["root"]["path"] = str(root)
    document["root"]["readonly"] = False
    document["process"]["cwd"] = "/data/cwd"
    document["mounts"] = [
        *document["mounts"][:3],
        bind(bundles.rootfs, "bind", destination="/linked/a"),
        {"destination": "/data/b", "type": "tmpfs", "source": "tmpfs"},
    ]
    bundles.output(document)
    assert list(outside.iterdir()) == []
    assert (root / str(outside)[1:] / "a").is_dir()


@pytest.mark.parametrize("name", ["proc", "sys"])
def test_proc_and_sysfs_are_not_mounted_behind_a_link(bundles: Bundles, tmp_path: Path, name: str) -> None:
    root = tmp_path / "root"
    root.mkdir()
    (root / "elsewhere").mkdir()
    (root / name).symlink_to("elsewhere")
    document = bundles.document("/bin/true")
    document["root"]["path"] = str(root)
    kind = {"proc": "proc", "sys": "sysfs"}[name]
    document["mounts"] = [{"destination": f"/{name}", "type": kind, "source": kind}]
    done = bundles.run(document)
    assert (done.returncode, "ordinary directory" in done.stderr) == (1, True)


def test_a_false_null_device_masks_nothing(bundles: Bundles, tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.write_text("secret\n")
    document = bundles.document("/bin/cat", "/proc/version")
    document["mounts"].append(bind(secret, "bind", destination="/dev/null"))
    document["linux"]["maskedPaths"] = ["/proc/version"]
    done = bundles.run(document)
    assert done.returncode == 1
    assert "secret" not in done.stdout
    assert stat.S_ISREG(secret.stat().st_mode)
    assert "/dev/null" in done.stderr
