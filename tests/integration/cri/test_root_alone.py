"""State is for root alone: a walk over all that a daemon makes, as others, while pods of every kind live."""

import os
import re
import signal
import stat
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from api.runtime.v1 import api_pb2 as pb
from cri import reach
from cri.paths import Paths
from tests.harness import processes
from tests.harness.client import container_config
from tests.harness.daemon import Daemon, Settings
from tests.harness.images import Image
from tests.harness.processes import mentioning
from tests.harness.reach import NOBODY, Account, everything_below, reachable, readable_of_process
from tests.harness.runs import scratch
from tests.integration.cri.conftest import IMAGE, import_busybox, pod_config
from tests.integration.cri.test_user_namespaces import FOREVER, container_in, mapped_pod
from tools.demo import busybox_image
from tools.packaging.layout import CHECKOUT

pytestmark = pytest.mark.root

GROUP, GROUP_ID = "daemon", 1  # Debian's, of which nobody is a member
MEMBER = Account(NOBODY.uid, NOBODY.gid, (GROUP_ID,))
PODS_USERNS = Paths(Path("/")).reachable
UNIT = (CHECKOUT / "systemd/podwright.service.in").read_text()
UMASKS = {
    "by hand, umask 022": 0o022,
    "by hand, umask 000": 0o000,
    "as by the unit": int(re.findall(r"^UMask=(\d+)$", UNIT, re.MULTILINE)[0], 8),
}


@contextmanager
def umask(value: int) -> Iterator[None]:
    own = os.umask(value)
    try:
        yield
    finally:
        os.umask(own)


@pytest.fixture(scope="module", params=list(UMASKS.values()), ids=list(UMASKS))
def daemon(request: pytest.FixtureRequest) -> Iterator[Daemon]:
    """With pods in all phases of life, below directories that are open to everybody."""
    tables = {"crio.api": {"socket_group": GROUP}, "crio.image": {"image_volumes": "bind"}}
    daemon = Daemon(Settings(tables=tables))
    daemon.state.chmod(0o755)
    daemon.runroot.rmdir()  # the daemon's to make
    with umask(int(request.param)):
        import_busybox(daemon)
        daemon.start()
    try:
        _fill(daemon)
        yield daemon
    finally:
        forced = daemon.teardown()
    assert forced == []


def _fill(daemon: Daemon) -> None:
    client, logs = daemon.client, daemon.state / "log"
    volumes = _image_with_volumes(daemon)
    for handler in ("crun", "runc"):
        plain = pod_config(f"plain-{handler}", log_directory=logs / f"plain-{handler}")
        plain.linux.security_context.namespace_options.pid = pb.POD
        pod = client.run_pod(plain, handler)
        wanted = container_config("main", volumes, ("sh", "-c", "echo said; sleep 1000000"))
        wanted.envs.append(pb.KeyValue(key="PASSWORD", value=b"secret"))
        wanted.mounts.add(container_path="/image", readonly=True, image=pb.ImageSpec(image=volumes))
        wanted.linux.security_context.run_as_user.value = 1234
        container = client.create_container(pod, wanted, plain)
        client.start_container(container)
        client.exec(container, "sh", "-c", "echo x >/dev/shm/file")
        ended = client.create_container(pod, container_config("ended", IMAGE, ("true",)), plain)
        client.start_container(ended)
        client.wait_exited(ended)
        client.create_container(pod, container_config("created", IMAGE, FOREVER), plain)
        mapped = mapped_pod(f"mapped-{handler}", logs / f"mapped-{handler}", pid=pb.POD)
        pod = client.run_pod(mapped, handler)
        container = client.create_container(pod, container_in(mapped), mapped)
        client.start_container(container)
        client.exec(container, "true")
    client.stop_pod(client.run_pod(pod_config("stopped", log_directory=logs / "stopped")))


def _image_with_volumes(daemon: Daemon) -> str:
    name = "localhost/test/volumes:1"
    image = busybox_image()
    archive = daemon.state / "volumes.tar"
    Image(image.layers, {**image.config, "Volumes": {"/declared/deep": {}}}).write_docker_archive(
        archive, name
    )
    subprocess.run(daemon.command("image import", str(archive)), check=True, timeout=60, capture_output=True)
    return name


def _made_by(daemon: Daemon) -> list[Path]:
    state = daemon.state
    return [daemon.runroot, state / "root", state / "log", state / "ipam/pw-test0", PODS_USERNS]


def _besides_logs(daemon: Daemon, lines: list[str]) -> list[str]:
    """Directories of logs are the kubelet's, and open as it makes them."""
    logs = re.escape(str(daemon.state / "log"))
    return [line for line in lines if not re.fullmatch(rf"rx {logs}(/[a-z-]+){{0,2}}", line)]


