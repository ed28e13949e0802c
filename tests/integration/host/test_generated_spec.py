"""Generated documents run under the real runtimes: a busybox root file system, crun, runc and our own."""

import errno
import json
import os
import secrets
import shutil
import signal
import subprocess
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from api.ids import ContainerId, SandboxId
from conf.seccomp import default_profile
from host.cgroups import Hierarchy
from host.features import probe
from host.mounts import make_shared, mount_tmpfs, mountpoints_below, umount
from oci import hostview, pause
from oci.generate import container as container_spec
from oci.generate import pause as pause_spec
from oci.generate.identity import resolve
from oci.generate.inputs import (
    Capabilities,
    ContainerInput,
    Defaults,
    Device,
    GroupsPolicy,
    HostView,
    HugepageLimit,
    Mount,
    NamespaceMode,
    NamespaceOptions,
    PauseInput,
    Propagation,
    Resources,
    SandboxView,
    SecurityContext,
    SecurityProfile,
    Ulimit,
)
from oci.generate.process import exec_process
from tests.harness.patience import patient
from tests.harness.processes import has_ended
from tests.harness.runtimes import RUNTIMES, program

pytestmark = pytest.mark.root

CGROUP = f"/podwright-test-spec-{secrets.token_hex(4)}"
PASSWD = b"root:x:0:0:root:/root:/bin/sh\nalice:x:1000:1000::/home/alice:/bin/sh\n"
GROUP = b"root:x:0:\nalice:x:1000:\nfriends:x:50000:alice\n"
APPLETS = (
    "sh",
    "cat",
    "ls",
    "id",
    "grep",
    "touch",
    "mount",
    "sleep",
    "env",
    "true",
    "hostname",
    "ps",
    "kill",
    "mkdir",
)


@pytest.fixture(scope="module")
def rootfs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The machine's own busybox with the libraries that ldd names."""
    root = tmp_path_factory.mktemp("rootfs")
    busybox = shutil.which("busybox")
    assert busybox is not None, "busybox is needed"
    files = [busybox]
    text = subprocess.run(["ldd", busybox], capture_output=True, text=True, timeout=10).stdout
    files += [word for word in text.split() if word.startswith("/")]
    for file in files:
        target = root / file.lstrip("/")
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(file, target)
    (root / "bin").mkdir(exist_ok=True)
    for name in APPLETS:
        shutil.copy2(busybox, root / "bin" / name)
    for name in ("etc", "tmp", "proc", "dev", "sys", "data"):
        (root / name).mkdir(exist_ok=True)
    root.chmod(0o755)  # it becomes "/": other users must get in
    (root / "etc/passwd").write_bytes(PASSWD)
    (root / "etc/group").write_bytes(GROUP)
    return root


@pytest.fixture(scope="module")
def hierarchy() -> Iterator[Hierarchy]:
    found = Hierarchy.detect()
    yield found
    found.kill(CGROUP)
    found.remove(CGROUP)
    assert not found.exists(CGROUP)


@pytest.fixture(scope="module")
def host(hierarchy: Hierarchy) -> HostView:
    return hostview.gather(hierarchy, probe(Path("/var/lib")))


@pytest.fixture(params=RUNTIMES)
def runtime(request: pytest.FixtureRequest, tmp_path: Path) -> list[str]:
    return [program(request.param), "--root", str(tmp_path / "state")]


@pytest.fixture
def make(rootfs: Path) -> ContainerInput:
    """A plain container with the default profile; tests replace what they are about."""
    identifier = ContainerId(secrets.token_hex(32))
    options = NamespaceOptions(network=NamespaceMode.NODE, pid=NamespaceMode.CONTAINER)
    return ContainerInput(
        id=identifier,
        sandbox=SandboxView(SandboxId("a" * 64), hostname="box"),
        rootfs=rootfs,
        cgroups_path=f"{CGROUP}/{identifier}",
        identity=resolve(SecurityContext(), "", PASSWD, GROUP),
        name="test",
        security=SecurityContext(namespaces=options, seccomp=SecurityProfile()),
        defaults=Defaults(seccomp_profile=default_profile()),
    )


