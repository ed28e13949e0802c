"""What images, configurations and neighbours have tried against runtimes (CVE numbers beside the tests): each
is refused, by ours as by the others. Nothing of the host is at stake: where a runtime might fail, what it
could reach is a copy, a directory of the test or a container's own."""

import contextlib
import ctypes
import hashlib
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from host.cgroups import Hierarchy
from tests.harness import processes
from tests.harness.cache import PROJECT
from tests.harness.patience import patient
from tests.harness.runtimes import INSIDE, INSIDE_MODULE, OWN, RUNTIMES, program
from tests.integration.oci.conftest import CGROUP_PARENT, remove_cgroups

pytestmark = pytest.mark.root

BOUND_S = patient(30)
LEAK = 200
Json = dict[str, Any]

# Debian 12's runc 1.1.5 and crun 1.8.1 are older than the remedies of these, which later ones have.
UNREMEDIED = {
    "swapped target": ("crun", "runc"),  # CVE-2024-45310 of runc; of crun, a race lost proves nothing
    "fake null": ("crun", "runc"),  # CVE-2025-31133
    "linked dev": ("crun", "runc"),  # CVE-2026-41579, CVE-2026-47766
    "linked console": ("crun",),  # CVE-2026-88264
    "volume at proc": ("crun",),
    "inherited directory": ("crun",),  # as CVE-2024-21626, with descriptors of the caller's
    "keys at exec": ("crun",),
    "early exec": ("runc",),  # in the cgroup before it is a copy of itself: lost now and then
}


EVERY = (*RUNTIMES, INSIDE)


def command(name: str) -> list[str]:
    """What begins a runtime's command line."""
    return [sys.executable, "-m", INSIDE_MODULE] if name == INSIDE else [program(name)]


def remedied(attack: str) -> pytest.MarkDecorator:
    """For a test of those runtimes here that are not older than its remedy; ours is always among them."""
    names = [name for name in EVERY if name not in UNREMEDIED[attack]]
    assert OWN in names
    return pytest.mark.parametrize("box", names, indirect=True)


@dataclass
class Box:
    """A container of one runtime, with a root file system of its own that a test may prepare."""

    name: str
    line: list[str]
    environment: dict[str, str]
    directory: Path
    spec: Json = field(default_factory=dict)

    @property
    def rootfs(self) -> Path:
        return self.directory / "rootfs"

    def run(self, *words: str, **options: Any) -> subprocess.CompletedProcess[str]:
        """One command of the runtime; what it starts keeps its output, so that goes to a file."""
        with (self.directory / "output").open("w+") as output:
            done = subprocess.run(
                [*self.line, *words],
                env=self.environment,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                timeout=BOUND_S,
                check=False,
                **options,
            )
            output.seek(0)
            return subprocess.CompletedProcess(done.args, done.returncode, output.read())

    def create(self, *words: str, **options: Any) -> subprocess.CompletedProcess[str]:
        (self.directory / "config.json").write_text(json.dumps(self.spec))
        return self.run("create", "--bundle", str(self.directory), *words, "box", **options)

    def state(self) -> Json:
        found = json.loads(self.run("state", "box").stdout)
        assert isinstance(found, dict)
        return found

    @property
    def pid(self) -> int:
        return int(self.state()["pid"])

    def started(self, *arguments: str, **options: Any) -> str:
        """Create and start it with this program, and give what it prints up to its end."""
        self.spec["process"]["args"] = list(arguments)
        out = self.rootfs / "tmp-out"
        out.mkdir(exist_ok=True)
        created = self.create(**options)
        assert created.returncode == 0, created.stdout
        assert self.run("start", "box").returncode == 0
        wait_for(lambda: self.state()["status"] == "stopped")
        return (self.directory / "output").read_text()

    def prints(self, script: str, **options: Any) -> str:
        """What a shell in the container writes into a file of the host, given to it as a mount."""
        answer = self.directory / "answer"
        answer.mkdir(exist_ok=True)
        self.spec["mounts"].append(bind(answer, "/answer"))
        self.started("/bin/sh", "-c", f"({script}) >/answer/text 2>&1", **options)
        return (answer / "text").read_text()

    def exec(self, *words: str, **options: Any) -> subprocess.CompletedProcess[str]:
        return self.run("exec", *words, **options)


def bind(source: Path, destination: str, *options: str) -> Json:
    return {
        "destination": destination,
        "type": "bind",
        "source": str(source),
        "options": ["rbind", *(options or ("rw",))],
    }