def test_nobody_reaches_anything_but_directories_of_logs(daemon: Daemon) -> None:
    found = _besides_logs(daemon, reachable(_made_by(daemon), NOBODY))
    assert found == [f"x {PODS_USERNS}"]


def test_a_member_of_the_sockets_group_reaches_the_socket_and_nothing_else(daemon: Daemon) -> None:
    found = _besides_logs(daemon, reachable(_made_by(daemon), MEMBER))
    assert found == [f"x {daemon.runroot}", f"rw {daemon.runroot}/podwright.sock", f"x {PODS_USERNS}"]


def test_the_walk_has_seen_what_matters(daemon: Daemon) -> None:
    walked = {str(path) for path in everything_below(_made_by(daemon))}
    for pattern in (
        "run/.*/records.sqlite(-wal|-shm)?",
        "root/catalogue.db(-wal|-shm)?",
        "root/layers/.*/bin/busybox",
        "root/containers/.*/merged/bin/busybox",
        "root/containers/.*/volumes/0/bin/busybox",
        "root/containers/.*/data/0",
        "root/cni/results/.*",
        "run/.*/sandboxes/.*/shm/file",
        "run/.*/exits/.*",
        "run/.*/monitor.sock",
        "log/plain-crun/main/0.log",
        "ipam/pw-test0/10.88.*",
        f"{PODS_USERNS}/.*/rootfs",
    ):
        assert [path for path in walked if re.search(f"{pattern}$", path)], pattern


def test_what_root_alone_has_is_named_by_modes_too(daemon: Daemon) -> None:
    """Not only hidden behind the first directory: the next ones are closed themselves."""
    open_ones = []
    for directory in (daemon.runroot, daemon.state / "root"):
        for path in (*directory.iterdir(), *(each for one in directory.iterdir() for each in _children(one))):
            mode = path.lstat().st_mode
            if stat.S_IMODE(mode) & 0o077 and not stat.S_ISSOCK(mode):
                open_ones.append(f"{stat.filemode(mode)} {path}")
    allowed = rf"drwxr-xr-x {daemon.state}/root/empty-layer/diff|drwxr-xr-x {daemon.runroot}/pause/rootfs"
    assert [line for line in open_ones if not re.fullmatch(allowed, line)] == []


def _children(path: Path) -> Iterator[Path]:
    if path.is_dir() and path.name not in ("sandboxes", "mounts"):
        yield from path.iterdir()


def test_others_see_nothing_of_the_daemons_processes(daemon: Daemon) -> None:
    for pid in (daemon.pid, _monitor(daemon)):
        assert readable_of_process(pid, NOBODY) == []
        assert processes.status(pid)["Name"]


def _monitor(daemon: Daemon) -> int:
    """The pid of the monitor, by the directory that it serves."""
    found = mentioning("oci.monitor", str(daemon.runroot))
    assert found, "no monitor"
    return found[0]


def test_root_of_a_container_with_the_nodes_processes_sees_nothing_of_them(daemon: Daemon) -> None:
    client = daemon.client
    pod = pod_config("host-pid", log_directory=daemon.state / "log/host-pid")
    pod.linux.security_context.namespace_options.pid = pb.NODE
    wanted = container_config("main", IMAGE, FOREVER)
    wanted.linux.security_context.namespace_options.pid = pb.NODE
    container = client.create_container(client.run_pod(pod), wanted, pod)
    client.start_container(container)
    assert client.exec(container, "cat", "/proc/self/environ").stdout  # what may be seen is seen
    for pid in (daemon.pid, _monitor(daemon)):
        for name in ("environ", "maps", "auxv", "mem", "io"):
            said = client.exec(container, "sh", "-c", f"head -c 1 /proc/{pid}/{name}")
            assert said.stdout == b"", (name, said)
        for names in ("fd/*", "map_files/*", "root", "cwd", "exe", "ns/*"):
            said = client.exec(container, "sh", "-c", f"busybox readlink /proc/{pid}/{names}")
            assert said.stdout == b"", (names, said)


def test_a_crash_leaves_no_core_whatever_the_limit_and_containers_keep_theirs(daemon: Daemon) -> None:
    client = daemon.client
    unlimited = subprocess.run(
        ["prlimit", "--pid", str(daemon.pid), "--core=unlimited", "--output=SOFT", "--noheadings"],
        capture_output=True, text=True, check=False, timeout=10,
    )  # fmt: skip
    assert unlimited.returncode == 0, unlimited.stderr
    own = Path("/proc/self/limits").read_text()
    container = next(one.id for one in client.containers() if one.state == pb.CONTAINER_RUNNING)
    inside = client.exec(container, "cat", "/proc/1/limits").stdout.decode()
    assert _core_limit(inside) == _core_limit(own)
    assert _dumped(daemon) is False


