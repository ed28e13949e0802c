"""The guest's disk, kernel and emulator: made once, from Debian packages, wheels and test tools.

Stages, each kept in the cache under a key of what it is made from:

    node-emulator   QEMU, unpacked; run by its own dynamic loader, so it needs neither installation nor chroot
    node-tree       a Debian root directory; also where the Debian package is built (tests/node/chroot.py)
    node-wheels     what pyproject.toml asks for, for the guest's Python
    node-image      root.img, kernel, initramfs: the tree, a development venv, the tools, and tests/node/guest
"""

import lzma
import platform
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from tests.critest.images import registry_directory
from tests.critest.toolchain import ensure_tool
from tests.harness.cache import PROJECT, cached, key_of
from tests.harness.registry import Registry
from tests.node.chroot import Chroot
from tests.node.initramfs import Member, archive

SUITE = "trixie"
EMULATOR_PACKAGES = ("qemu-system-x86", "qemu-utils")
GUEST_PACKAGES = (
    "systemd,systemd-sysv,dbus,udev,kmod,procps,psmisc,util-linux,mount,apparmor,sudo",
    "iproute2,nftables,iptables,conntrack,ethtool,socat,curl,gpgv,containernetworking-plugins",
    "crun,runc,criu,busybox-static,docker-registry,linux-image-cloud-amd64",
    "python3,python3-venv,ca-certificates,git,tmux,make,xz-utils,zstd,strace,less,groff-base",
)
PYTHON = "3.13"
# The newest interfaces that this Debian's glibc offers, and those that wheels are commonly built for.
WHEEL_PLATFORMS = ("manylinux_2_28", "manylinux_2_17", "manylinux2014")
INSTALLERS = ("editables",)  # hatchling asks for it when it installs a checkout
CHECKOUT = Path("/srv/podwright")
PREFETCHED = Path("/opt/podwright-tests")
TOOLS = ("crictl", "critest", "ginkgo", "kubelet", "health")
REGISTRY_PORT = 5000  # podwright-node-registry.service
DISK_SIZE = "8G"
FILES = Path(__file__).with_name("guest")
BUILD_TIMEOUT_S = 1800


class ImageFailed(Exception):
    """A stage cannot be made; the message carries the words of the program that failed."""


@dataclass(frozen=True, slots=True)
class Image:
    """What a boot needs; the disk is never written to, boots lay their own files over it."""

    disk: Path
    kernel: Path
    initramfs: Path

    @classmethod
    def inside(cls, directory: Path) -> "Image":
        return cls(directory / "root.img", directory / "vmlinuz", directory / "initramfs")


def emulator() -> Path:
    """The directory with QEMU and all that it links to."""
    return _tree("node-emulator", "extract", EMULATOR_PACKAGES)


def guest_tree() -> Path:
    """The guest's root directory without anything of the project: not to be changed."""
    return _tree("node-tree", "minbase", GUEST_PACKAGES)


def _tree(kind: str, variant: str, packages: Sequence[str]) -> Path:
    key = key_of(SUITE, variant, *packages)
    return cached(kind, key, lambda target: _bootstrap(target / "tree", variant, packages)) / "tree"


def _bootstrap(target: Path, variant: str, packages: Sequence[str]) -> None:
    if shutil.which("mmdebstrap") is None:
        raise ImageFailed("mmdebstrap is missing: run tools/setup, or install Debian's package of that name")
    print(f"fetching Debian {SUITE} with {packages[0]} and more: once, takes a minute", flush=True)
    run(["mmdebstrap", f"--variant={variant}", f"--include={','.join(packages)}", SUITE, str(target)])


def wheels() -> Path:
    """A directory with a wheel of everything that building, running and testing the project asks for."""
    inputs = [(PROJECT / name).read_bytes() for name in ("pyproject.toml", "constraints.txt")]
    return cached("node-wheels", key_of(PYTHON, *WHEEL_PLATFORMS, *INSTALLERS, *inputs), _download_wheels)