def wait_for(condition: Any) -> None:
    deadline = time.monotonic() + BOUND_S
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def config(rootfs: Path) -> Json:
    capabilities = ["CAP_KILL", "CAP_CHOWN", "CAP_SETUID", "CAP_SETGID"]
    return {
        "ociVersion": "1.0.2",
        "process": {
            "user": {"uid": 0, "gid": 0},
            "args": ["/bin/sleep", "1000"],
            "env": ["PATH=/bin"],
            "cwd": "/",
            "capabilities": dict.fromkeys(("bounding", "effective", "permitted"), capabilities),
        },
        "root": {"path": str(rootfs)},
        "mounts": [
            {"destination": "/proc", "type": "proc", "source": "proc"},
            {
                "destination": "/dev",
                "type": "tmpfs",
                "source": "tmpfs",
                "options": ["nosuid", "mode=755", "size=65536k"],
            },
            {
                "destination": "/dev/pts",
                "type": "devpts",
                "source": "devpts",
                "options": ["nosuid", "noexec", "newinstance", "ptmxmode=0666", "mode=0620"],
            },
        ],
        "linux": {
            "namespaces": [{"type": kind} for kind in ("pid", "ipc", "uts", "mount", "network")],
            "cgroupsPath": f"{CGROUP_PARENT}/box",
            "resources": {},
        },
    }


@pytest.fixture(params=EVERY)
def box(request: pytest.FixtureRequest, rootfs: Path, tmp_path: Path) -> Iterator[Box]:
    shutil.copytree(rootfs, tmp_path / "rootfs", symlinks=True, ignore=shutil.ignore_patterns("dev"))
    (tmp_path / "rootfs/dev").mkdir()
    (tmp_path / "rootfs").chmod(0o755)
    for name in ("ls", "readlink", "pwd", "mount"):
        link = tmp_path / "rootfs/bin" / name
        if not link.exists():
            link.symlink_to("busybox")
    line = [*command(request.param), "--root", str(tmp_path / "state")]
    made = Box(request.param, line, dict(os.environ), tmp_path, config(tmp_path / "rootfs"))
    yield made
    made.run("delete", "--force", "box")
    remove_cgroups()


# --- the runtime's own program (CVE-2019-5736) ---


def copied(box: Box) -> Path:
    """Have the box run by a copy of the runtime's program, which nobody else executes and nobody needs."""
    modules = {OWN: "oci.run.cli.entry", INSIDE: INSIDE_MODULE}
    module = modules.get(box.name)
    source = Path(sys.executable).resolve() if module else Path(program(box.name)).resolve()
    copy = box.directory / "copy/bin/program"
    copy.parent.mkdir(parents=True)
    shutil.copy2(source, copy)
    (box.directory / "copy/pyvenv.cfg").write_text(f"home = {sys.base_prefix}/bin\n")
    box.line[: len(command(box.name))] = [str(copy), "-m", module] if module else [str(copy)]
    box.environment["PYTHONPATH"] = str(PROJECT)
    return copy


def digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def assert_read_only(descriptor: int, copy: Path, before: str) -> None:
    """What a container can make of a descriptor of /proc/PID/exe once nobody executes the file."""
    wait_for(lambda: not executed(copy))
    with pytest.raises(OSError, match=r"Read-only file system|Operation not permitted"):
        _write(f"/proc/self/fd/{descriptor}")
    assert digest(copy) == before


def _write(path: str) -> None:
    with Path(path).open("r+b", buffering=0) as file:
        file.write(b"#!/bin/sh\n")


def executed(copy: Path) -> bool:
    """Whether some process is executing it: then nobody could write to it, for this reason alone."""
    try:
        with copy.open("r+b"):
            return False
    except OSError:
        return True


def test_the_runtime_cannot_be_overwritten_by_way_of_a_created_container(box: Box) -> None:
    copy = copied(box)
    before = digest(copy)
    created = box.create()
    assert created.returncode == 0, created.stdout
    descriptor = os.open(processes.PROC / f"{box.pid}/exe", os.O_RDONLY)
    try:
        box.run("delete", "--force", "box")
        assert_read_only(descriptor, copy, before)
    finally:
        os.close(descriptor)