def run(
    runtime: list[str], container: ContainerInput, host: HostView, script: str, bundle: Path
) -> subprocess.CompletedProcess[str]:
    """``sh -c script`` in the container, by the runtime's run command."""
    container = replace(container, command=("/bin/sh", "-c", script))
    document = container_spec.generate(container, host, observed=hostview.observe(container))
    (bundle / "config.json").write_text(json.dumps(document))
    return subprocess.run(
        [*runtime, "run", "--bundle", str(bundle), container.id],
        capture_output=True,
        text=True,
        timeout=60,
        stdin=subprocess.DEVNULL,
    )


def fields(status: str) -> dict[str, str]:
    return {key: value.strip() for key, _, value in (line.partition(":") for line in status.splitlines())}


def test_the_default_profile_confines_and_lets_a_shell_work(
    runtime: list[str], make: ContainerInput, host: HostView, tmp_path: Path
) -> None:
    result = run(runtime, make, host, "cat /proc/self/status; ls / | cat; sleep 0.01; id -u", tmp_path)
    assert result.returncode == 0, result.stderr
    status = fields(result.stdout)
    assert status["Seccomp"] == "2"
    assert status["NoNewPrivs"] == "0"
    assert int(status["CapBnd"], 16) == int(status["CapEff"], 16) == 0x5FB
    assert int(status["CapInh"], 16) == 0
    assert result.stdout.splitlines()[-1] == "0"


PROBE = """
import asyncio, ctypes, json, platform, socket, subprocess, sys, tempfile, threading
libc = ctypes.CDLL(None, use_errno=True)
def errno_of(number, *arguments):
    ctypes.set_errno(0)
    return ctypes.get_errno() if libc.syscall(number, *arguments) < 0 else 0
found = {}
found["unknown"] = errno_of(1999)
found["clone3"] = errno_of(435, 0, 0)
found["io_uring_setup"] = errno_of(425, 1, 0)
found["unshare"] = 0 if libc.unshare(0x10000000) == 0 else ctypes.get_errno()
found["open_by_handle"] = 0 if libc.open_by_handle_at(-1, None, 0) == 0 else ctypes.get_errno()
for name, family in {"alg": 38, "vsock": 40, "new": 46}.items():
    try:
        socket.socket(family, socket.SOCK_STREAM)
    except OSError as error:
        found[name] = error.errno
thread = threading.Thread(target=lambda: found.update(thread="ran"))
thread.start(); thread.join()
left, right = socket.socketpair()
left.send(b"x"); right.recv(1)
found["child"] = subprocess.run(["/bin/sh", "-c", "echo hi"], capture_output=True, text=True).stdout
async def sleep():
    await asyncio.sleep(0.01)
    return (await asyncio.create_subprocess_exec("/bin/true")).returncode
asyncio.run(sleep())
with tempfile.TemporaryFile(dir="/tmp") as file:
    file.write(b"x"); file.flush()
print(json.dumps(found))
"""


def test_the_default_profile_suits_python_and_refuses_with_the_right_errors(
    runtime: list[str], make: ContainerInput, host: HostView, tmp_path: Path
) -> None:
    (tmp_path / "probe.py").write_text(PROBE)
    names = {"/usr": "/usr", "/lib": "/usr/lib", "/lib64": "/usr/lib64", "/probe": str(tmp_path)}
    mounts = tuple(
        Mount(target, source, readonly=True) for target, source in names.items() if Path(source).exists()
    )
    result = run(
        runtime, replace(make, mounts=mounts), host, "exec /usr/bin/python3 /probe/probe.py", tmp_path
    )
    assert result.returncode == 0, result.stderr
    found = json.loads(result.stdout)
    unknown, refused = errno.ENOSYS, errno.EPERM
    assert (found["unknown"], found["clone3"]) == (unknown, unknown)
    assert {found[name] for name in ("io_uring_setup", "unshare", "open_by_handle")} == {refused}
    assert {found[name] for name in ("alg", "vsock", "new")} == {refused}  # families of sockets
    assert (found["thread"], found["child"]) == ("ran", "hi\n")


