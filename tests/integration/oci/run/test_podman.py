"""podman and conmon, as Debian has them, with each runtime: what they do with others they do with ours."""

import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from host.cgroups import Hierarchy
from tests.harness.podman import BOUND_S, Podman
from tests.harness.runs import scratch
from tests.harness.runtimes import RUNTIMES, program

pytestmark = pytest.mark.root


@pytest.fixture
def root(rootfs: Path) -> Iterator[Path]:
    """A root file system that users other than root may enter."""
    with tempfile.TemporaryDirectory(dir=scratch(), prefix="root-") as place:
        copy = Path(place) / "root"
        shutil.copytree(rootfs, copy, symlinks=True, ignore=shutil.ignore_patterns("dev"))
        (copy / "dev").mkdir()
        copy.chmod(0o755)
        yield copy


@pytest.fixture(params=RUNTIMES)
def podman(request: pytest.FixtureRequest) -> Iterator[Podman]:
    with tempfile.TemporaryDirectory(dir=scratch(), prefix="podman-", ignore_cleanup_errors=True) as place:
        made = Podman.below(Path(place), program(request.param))
        yield made
        made.remove()
    Hierarchy.detect().remove("/libpod_parent")


def wait_for(podman: Podman, name: str, status: str) -> None:
    deadline = time.monotonic() + BOUND_S
    while podman("inspect", name, "--format", "{{.State.Status}}").strip() != status:
        assert time.monotonic() < deadline
        time.sleep(0.05)


def test_a_container_lives_and_goes(podman: Podman, root: Path) -> None:
    words = ("--network", "none", "--rootfs", str(root))
    podman("run", "--detach", "--name", "one", *words, "/bin/sleep", "1000")
    assert podman("exec", "one", "/bin/echo", "from an exec") == "from an exec\n"
    assert podman("exec", "--interactive", "one", "/bin/cat", stdin="by way of stdin") == "by way of stdin"
    podman("exec", "one", "/bin/sh", "-c", "exit 7", code=7)
    podman("pause", "one")
    wait_for(podman, "one", "paused")
    podman("unpause", "one")
    wait_for(podman, "one", "running")
    podman("update", "--memory", "64m", "one")
    limits = {
        path.read_text().strip()
        for path in (
            *Path("/sys/fs/cgroup").glob("memory/libpod_parent/libpod-*/memory.limit_in_bytes"),
            *Path("/sys/fs/cgroup").glob("libpod_parent/libpod-*/memory.max"),
        )
    }
    assert limits == {str(64 << 20)}
    assert "one" in podman("stats", "--no-stream", "one")
    assert "sleep" in podman("top", "one")
    podman("kill", "one")
    assert podman("wait", "one").strip() == "137"
    podman("rm", "one")
    assert podman("ps", "--all", "--quiet") == ""


@pytest.mark.parametrize(("script", "code"), [("exit 7", 7), ("exec /bin/nothing-of-this-name", 127)])
def test_how_it_ended_is_told(podman: Podman, root: Path, script: str, code: int) -> None:
    words = ("--rm", "--network", "none", "--rootfs", str(root))
    podman("run", *words, "/bin/sh", "-c", script, code=code)


def test_a_program_that_is_not_there(podman: Podman, root: Path) -> None:
    words = ("--rm", "--network", "none", "--rootfs", str(root))
    podman("run", *words, "/bin/nothing-of-this-name", code=127)
    podman("run", *words, "/etc", code=126)


def test_health_is_checked(podman: Podman, root: Path) -> None:
    words = ("--network", "none", "--health-cmd", "/bin/true", "--health-interval", "disable")
    podman("run", "--detach", "--name", "one", *words, "--rootfs", str(root), "/bin/sleep", "1000")
    podman("healthcheck", "run", "one")


def test_output_and_input_are_attached(podman: Podman, root: Path) -> None:
    words = ("--interactive", "--network", "none", "--rootfs", str(root))
    assert podman("run", "--rm", *words, "/bin/cat", stdin="one line\n") == "one line\n"
    podman("create", "--name", "one", *words, "/bin/sh", "-c", "read line; echo got $line")
    assert podman("start", "--attach", "--interactive", "one", stdin="it\n") == "got it\n"


def test_a_terminal(podman: Podman, root: Path) -> None:
    """conmon listens on a console socket, and gets the terminal by it."""
    words = ("--rm", "--tty", "--network", "none", "--rootfs", str(root))
    assert podman("run", *words, "/bin/tty").strip() == "/dev/pts/0"


def test_what_is_asked_of_a_container_is_there(podman: Podman, root: Path, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("of a volume\n")
    who = ("--user", "1000:1001", "--env", "ASKED=for", "--workdir", "/tmp", "--hostname", "asked")
    options = (*who, "--volume", f"{tmp_path}:/volume:ro", "--read-only")
    tmp_path.chmod(0o755)
    script = "id -u; id -g; echo $ASKED; cat /proc/sys/kernel/hostname /volume/file"
    words = ("--rm", "--network", "none", *options, "--rootfs", str(root))
    said = podman("run", *words, "/bin/sh", "-c", script)
    assert said.split("\n")[:-1] == ["1000", "1001", "for", "asked", "of a volume"]


def test_nothing_is_left_of_a_run(podman: Podman, root: Path) -> None:
    before = processes()
    words = ("--rm", "--network", "none", "--rootfs", str(root))
    podman("run", *words, "/bin/true")
    left = [path for tree in Hierarchy.detect().trees for path in tree.root.glob("libpod_parent/libpod-*")]
    assert left == []
    deadline = time.monotonic() + BOUND_S
    while processes() - before:
        assert time.monotonic() < deadline
        time.sleep(0.05)


def processes() -> set[str]:
    """The command lines of conmon and of containers."""
    listed = subprocess.run(["ps", "-eo", "args"], capture_output=True, text=True, check=True).stdout
    return {line for line in listed.splitlines() if "conmon" in line or "/bin/true" in line}