@pytest.mark.parametrize("box", [OWN, INSIDE], indirect=True)
def test_the_runtime_cannot_be_overwritten_by_an_image_that_executes_it(box: Box) -> None:
    """The program of the image is a link to /proc/self/exe; what a Python needs to live is in the image."""
    copy = copied(box)
    before = digest(copy)
    (box.rootfs / "bin/again").symlink_to("/proc/self/exe")
    for directory in dict.fromkeys(("/lib", "/lib64", "/usr/lib", sys.base_prefix)):
        if Path(directory).is_dir():
            box.spec["mounts"].append(bind(Path(directory).resolve(), directory, "ro"))
    box.spec["process"]["args"] = ["/bin/again", "-S", "-c", "import time; time.sleep(1000)"]
    box.spec["process"]["env"] = ["PATH=/bin", f"PYTHONHOME={sys.base_prefix}"]
    created = box.create()
    assert created.returncode == 0, created.stdout
    assert box.run("start", "box").returncode == 0
    line = processes.PROC / f"{box.pid}/cmdline"
    wait_for(lambda: line.read_bytes().startswith(b"/bin/again"))
    descriptor = os.open(processes.PROC / f"{box.pid}/exe", os.O_RDONLY)
    try:
        box.run("delete", "--force", "box")
        assert_read_only(descriptor, copy, before)
    finally:
        os.close(descriptor)


@remedied("early exec")
def test_the_runtime_cannot_be_overwritten_by_way_of_an_exec(box: Box) -> None:
    """The process of an exec is stopped by a neighbour while it is still the runtime's program."""
    copy = copied(box)
    before = digest(copy)
    assert box.create().returncode == 0
    assert box.run("start", "box").returncode == 0
    wait_for(lambda: str(processes.link(box.pid, "exe")) == "/bin/busybox")
    procs = next(path for path in procs_files() if path.is_file())
    descriptor = -1
    for _ in range(200):
        descriptor = caught(box, procs)
        if descriptor >= 0:
            break
    assert descriptor >= 0
    box.run("delete", "--force", "box")
    try:
        assert_read_only(descriptor, copy, before)
    finally:
        os.close(descriptor)


def procs_files() -> list[Path]:
    """The files that list the container's processes, one in each hierarchy."""
    hierarchy = Hierarchy.detect()
    directories = hierarchy.directories(f"{CGROUP_PARENT}/box")
    return [directory / "cgroup.procs" for directory in directories]


def caught(box: Box, procs: Path) -> int:
    """A descriptor of the executable of an exec's process, if it was caught before its execution."""
    known = set(procs.read_text().split())
    with subprocess.Popen(
        [*box.line, "exec", "box", "/bin/true"],
        env=box.environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    ) as process:
        while process.poll() is None:
            for text in set(procs.read_text().split()) - known:
                with contextlib.suppress(OSError):
                    return _of_stopped(int(text))
    return -1


def _of_stopped(pid: int) -> int:
    os.kill(pid, signal.SIGSTOP)
    try:
        if "busybox" in str(processes.link(pid, "exe")):
            raise ProcessLookupError
        return os.open(processes.PROC / f"{pid}/exe", os.O_RDONLY)
    finally:
        os.kill(pid, signal.SIGCONT)


# --- descriptors and working directories (CVE-2024-21626) ---


@pytest.fixture
def secret(tmp_path: Path) -> Iterator[Path]:
    """A directory of the host, open in the caller under a number that a child may inherit."""
    directory = tmp_path / "secret"
    directory.mkdir()
    (directory / "canary").write_text("of the host\n")
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
    with contextlib.suppress(OSError):
        os.fstat(LEAK)
        raise AssertionError(f"{LEAK} is open")
    os.dup2(descriptor, LEAK, inheritable=True)
    os.close(descriptor)
    yield directory
    os.close(LEAK)


def test_a_new_container_has_three_descriptors(box: Box, secret: Path) -> None:
    listed = box.prints("ls -l /proc/$$/fd", pass_fds=(LEAK,))
    assert numbers_of(listed) == ["0", "1", "2"]


def test_an_exec_has_three_descriptors(box: Box, secret: Path) -> None:
    assert box.create(pass_fds=(LEAK,)).returncode == 0
    assert box.run("start", "box").returncode == 0
    done = box.exec("box", "/bin/sh", "-c", "ls -l /proc/$$/fd", pass_fds=(LEAK,))
    assert numbers_of(done.stdout) == ["0", "1", "2"]
    listed = sorted(path.name for path in (processes.PROC / f"{box.pid}/fd").iterdir())
    assert listed == ["0", "1", "2"]


def numbers_of(listed: str) -> list[str]:
    """The shell's own, which it opens for redirections, is 10."""
    found = [line.split(" -> ")[0].split()[-1] for line in listed.splitlines() if " -> " in line]
    return [number for number in found if number != "10"]


