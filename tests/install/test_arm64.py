"""The package for arm64, built on this machine, as far as an emulated processor can show it."""

import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from cri.version import VERSION
from tests.harness.cache import cached
from tests.harness.debian import find, unpacked
from tools.packaging.chroot import run
from tools.packaging.deb import build

pytestmark = pytest.mark.root

TIMEOUT_S = 300
# The root directory is extracted and not configured: scripts of packages would need a kernel that runs them.
PACKAGES = "python3,libstdc++6,libgcc-s1"
EMULATOR = "/emulator"
MODULES = "import grpc, google.protobuf, aiohttp, zstandard, isal, yaml, websockets; print(grpc.__name__)"


def _suite() -> str:
    release = dict(line.split("=", 1) for line in Path("/etc/os-release").read_text().splitlines() if line)
    return release["VERSION_CODENAME"].strip('"')


def _extracted(target: Path) -> None:
    options = ["--variant=extract", "--architectures=arm64", f"--include={PACKAGES}"]
    run(["mmdebstrap", "--quiet", *options, _suite(), str(target / "tree")])


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A root directory of arm64 with the package unpacked in it, and an emulator at hand."""
    package = build(tmp_path_factory.mktemp("deb"), "arm64")
    place = tmp_path_factory.mktemp("arm64") / "root"
    emulator = find(unpacked(["qemu-user-static"])[0], "qemu-aarch64-static")
    run(["cp", "-a", str(cached("arm64-root", _suite(), _extracted) / "tree"), str(place)])
    run(["dpkg-deb", "-x", str(package), str(place)])
    run(["cp", str(emulator), f"{place}{EMULATOR}"])
    run(["mkdir", "-p", f"{place}/dev", f"{place}/proc"])
    yield place
    run(["rm", "-rf", str(place)])


def _python(root: Path, *arguments: str) -> str:
    """What the environment's interpreter prints, as its launchers start it."""
    python = "/usr/lib/podwright/bin/python3"
    script = 'mount --rbind /dev "$1/dev" && mount -t proc proc "$1/proc" && exec chroot "$@"'
    inside = ["unshare", "--mount", "--propagation", "private", "sh", "-c", script, "sh", str(root)]
    line = [*inside, EMULATOR, "-0", python, str(Path("/usr/bin") / _interpreter(root)), "-I", *arguments]
    return subprocess.run(line, capture_output=True, text=True, timeout=TIMEOUT_S, check=True).stdout


def _interpreter(root: Path) -> str:
    return (root / "usr/lib/podwright/bin/python3").readlink().name


def test_the_program_runs_on_arm64(root: Path) -> None:
    assert _python(root, "-c", "import platform; print(platform.machine())") == "aarch64\n"
    assert _python(root, "/usr/bin/podwright", "version") == f"podwright {VERSION}\n"


def test_every_compiled_module_is_of_that_processor_and_loads(root: Path) -> None:
    modules = list((root / "usr/lib/podwright").rglob("*.so"))
    # ELF's e_machine: 183 is AArch64.
    assert {module.read_bytes()[18:20] for module in modules} == {(183).to_bytes(2, "little")}
    assert _python(root, "-c", MODULES) == "grpc\n"
