"""Real containers for the monitor's tests: busybox in a bundle, run by crun, runc and our own runtime."""

import asyncio
import contextlib
import json
import os
import re
import secrets
import shutil
import signal
import subprocess
import tempfile
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from api.ids import ContainerId, new_container_id
from host.spawn import become_subreaper
from oci.cli import CliRuntime
from oci.monitor.client import Monitor
from oci.monitor.types import CreateContainer, Exited
from oci.own_runtime import OwnRuntime
from oci.runtime import Runtime
from tests.harness.processes import Pid, children, comm, command_line, descriptors, has_ended, lock_holder
from tests.harness.runs import scratch
from tests.harness.runtimes import INSIDE, OWN, RUNTIMES, program
from tests.harness.until import until, until_no_more

# Of this run alone: what an interrupted one left must not fail the next.
CGROUP_PARENT = f"/podwright-test-oci-{secrets.token_hex(4)}"
APPLETS = (
    "sh",
    "cat",
    "echo",
    "sleep",
    "seq",
    "head",
    "dd",
    "true",
    "stty",
    "tty",
    "kill",
    "id",
    "tr",
    "yes",
)
Json = dict[str, object]
# As `holdings` has them.
SOCKET, JOURNAL, PIDFD = "socket:[N]", "/memfd:podwright-journal (deleted)", "anon_inode:[pidfd]"


@pytest.fixture(autouse=True)
def no_subreaper_afterwards() -> Iterator[None]:
    """A monitor's client makes its process a subreaper; the orphans of other tests belong to process 1."""
    yield
    become_subreaper(yes=False)


def cgroup_directories() -> list[Path]:
    """Directories of this test's parent cgroup, in every hierarchy."""
    root = Path("/sys/fs/cgroup")
    return [path for path in (root / CGROUP_PARENT[1:], *root.glob(f"*{CGROUP_PARENT}")) if path.is_dir()]


@pytest.fixture(scope="session")
def rootfs() -> Iterator[Path]:
    """A root file system with the machine's busybox and the libraries that it needs."""
    with tempfile.TemporaryDirectory(dir=scratch(), prefix="pw-rootfs-") as directory:
        root = Path(directory)
        root.chmod(0o755)  # it becomes "/"
        for name in ("bin", "proc", "dev", "sys", "tmp", "etc"):
            (root / name).mkdir()
        shutil.copy("/bin/busybox", root / "bin/busybox")
        listed = subprocess.run(["ldd", "/bin/busybox"], capture_output=True, text=True, check=False).stdout
        for word in listed.split():
            if word.startswith("/"):
                (root / word[1:]).parent.mkdir(parents=True, exist_ok=True)
                shutil.copy(word, root / word[1:])
        for applet in APPLETS:
            (root / "bin" / applet).symlink_to("busybox")
        yield root


def process(*args: str, terminal: bool = False) -> Json:
    """A runtime-spec process object."""
    capabilities = ["CAP_KILL", "CAP_CHOWN"]
    return {
        "terminal": terminal,
        "user": {"uid": 0, "gid": 0},
        "args": list(args),
        "env": ["PATH=/bin", "TERM=xterm"],
        "cwd": "/",
        "capabilities": dict.fromkeys(("bounding", "effective", "permitted"), capabilities),
        "noNewPrivileges": True,
    }