@remedied("inherited directory")
@pytest.mark.parametrize("number", [3, 4, 5, 6, 7, 8, LEAK, 10])
def test_no_descriptor_is_a_working_directory(box: Box, secret: Path, number: int) -> None:
    box.spec["process"]["cwd"] = f"/proc/self/fd/{number}"
    _assert_inside(box, "cat canary ../canary ../secret/canary; ls ..")


@remedied("inherited directory")
@pytest.mark.parametrize("target", [f"/proc/self/fd/{LEAK}", "/proc/self/fd/7/../..", "/proc/1/cwd"])
def test_no_link_of_the_image_leads_the_working_directory_out(box: Box, secret: Path, target: str) -> None:
    (box.rootfs / "work").symlink_to(target)
    box.spec["process"]["cwd"] = "/work"
    _assert_inside(box, "cat canary ../canary ../secret/canary; ls ..")


def _assert_inside(box: Box, script: str) -> None:
    answer = box.directory / "answer"
    answer.mkdir()
    box.spec["mounts"].append(bind(answer, "/answer"))
    box.spec["process"]["args"] = ["/bin/sh", "-c", f"({script}) >/answer/text 2>&1"]
    if box.create(pass_fds=(LEAK,)).returncode == 0 and box.run("start", "box").returncode == 0:
        wait_for(lambda: box.state()["status"] == "stopped")
        assert "of the host" not in (answer / "text").read_text()


@remedied("inherited directory")
def test_an_exec_has_no_descriptor_for_its_working_directory(box: Box, secret: Path) -> None:
    assert box.create(pass_fds=(LEAK,)).returncode == 0
    assert box.run("start", "box").returncode == 0
    for number in (*range(3, 11), LEAK):
        words = ("--cwd", f"/proc/self/fd/{number}", "box", "/bin/sh", "-c", "cat canary ../secret/canary")
        assert "of the host" not in box.exec(*words, pass_fds=(LEAK,)).stdout


# --- where mounts go (CVE-2021-30465, CVE-2024-45310, CVE-2023-27561) ---


@pytest.fixture
def outside(tmp_path: Path) -> Path:
    """A directory of the host in which nothing may appear."""
    directory = tmp_path / "outside"
    directory.mkdir()
    return directory


@pytest.mark.parametrize("way", ["absolute", "relative", "by procfs", "two links"])
@pytest.mark.parametrize("kind", ["directory", "file", "tmpfs"])
def test_a_linked_mount_target_stays_inside(box: Box, outside: Path, way: str, kind: str) -> None:
    up = "../" * 12
    (box.rootfs / "target").symlink_to(
        {
            "absolute": str(outside),
            "relative": f"{up}{outside}",
            "by procfs": f"/proc/self/root{outside}",
            "two links": "/second",
        }[way]
    )
    (box.rootfs / "second").symlink_to(f"{up}{outside}")
    source = box.directory / "source"
    source.mkdir() if kind == "directory" else source.touch()
    mount = bind(source, "/target/made/below")
    if kind == "tmpfs":
        mount = {"destination": "/target/made/below", "type": "tmpfs", "source": "tmpfs"}
    box.spec["mounts"].append(mount)
    box.create()
    assert list(outside.iterdir()) == []


@remedied("swapped target")
def test_a_mount_target_that_is_swapped_meanwhile_stays_inside(box: Box, outside: Path) -> None:
    """A neighbour with the same volume exchanges directory and link, as quickly as it can, while containers
    are made over it."""
    volume = box.directory / "volume"
    (volume / "real").mkdir(parents=True)
    (volume / "link").symlink_to("../" * 12 + str(outside))
    source = box.directory / "source"
    source.mkdir()
    box.spec["mounts"] += [bind(volume, "/volume"), bind(source, "/volume/real/made/here")]
    stop = threading.Event()
    swapper = threading.Thread(target=_swap, args=(volume / "real", volume / "link", stop))
    swapper.start()
    try:
        for _ in range(12):
            box.create()
            box.run("delete", "--force", "box")
            assert list(outside.iterdir()) == []
    finally:
        stop.set()
        swapper.join()


def _swap(one: Path, other: Path, stop: threading.Event) -> None:
    libc = ctypes.CDLL(None, use_errno=True)
    paths = (os.fsencode(one), os.fsencode(other))
    while not stop.is_set():
        libc.renameat2(-100, paths[0], -100, paths[1], 2)  # RENAME_EXCHANGE