def _download_wheels(target: Path) -> None:
    print(f"fetching wheels for Python {PYTHON}: once for each change of pyproject.toml", flush=True)
    project = tomllib.loads((PROJECT / "pyproject.toml").read_text())
    wanted = [
        *project["build-system"]["requires"],
        *INSTALLERS,
        *project["project"]["dependencies"],
        *project["project"]["optional-dependencies"]["dev"],
    ]
    pip = [sys.executable, "-m", "pip", "download", "--quiet", "--disable-pip-version-check"]
    foreign = ["--only-binary=:all:", f"--python-version={PYTHON}", "--implementation=cp"]
    platforms = [f"--platform={name}_{platform.machine()}" for name in WHEEL_PLATFORMS]
    run([*pip, *foreign, *platforms, "-c", "constraints.txt", "-d", str(target), *wanted])


def image() -> Image:
    """The image of the present pyproject.toml, tools and guest files; minutes the first time."""
    tree, wheel_house = guest_tree(), wheels()
    tools = [ensure_tool(name) for name in TOOLS]
    images = registry_directory()
    inputs = [path.read_bytes() for path in sorted(FILES.rglob("*")) if path.is_file()]
    key = key_of(
        str(tree), str(wheel_house), str(images), *map(str, tools), Path(__file__).read_bytes(), *inputs
    )
    return Image.inside(
        cached("node-image", key, lambda target: _assemble(target, tree, wheel_house, tools, images), keep=2)
    )


def _assemble(target: Path, tree: Path, wheel_house: Path, tools: Sequence[Path], images: Path) -> None:
    print("assembling the guest's disk: once for each change of what is on it", flush=True)
    (kernel,) = (tree / "boot").glob("vmlinuz-*")
    shutil.copy(kernel, target / "vmlinuz")
    (target / "initramfs").write_bytes(initramfs(tree))
    with Chroot(tree, target) as root:
        root.add(FILES, Path("/"))
        for tool in tools:
            root.add(tool, PREFETCHED / "tools" / tool.name)
        root.add(images, PREFETCHED / "images/critest")
        names = Registry(images, readonly=True, port=REGISTRY_PORT).registries_conf()
        root.write(Path("/etc/containers/registries.conf"), names)
        for name in ("pyproject.toml", "constraints.txt", "README.md", "LICENSE"):
            root.add(PROJECT / name, CHECKOUT / name)
        root.run("/usr/lib/podwright-node/furnish", binds={wheel_house: Path("/mnt")})
        root.make_disk(target / "root.img", DISK_SIZE)


def initramfs(tree: Path) -> bytes:
    """busybox, the driver of the disk, and an init that mounts it; Debian's own takes minutes, emulated."""
    (driver,) = (tree / "usr/lib/modules").glob("*/kernel/drivers/block/virtio_blk.ko.xz")
    return archive(
        [
            *(Member(name) for name in ("bin", "dev", "proc", "mnt")),
            Member("bin/busybox", (tree / "usr/bin/busybox").read_bytes(), 0o755),
            Member("virtio_blk.ko", lzma.decompress(driver.read_bytes()), 0o644),
            Member("init", Path(__file__).with_name("init.sh").read_bytes(), 0o755),
        ]
    )


def run(argv: Sequence[str]) -> None:
    """
    Raises:
        ImageFailed: the program failed or took too long.
    """
    try:
        done = subprocess.run(
            argv, cwd=PROJECT, capture_output=True, text=True, timeout=BUILD_TIMEOUT_S, check=False
        )
    except subprocess.TimeoutExpired as error:
        raise ImageFailed(f"{argv[0]}: not finished after {BUILD_TIMEOUT_S} s") from error
    if done.returncode:
        words = (done.stdout + done.stderr)[-2000:].strip()
        raise ImageFailed(f"{' '.join(argv)}: exit code {done.returncode}\n{words}")