@dataclass(slots=True)
class Workshop:
    """Makes bundles and containers with one runtime, under one monitor, and takes them all down again."""

    directory: Path
    rootfs: Path
    runtime: Runtime
    monitor: Monitor
    ids: list[ContainerId]
    log_rate: int = 0
    log_timeout_s: float = 10.0
    places: dict[ContainerId, Path] = field(default_factory=dict)  # of logs that lie elsewhere

    @property
    def logs(self) -> Path:
        return self.directory / "logs"

    def bundle(self, container_id: ContainerId, what: Json, memory: int | None = None) -> Path:
        path = self.directory / "bundles" / container_id
        path.mkdir(parents=True)
        resources: Json = {"memory": {"limit": memory}} if memory else {}
        spec = {
            "ociVersion": "1.0.2",
            "process": what,
            "root": {"path": str(self.rootfs), "readonly": True},
            "mounts": [
                {"destination": "/proc", "type": "proc", "source": "proc"},
                {
                    "destination": "/dev",
                    "type": "tmpfs",
                    "source": "tmpfs",
                    "options": ["nosuid", "strictatime", "mode=755", "size=65536k"],
                },
                {
                    "destination": "/dev/pts",
                    "type": "devpts",
                    "source": "devpts",
                    "options": ["nosuid", "noexec", "newinstance", "ptmxmode=0666", "mode=0620"],
                },
                {"destination": "/tmp", "type": "tmpfs", "source": "tmpfs"},
            ],
            "linux": {
                "namespaces": [{"type": kind} for kind in ("pid", "ipc", "uts", "mount", "network")],
                "cgroupsPath": f"{CGROUP_PARENT}/{container_id}",
                "resources": resources,
            },
        }
        (path / "config.json").write_text(json.dumps(spec))
        return path

    async def create(
        self,
        *args: str,
        terminal: bool = False,
        stdin: bool = False,
        stdin_once: bool = False,
        memory: int | None = None,
        log_size_max: int = 0,
        place: Path | None = None,
    ) -> ContainerId:
        container_id = new_container_id()
        if place is not None:
            self.places[container_id] = place
        self.logs.mkdir(exist_ok=True)
        await self.create_from(
            self.bundle(container_id, process(*args, terminal=terminal), memory),
            container_id,
            terminal=terminal,
            stdin=stdin,
            stdin_once=stdin_once,
            log_size_max=log_size_max,
        )
        return container_id

    async def create_from(
        self,
        bundle: Path,
        container_id: ContainerId,
        *,
        terminal: bool = False,
        stdin: bool = False,
        stdin_once: bool = False,
        log_size_max: int = 0,
    ) -> None:
        self.ids.append(container_id)
        await self.monitor.create(
            CreateContainer(
                id=container_id,
                runtime=self.runtime,
                bundle=bundle,
                log_path=self.log_path(container_id),
                log_device=self._device(container_id),
                log_rate=self.log_rate,
                log_timeout_s=self.log_timeout_s,
                terminal=terminal,
                stdin=stdin,
                stdin_once=stdin_once,
                log_size_max=log_size_max,
                timeout_s=60,
            )
        )

    async def run(self, *args: str, **options: object) -> ContainerId:
        container_id = await self.create(*args, **options)  # type: ignore[arg-type]
        await self.monitor.start(container_id, self.runtime)
        return container_id

    def log_path(self, container_id: ContainerId) -> Path:
        return self.places.get(container_id, self.logs) / f"{container_id}.log"

    def _device(self, container_id: ContainerId) -> int:
        directory = self.log_path(container_id).parent
        return directory.stat().st_dev if directory.is_dir() else 0

    def log_text(self, container_id: ContainerId, stream: str = "stdout") -> bytes:
        """The log as a reader joins it: tags and times taken off, P pieces joined."""
        return joined(self.log_path(container_id).read_bytes(), stream)

    async def exit_of(self, container_id: ContainerId) -> Exited:
        """The container's exit; other containers' exits on the way are dropped."""
        async with asyncio.timeout(60):
            async for exited in self.monitor.exits():
                if exited.id == container_id:
                    return exited
        raise AssertionError("exits ended")

    async def clean_up(self) -> None:
        await asyncio.gather(*(self.runtime.delete(one, force=True) for one in self.ids))
        async with asyncio.timeout(60):
            while any(record.state != "exited" for record in await self.monitor.list()):
                await asyncio.sleep(0.02)
        for container_id in self.ids:
            await self.monitor.forget(container_id)


def joined(log: bytes, stream: str = "stdout") -> bytes:
    text = []
    assert log.endswith(b"\n") or not log
    for line in log.split(b"\n")[:-1]:
        _, name, tag, content = line.split(b" ", 3)
        if name == stream.encode():
            text += [content, b"\n"] if tag == b"F" else [content]
    return b"".join(text)