# --- fakes of /proc, /sys and /dev (CVE-2019-16884, -19921, 2023-28642, 2025-31133, -52565, -52881) ---


@pytest.mark.parametrize("name", ["proc", "sys"])
def test_no_link_stands_in_for_proc_and_sys(box: Box, name: str) -> None:
    """Else what is written to /proc/self/attr, or masked, would be the image's own."""
    shutil.rmtree(box.rootfs / name)
    (box.rootfs / "fake").mkdir()
    (box.rootfs / name).symlink_to("/fake")
    box.spec["mounts"].append({"destination": "/sys", "type": "sysfs", "source": "sysfs", "options": ["ro"]})
    created = box.create()
    assert created.returncode != 0
    assert list((box.rootfs / "fake").iterdir()) == []


@remedied("volume at proc")
def test_a_volume_does_not_become_proc(box: Box) -> None:
    volume = box.directory / "volume"
    (volume / "self/attr").mkdir(parents=True)
    box.spec["mounts"] = [bind(volume, "/proc")]
    assert box.create().returncode != 0


@remedied("fake null")
def test_what_masks_a_path_is_the_null_device(box: Box) -> None:
    """An image whose /dev/null is something else would have that shown at each masked path."""
    (box.rootfs / "dev").mkdir(exist_ok=True)
    (box.rootfs / "canary").write_text("writable\n")
    (box.rootfs / "dev/null").symlink_to("/canary")
    (box.rootfs / "etc/masked").write_text("secret\n")
    box.spec["mounts"] = box.spec["mounts"][:1]
    box.spec["linux"]["maskedPaths"] = ["/etc/masked"]
    box.spec["process"]["args"] = ["/bin/sleep", "1000"]
    if box.create().returncode == 0:
        masked = processes.PROC / f"{box.pid}/root/etc/masked"
        assert masked.is_char_device()


@remedied("fake null")
def test_what_masks_a_path_is_the_null_device_also_when_it_is_swapped_meanwhile(box: Box) -> None:
    """As by a neighbour with the same volume at /dev."""
    volume = box.directory / "volume"
    volume.mkdir()
    os.mknod(volume / "null", 0o020666, os.makedev(1, 3))
    (volume / "null").chmod(0o666)
    (volume / "other").symlink_to("/canary")
    (box.rootfs / "canary").write_text("writable\n")
    (box.rootfs / "etc/masked").write_text("secret\n")
    box.spec["mounts"] = [*box.spec["mounts"][:1], bind(volume, "/dev")]
    box.spec["linux"]["maskedPaths"] = ["/etc/masked"]
    stop = threading.Event()
    swapper = threading.Thread(target=_swap, args=(volume / "null", volume / "other", stop))
    swapper.start()
    try:
        for _ in range(12):
            if box.create().returncode == 0:
                masked = (processes.PROC / f"{box.pid}/root/etc/masked").stat()
                assert masked.st_rdev == os.makedev(1, 3)
            box.run("delete", "--force", "box")
    finally:
        stop.set()
        swapper.join()


@remedied("linked dev")
@pytest.mark.parametrize("target", ["outside", "link"])
def test_devices_are_made_inside(box: Box, outside: Path, target: str) -> None:
    """/dev is a link out, in an image whose configuration mounts nothing there (CVE-2026-41579)."""
    with contextlib.suppress(FileNotFoundError):
        shutil.rmtree(box.rootfs / "dev")
    (box.rootfs / "dev").symlink_to(str(outside) if target == "outside" else "../" * 12 + str(outside))
    box.spec["mounts"] = box.spec["mounts"][:1]
    box.create()
    assert list(outside.iterdir()) == []


@remedied("linked console")
def test_the_console_is_made_inside(box: Box, outside: Path) -> None:
    """/dev/console is a link out (crun, CVE-2026-88264)."""
    (box.rootfs / "dev").mkdir(exist_ok=True)
    (box.rootfs / "dev/console").symlink_to(outside / "console")
    box.spec["mounts"] = [one for one in box.spec["mounts"] if one["destination"] != "/dev"]
    (box.rootfs / "dev/pts").mkdir(exist_ok=True)
    box.spec["process"]["terminal"] = True
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as server:
        path = box.directory / "console"
        server.bind(str(path))
        server.listen()
        box.create("--console-socket", str(path))
    assert list(outside.iterdir()) == []
    assert not (outside / "console").exists()