def _core_limit(limits: str) -> list[str]:
    return next(line.split()[4:6] for line in limits.splitlines() if line.startswith("Max core"))


def _dumped(daemon: Daemon) -> bool:
    """End the daemon by a signal that dumps core, and start it again."""
    process = daemon._process
    assert process is not None
    os.kill(process.pid, signal.SIGSEGV)
    _, status = os.waitpid(process.pid, 0)
    process.returncode = -signal.SIGSEGV
    daemon.start()
    return os.WCOREDUMP(status)


def test_images_and_volumes_keep_their_modes(daemon: Daemon) -> None:
    """The umask of daemon and monitor never reaches what containers show."""
    client = daemon.client
    for container in client.containers():
        if container.metadata.name != "main" or container.state != pb.CONTAINER_RUNNING:
            continue
        paths = "/ /etc /bin/busybox /etc/resolv.conf /etc/hostname /dev/shm /dev/null"
        script = f"umask; busybox stat -c '%a %n' {paths}"
        said = client.exec(container.id, "sh", "-c", script).stdout.decode()
        assert said.splitlines() == [
            "0022", "755 /", "755 /etc", "755 /bin/busybox", "644 /etc/resolv.conf", "644 /etc/hostname",
            "1777 /dev/shm", "666 /dev/null",
        ]  # fmt: skip


def test_missing_sources_of_mounts_are_made_for_everybody(daemon: Daemon) -> None:
    client, source = daemon.client, daemon.state / "made/by/the/mount"
    pod = pod_config("source", log_directory=daemon.state / "log/source")
    wanted = container_config("main", IMAGE, FOREVER)
    wanted.mounts.add(container_path="/mnt", host_path=str(source))
    client.create_container(client.run_pod(pod), wanted, pod)
    assert [stat.S_IMODE(path.stat().st_mode) for path in (source, source.parent)] == [0o755, 0o755]


def test_a_root_file_system_is_shown_to_the_pods_group_alone() -> None:
    with tempfile.TemporaryDirectory(dir=scratch()) as directory:
        paths = Paths(Path(directory) / "run", reachable=Path("/run/podwright-test-reach"))
        rootfs = Path(directory) / "rootfs"
        rootfs.mkdir(mode=0o755)
        (rootfs / "file").write_text("x")
        (rootfs / "file").chmod(0o644)
        with umask(0o077):
            shown = reach.attach(paths, "one", rootfs, 4242)
        try:
            assert reachable([paths.reachable], NOBODY) == [f"x {paths.reachable}"]
            inside = reachable([paths.reachable], Account(4242, 4242))
            assert f"r {shown}/file" in inside
            reach.detach(paths, "one")
            assert reachable([paths.reachable], Account(4242, 4242)) == [f"x {paths.reachable}"]
            assert list(shown.iterdir()) == []  # runc changes into it for every exec
        finally:
            reach.remove(paths, "one")
            paths.reachable.rmdir()
        assert (rootfs / "file").read_text() == "x"


def test_what_an_earlier_version_left_open_is_closed_at_start_and_told(daemon: Daemon) -> None:
    root, runroot = daemon.state / "root", daemon.runroot
    before = {path: stat.S_IMODE(path.lstat().st_mode) for path in (root, runroot)}
    daemon.stop()
    earlier = {
        root: {".": 0o711, "catalogue.db": 0o644, "cni": 0o755, "containers": 0o711},
        runroot: {".": 0o711, "records.sqlite": 0o644, "boot_id": 0o644, "sandboxes": 0o711, "pause": 0o755},
    }
    sandboxes = list((runroot / "sandboxes").iterdir())
    for top, modes in earlier.items():
        for name, mode in modes.items():
            (top / name).chmod(mode)
    for sandbox in sandboxes:
        sandbox.chmod(0o711)
    told = len(daemon.log())
    daemon.start()
    said = daemon.told("state of an earlier version", number=2, since=told)
    assert [line.partition(": ")[2].partition(": ")[2] for line in said] == [
        f"repaired {5 + len(sandboxes)} modes at and below {runroot}",
        f"repaired 4 modes at and below {root}",
    ]
    for top, modes in earlier.items():
        assert {name: (top / name).stat().st_mode & 0o077 for name in modes if name != "."} == {
            name: 0 for name in modes if name != "."
        }
        assert stat.S_IMODE(top.stat().st_mode) == before[top]
    assert _besides_logs(daemon, reachable(_made_by(daemon), NOBODY)) == [f"x {PODS_USERNS}"]
    running = [one for one in daemon.client.containers() if one.state == pb.CONTAINER_RUNNING]
    for container in running:  # pods go on under a repaired state
        assert daemon.client.exec(container.id, "true").exit_code == 0