@pytest.fixture(params=(*RUNTIMES, INSIDE))
def runtime(request: pytest.FixtureRequest) -> Iterator[Runtime]:
    with tempfile.TemporaryDirectory(dir="/run", prefix="pw-rt-") as root:
        yield runtime_of(request.param, Path(root))
        assert [path.name for path in Path(root).iterdir() if not path.name.startswith(".")] == []


def runtime_of(name: str, root: Path) -> Runtime:
    if name == INSIDE:
        return OwnRuntime(CliRuntime.find(name, program(OWN), root))
    return CliRuntime.find(name, program(name), root)


async def monitor_pid(directory: Path) -> int:
    """The process that holds the lock of this directory's monitor, once one does that has not ended."""
    found: list[int] = []

    def look() -> bool:
        holder = lock_holder(directory / "monitor.lock")
        found[:] = [] if holder is None or has_ended(holder) else [holder]
        return bool(found)

    await until(look, f"a monitor serves {directory}")
    return found[0]


def log_writers(pid: int) -> list[int]:
    """The log writers of a monitor: they live as long as it does."""
    return [one for one in children(pid) if comm(one) == "podwright-logs"]


def holdings(pid: Pid) -> Counter[str]:
    """What the descriptors of a process are of, numbers taken off: ``anon_inode:[pidfd]``."""
    return Counter(re.sub(r"\d+", "N", target) for target in descriptors(pid).values())


def keepers(pid: int) -> list[int]:
    """The keeper that a monitor has forked, or nothing."""
    return [one for one in children(pid) if comm(one) == "podwright-keeper"[:15]]


def zygotes(pid: int) -> list[int]:
    """The zygote that a monitor has started, or nothing."""
    return [one for one in children(pid) if comm(one) == "podwright-zygote"[:15]]


def beyond_writers(pid: int) -> Counter[str]:
    """The same of a monitor, but for what it has of log writers, keeper and zygote, and its other children.

    Of a writer it has a socket and a journal, of those who make directories and of the zygote the socket, and
    of the keeper socket and pidfd.
    """
    writers, kept, warm = log_writers(pid), keepers(pid), zygotes(pid)
    helpers = sum("directories" in command_line(one) for one in writers)
    others = Counter(
        f"child {command_line(one)}" for one in children(pid) if one not in (*writers, *kept, *warm)
    )
    own = Counter(
        {SOCKET: len(writers) + len(kept) + len(warm), JOURNAL: len(writers) - helpers, PIDFD: len(kept)}
    )
    return others + holdings(pid) - own


@pytest.fixture
async def workshop(rootfs: Path, runtime: Runtime) -> AsyncIterator[Workshop]:
    with tempfile.TemporaryDirectory(dir="/run", prefix="pw-mon-") as name:
        directory = Path(name)
        mine = holdings("self")
        monitor = await Monitor.connect(directory)
        shop = Workshop(directory, rootfs, runtime, monitor, [])
        pid = await monitor_pid(directory)
        its = beyond_writers(pid)
        try:
            yield shop
        finally:
            await shop.clean_up()
            complaints = (directory / "monitor.log").read_text()
            if await monitor_pid(directory) == pid:  # a test may have ended the first
                await until_no_more(lambda: beyond_writers(pid), its)
            await shop.monitor.shutdown()
            remove_cgroups()
        assert "Traceback" not in complaints, complaints
        assert list((directory / "scratch").iterdir()) == []
        assert list((directory / "exits").iterdir()) == []
        await until_no_more(lambda: holdings("self"), mine)


def remove_cgroups() -> None:
    """The runtimes must have removed theirs; the parent is ours."""
    for directory in cgroup_directories():
        assert [path for path in directory.iterdir() if path.is_dir()] == []
        directory.rmdir()


def end(pid: int) -> None:
    """Kill a process that a test started."""
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, signal.SIGKILL)
