"""Bundles for podwright-oci, and the program itself."""

import json
import secrets
import subprocess
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from tests.harness import processes
from tests.harness.patience import patient
from tests.harness.runtimes import OWN, program
from tests.integration.oci.conftest import rootfs  # noqa: F401 - a fixture

Json = dict[str, Any]
CGROUP_PARENT = f"/podwright-test-run-{secrets.token_hex(4)}"
NAMESPACES = ("pid", "ipc", "uts", "mount", "network")


def cgroup_directories(path: str) -> list[Path]:
    root = Path("/sys/fs/cgroup")
    return [one for one in (root / path[1:], *root.glob(f"*{path}")) if one.is_dir()]


@dataclass(slots=True)
class Bundles:
    """Makes bundles, runs commands of podwright-oci on them, and removes all that it made."""

    directory: Path
    rootfs: Path
    program: str
    ids: list[str] = field(default_factory=list)

    @property
    def root(self) -> Path:
        return self.directory / "state"

    def document(self, *args: str, namespaces: tuple[str, ...] = NAMESPACES) -> Json:
        capabilities = ["CAP_KILL", "CAP_CHOWN", "CAP_DAC_OVERRIDE"]
        return {
            "ociVersion": "1.2.0",
            "process": {
                "user": {"uid": 0, "gid": 0},
                "args": list(args),
                "env": ["PATH=/bin"],
                "cwd": "/",
                "capabilities": dict.fromkeys(("bounding", "effective", "permitted"), capabilities),
                "noNewPrivileges": True,
            },
            "root": {"path": str(self.rootfs), "readonly": True},
            "mounts": [
                {"destination": "/proc", "type": "proc", "source": "proc"},
                {
                    "destination": "/dev",
                    "type": "tmpfs",
                    "source": "tmpfs",
                    "options": ["nosuid", "mode=755"],
                },
                {
                    "destination": "/dev/pts",
                    "type": "devpts",
                    "source": "devpts",
                    "options": ["nosuid", "noexec", "newinstance", "ptmxmode=0666", "mode=0620"],
                },
                {"destination": "/tmp", "type": "tmpfs", "source": "tmpfs", "options": ["mode=1777"]},
            ],
            "linux": {"namespaces": [{"type": kind} for kind in namespaces]},
        }

    def make(self, document: Json) -> str:
        """A bundle with a cgroup of its own; the container's id."""
        name = f"c{len(self.ids)}"
        self.ids.append(name)
        document["linux"].setdefault("cgroupsPath", f"{CGROUP_PARENT}/{name}")
        (self.directory / name).mkdir()
        (self.directory / name / "config.json").write_text(json.dumps(document))
        return name

    def bundle(self, name: str) -> str:
        return str(self.directory / name)

    def call(
        self, *words: str, stdin: str = "", pass_fds: tuple[int, ...] = ()
    ) -> subprocess.CompletedProcess[str]:
        """Run a command; its output goes to files, which a container may keep open."""
        with tempfile.TemporaryFile("w+") as out, tempfile.TemporaryFile("w+") as err:
            done = subprocess.run(
                [self.program, "--root", str(self.root), *words],
                input=stdin,
                stdout=out,
                stderr=err,
                text=True,
                timeout=patient(60),
                pass_fds=pass_fds,
                check=False,
            )
            out.seek(0)
            err.seek(0)
            return subprocess.CompletedProcess(done.args, done.returncode, out.read(), err.read())

    def ok(self, *words: str, stdin: str = "", pass_fds: tuple[int, ...] = ()) -> str:
        done = self.call(*words, stdin=stdin, pass_fds=pass_fds)
        assert done.returncode == 0, done.stderr
        return done.stdout

    def run(self, document: Json, *words: str) -> subprocess.CompletedProcess[str]:
        name = self.make(document)
        return self.call("run", "--bundle", self.bundle(name), *words, name)

    def output(self, document: Json, *words: str) -> str:
        done = self.run(document, *words)
        assert done.returncode == 0, done.stderr + done.stdout
        return done.stdout

    def create(self, document: Json, *words: str) -> str:
        name = self.make(document)
        self.ok("create", "--bundle", self.bundle(name), *words, name)
        return name

    def started(self, document: Json) -> str:
        name = self.create(document)
        self.ok("start", name)
        return name

    def state(self, name: str) -> Json:
        return dict(json.loads(self.ok("state", name)))

    def pid(self, name: str) -> int:
        return int(self.state(name)["pid"])

    def clean_up(self) -> None:
        for name in self.ids:
            self.call("delete", "--force", name)
        left = (
            [path.name for path in self.root.iterdir() if not path.name.startswith(".")]
            if self.root.exists()
            else []
        )
        assert left == []
        for directory in cgroup_directories(CGROUP_PARENT):
            assert [path for path in directory.iterdir() if path.is_dir()] == []
            directory.rmdir()


@pytest.fixture
def bundles(rootfs: Path, tmp_path: Path) -> Iterator[Bundles]:  # noqa: F811 - it is that fixture
    tmp_path.chmod(0o755)
    made = Bundles(tmp_path, rootfs, program(OWN))
    before = Path("/proc/self/mountinfo").read_text()
    yield made
    made.clean_up()
    assert Path("/proc/self/mountinfo").read_text() == before


def namespace_of(pid: int, name: str) -> str:
    return str(processes.link(pid, f"ns/{name}"))