def test_user_groups_and_dropped_capabilities(
    runtime: list[str], make: ContainerInput, host: HostView, tmp_path: Path
) -> None:
    security = replace(
        make.security,
        run_as_user=1000,
        supplemental_groups=(1234,),
        supplemental_groups_policy=GroupsPolicy.MERGE,
        no_new_privs=True,
        capabilities=Capabilities(drop=("ALL",), add=("NET_BIND_SERVICE",), add_ambient=("KILL",)),
    )
    container = replace(make, security=security, identity=resolve(security, "", PASSWD, GROUP))
    result = run(runtime, container, host, "id -u; id -g; id -G; cat /proc/self/status; env", tmp_path)
    assert result.returncode == 0, result.stderr
    assert result.stdout.splitlines()[:3] == ["1000", "1000", "1000 1234 50000"]
    status = fields(result.stdout)
    assert int(status["CapBnd"], 16) == 1 << 10 | 1 << 5
    assert int(status["CapAmb"], 16) == int(status["CapEff"], 16) == 1 << 5
    assert status["NoNewPrivs"] == "1"
    assert "HOME=/home/alice" in result.stdout.splitlines()
    assert "HOSTNAME=box" in result.stdout.splitlines()


def test_mounts_masks_devices_and_limits(
    runtime: list[str], make: ContainerInput, host: HostView, tmp_path: Path
) -> None:
    source, shm = tmp_path / "source", tmp_path / "shm"
    source.mkdir()
    shm.mkdir()
    (source / "file").write_text("content\n")
    container = replace(
        make,
        sandbox=replace(make.sandbox, shm_path=shm),
        mounts=(
            Mount("/data/ro", str(source), readonly=True),
            Mount("/data/rro", str(source), readonly=True, recursive_read_only=True),
            Mount("/data/rw", str(source), mount_options=("noexec",)),
        ),
        devices=(Device("/dev/thing", "/dev/fuse", "r"),),
        security=replace(
            make.security,
            readonly_rootfs=True,
            masked_paths=("/bin/ls", "/nowhere"),
            readonly_paths=("/proc/sys",),
        ),
        resources=Resources(
            cpu_period_us=100000,
            cpu_quota_us=50000,
            cpu_shares=2,
            memory_limit_bytes=64 << 20,
            memory_swap_limit_bytes=64 << 20,
            oom_score_adj=-997,
            hugepage_limits=(HugepageLimit("2MB", 0), HugepageLimit("64KB", 0)),
        ),
        defaults=replace(make.defaults, ulimits=(Ulimit("nofile", 512, 1 << 30),), pids_limit=100),
    )
    script = (  # ls by its path: some shells have one of their own
        "cat /data/ro/file; touch /data/ro/x; touch /data/rro/x; touch /data/rw/new; touch /rootless;"
        "/bin/ls /; (exec 3</dev/thing && echo opened); echo x > /dev/thing; echo shared > /dev/shm/note;"
        "cat /proc/self/oom_score_adj; ulimit -n; cat /proc/self/mounts"
    )
    result = run(runtime, container, host, script, tmp_path)
    lines = result.stdout.splitlines()
    assert lines[0] == "content", result.stderr
    assert result.stderr.count("Read-only file system") == 3
    assert "/bin/ls: Permission denied" in result.stderr
    assert (
        "/dev/thing: Operation not permitted" in result.stderr or "can't create /dev/thing" in result.stderr
    )
    assert (source / "new").exists()
    assert (shm / "note").read_text() == "shared\n"
    assert lines[1] == "opened"
    assert int(lines[2]) == max(-997, host.oom_score_adj_floor)
    assert lines[3] == "512"
    options = {
        line.split()[1]: line.split()[3].split(",") for line in lines if line.startswith("/") or " " in line
    }
    assert {"ro", "nosuid"} <= set(options["/sys"])
    assert "noexec" in options["/data/rw"]
    assert "ro" in options["/data/ro"]


def test_mounts_propagate_as_asked_for(
    runtime: list[str], make: ContainerInput, host: HostView, tmp_path: Path
) -> None:
    shared = tmp_path / "shared"
    shared.mkdir()
    mount_tmpfs(shared)
    try:
        make_shared(shared)
        for name in ("both", "slave", "private"):
            (shared / name).mkdir()
        kinds = {
            "both": Propagation.BIDIRECTIONAL,
            "slave": Propagation.HOST_TO_CONTAINER,
            "private": Propagation.PRIVATE,
        }
        mounts = tuple(
            Mount(f"/data/{name}", str(shared / name), propagation=kind) for name, kind in kinds.items()
        )
        script = (
            "for n in both slave private; do mkdir /data/$n/x && mount -t tmpfs t /data/$n/x || exit 9; done"
        )
        security = replace(make.security, privileged=True)
        result = run(runtime, replace(make, mounts=mounts, security=security), host, script, tmp_path)
        assert result.returncode == 0, result.stderr
        seen = [path for path in mountpoints_below(shared) if path != shared]
        assert seen == [shared / "both/x"]
    finally:
        for path in mountpoints_below(shared):
            umount(path)