def test_a_fake_null_is_not_given_away(box: Box, tmp_path: Path) -> None:
    """Standard streams on /dev/null are opened again inside, and owned by the container's user: never a file
    that a link in the image names (crun, CVE-2026-88265)."""
    victim = tmp_path / "victim"
    victim.write_text("of root\n")
    (box.rootfs / "dev").mkdir(exist_ok=True)
    (box.rootfs / "dev/null").symlink_to("../" * 12 + str(victim))
    box.spec["mounts"] = box.spec["mounts"][:1]
    box.spec["process"]["user"] = {"uid": 1234, "gid": 1234}
    box.create()
    assert (victim.stat().st_uid, victim.read_text()) == (0, "of root\n")


# --- rights, keys, and neighbours of the process that is set up ---


def status_of(text: str) -> Mapping[str, list[str]]:
    return {line.split(":")[0]: line.split(":", 1)[1].split() for line in text.splitlines() if ":" in line}


@pytest.mark.parametrize("groups", [[], [7, 8]])
def test_groups_and_capabilities_are_those_of_the_configuration(box: Box, groups: Sequence[int]) -> None:
    """None of the caller's groups, and nothing inheritable (CVE-2022-29162, CVE-2022-27650)."""
    box.spec["process"]["user"] = {"uid": 0, "gid": 0, "additionalGids": list(groups)}
    before = os.getgroups()
    os.setgroups([0, 42, 43])
    try:
        found = status_of(box.prints("cat /proc/self/status"))
        created = found["Groups"]
        assert (created, int(found["CapInh"][0], 16)) == ([str(one) for one in groups], 0)
    finally:
        os.setgroups(before)


def test_an_exec_inherits_no_groups_and_no_inheritable_capability(box: Box) -> None:
    assert box.create().returncode == 0
    assert box.run("start", "box").returncode == 0
    before = os.getgroups()
    os.setgroups([0, 42, 43])
    try:
        found = status_of(box.exec("box", "/bin/cat", "/proc/self/status").stdout)
    finally:
        os.setgroups(before)
    assert (found["Groups"], int(found["CapInh"][0], 16)) == ([], 0)


@remedied("keys at exec")
def test_the_callers_keys_stay_its_own(box: Box) -> None:
    """A session keyring is inherited by whatever is executed."""
    key = "podwright-test-secret"
    script = (
        "import ctypes, os, sys\n"
        "libc = ctypes.CDLL(None)\n"
        "numbers = {'x86_64': (248, 250), 'aarch64': (217, 219)}[os.uname().machine]\n"
        "assert libc.syscall(numbers[1], 1, None) > 0\n"  # KEYCTL_JOIN_SESSION_KEYRING
        f"key = libc.syscall(numbers[0], b'user', b'{key}', b'x', 1, -3)\n"
        "assert libc.syscall(numbers[1], 5, key, 0x3f000000) == 0\n"  # KEYCTL_SETPERM: shown to its possessor
        "os.execv(sys.argv[1], sys.argv[1:])\n"
    )
    answer = box.directory / "answer"
    answer.mkdir()
    box.spec["mounts"].append(bind(answer, "/answer"))
    box.spec["process"]["args"] = ["/bin/sh", "-c", "cat /proc/keys >/answer/text; sleep 1000"]
    box.line[:0] = [sys.executable, "-c", script]
    assert box.create().returncode == 0
    assert box.run("start", "box").returncode == 0
    wait_for(lambda: (answer / "text").is_file())
    assert key not in (answer / "text").read_text()
    assert key not in box.exec("box", "/bin/cat", "/proc/keys").stdout


def test_a_process_that_is_set_up_is_closed_to_its_user(box: Box) -> None:
    """It has the container's user already, and still the runtime's memory and descriptors (CVE-2016-9962)."""
    box.spec["process"]["user"] = {"uid": 1234, "gid": 1234}
    assert box.create().returncode == 0
    script = (
        "import os, sys\n"
        "os.setgroups([]); os.setresgid(1234, 1234, 1234); os.setresuid(1234, 1234, 1234)\n"
        "pid = int(sys.argv[1])\n"
        "for name, look in (('mem', open), ('fd', os.listdir), ('exe', os.readlink), ('root', os.listdir)):\n"
        "    try: look(f'/proc/{pid}/{name}')\n"
        "    except PermissionError: continue\n"
        "    print(name)\n"
    )
    line = [sys.executable, "-c", script, str(box.pid)]
    done = subprocess.run(line, capture_output=True, text=True, timeout=BOUND_S, check=True)
    assert done.stdout == ""