def test_privileged_is_unconfined_and_sees_devices(
    runtime: list[str], make: ContainerInput, host: HostView, tmp_path: Path
) -> None:
    security = replace(
        make.security, privileged=True, masked_paths=("/bin/true",), readonly_paths=("/proc/sys",)
    )
    container = replace(make, security=security)
    script = "cat /proc/self/status; /bin/true && echo unmasked; [ -c /dev/fuse ] && echo fuse"
    result = run(runtime, container, host, script, tmp_path)
    assert result.returncode == (0 if Path("/dev/fuse").exists() else 1), result.stderr
    status = fields(result.stdout)
    assert status["Seccomp"] == "0"
    assert int(status["CapEff"], 16) == int(fields(Path("/proc/self/status").read_text())["CapBnd"], 16)
    assert "unmasked" in result.stdout
    assert ("fuse" in result.stdout) == Path("/dev/fuse").exists()


def wait_until_gone(pid: int) -> bool:
    end = time.monotonic() + patient(30)
    while time.monotonic() < end:
        if has_ended(pid):
            return True
        time.sleep(0.01)
    return False


def test_pause_runs_containers_share_its_pid_namespace_and_sigterm_ends_it(
    runtime: list[str], make: ContainerInput, host: HostView, tmp_path: Path, hierarchy: Hierarchy
) -> None:
    root, bundle, second = tmp_path / "pause-root", tmp_path / "pause", tmp_path / "second"
    bundle.mkdir()
    second.mkdir()
    pause.make_rootfs(root, os.uname().machine)
    name = secrets.token_hex(32)
    document = pause_spec.generate(
        PauseInput(
            SandboxId(name),
            root,
            f"{CGROUP}/{name}",
            args=(pause.PROGRAM_PATH,),
            security=SecurityContext(seccomp=SecurityProfile()),
            defaults=make.defaults,
        ),
        host,
    )
    (bundle / "config.json").write_text(json.dumps(document))
    pid_file = tmp_path / "pid"

    def call(*words: str) -> None:
        with (tmp_path / "log").open("w+") as log:  # not a pipe: the container would keep it open
            done = subprocess.run(
                [*runtime, *words], stdin=subprocess.DEVNULL, stdout=log, stderr=log, timeout=60
            )
            log.seek(0)
            assert done.returncode == 0, log.read()

    call("create", "--bundle", str(bundle), "--pid-file", str(pid_file), name)
    try:
        call("start", name)
        pid = int(pid_file.read_text())
        security = replace(make.security, namespaces=NamespaceOptions(network=NamespaceMode.NODE))
        container = replace(make, security=security, sandbox=replace(make.sandbox, pause_pid=pid))
        orphan = "pid=$(sleep 0.05 >/dev/null & echo $!)"
        is_reaped = "n=0; while [ -e /proc/$pid ] && [ $n -lt 600 ]; do n=$((n+1)); sleep 0.1; done"
        script = f"{orphan}; cat /proc/1/cmdline; echo; {is_reaped}; ps -o stat,comm"
        result = run(runtime, container, host, script, second)
        assert result.returncode == 0, result.stderr
        assert result.stdout.startswith("/pause\0\n")
        assert not [line for line in result.stdout.splitlines() if line.startswith("Z")], (
            "an orphan was not reaped"
        )
        os.kill(pid, signal.SIGTERM)
        assert wait_until_gone(pid)
    finally:
        call("delete", "--force", name)
    assert not hierarchy.exists(f"{CGROUP}/{name}")


def test_an_exec_has_the_containers_identity(make: ContainerInput, host: HostView) -> None:
    container = replace(make, command=("sleep", "100"))
    document = container_spec.generate(container, host)
    process = exec_process(document["process"], ("id",), terminal=False)
    assert process["user"] == document["process"]["user"]
    assert process["args"] == ["id"]
