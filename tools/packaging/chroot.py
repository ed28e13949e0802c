"""``make deb SUITE=…``: a package for another release of Debian, built in a root file system of that release.

    python3 -m tools.packaging.chroot SUITE DIRECTORY

The root file system and the wheels for its Python are made once and cached; a build writes into an overlay of
its own, and nothing of it stays but the package. Needs root and mmdebstrap.
"""

import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path

from tests.harness.cache import cached, key_of
from tools.packaging.environment import FETCH, PINS, InstallFailed
from tools.packaging.install import source_epoch
from tools.packaging.layout import CHECKOUT

TIMEOUT_S = 1800
BUILD_PACKAGES = ("python3", "python3-pip", "dpkg-dev", "ca-certificates")
# In the new mount namespace: an overlay that ends with it, and what programs expect to find.
PREPARE = """\
set -eu
lower=$1 work=$2 shared=$3 source=$4
shift 4
mount -t tmpfs tmpfs "$work"
mkdir "$work/upper" "$work/work" "$work/root"
mount -t overlay overlay -o "lowerdir=$lower,upperdir=$work/upper,workdir=$work/work" "$work/root"
cd "$work/root"
mount -t proc proc proc
mount --rbind /dev dev
mkdir -p src shared run/lock
mount --bind "$source" src
mount -o remount,bind,ro src
mount --bind "$shared" shared
cp -L /etc/resolv.conf /etc/hosts etc/
if [ -d /etc/ssl/certs ] && [ -d etc/ssl/certs ]; then mount --rbind /etc/ssl/certs etc/ssl/certs; fi
exec chroot . env -C /src "$@"
"""


def debian_root(suite: str, packages: Sequence[str]) -> Path:
    """The cached root file system of ``suite`` with ``packages``; never written to afterwards.

    Raises:
        InstallFailed: mmdebstrap is missing or fails.
    """

    def make(target: Path) -> None:
        include = ",".join(packages)
        run(["mmdebstrap", "--quiet", "--variant=minbase", f"--include={include}", suite, str(target)])

    return cached("debian-root", f"{suite}-{key_of(*packages)}", make)


def run_inside(root: Path, shared: Path, argv: Sequence[str], env: Mapping[str, str] | None = None) -> None:
    """Run ``argv`` on an overlay over ``root``, in the checkout at /src; ``shared`` is there as /shared.

    Raises:
        InstallFailed: it fails.
    """
    with tempfile.TemporaryDirectory(prefix="podwright-chroot-") as work:
        namespaces = ["unshare", "--mount", "--propagation", "private", "--pid", "--fork", "--kill-child"]
        prepare = ["sh", "-c", PREPARE, "sh", str(root), work, str(shared), str(CHECKOUT)]
        run([*namespaces, *prepare, *argv], {**_inherited(), **(env or {})})


def _inherited() -> Mapping[str, str]:
    """What a program inside may know of the environment: where pip and apt get things from."""
    sources = {name: value for name, value in os.environ.items() if re.match(r"PIP_|.*_proxy$", name, re.I)}
    path = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
    return {**sources, "PATH": path, "HOME": "/root", "LC_ALL": "C.UTF-8"}


def run(argv: Sequence[str], env: Mapping[str, str] | None = None) -> None:
    """Run a program whose complaints are for the user to see.

    Raises:
        InstallFailed: it is missing or fails; with the end of its standard output.
    """
    try:
        done = subprocess.run(
            argv,
            env=env,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            text=True,
            timeout=TIMEOUT_S,
            check=False,
        )
    except FileNotFoundError as error:
        raise InstallFailed(f"there is no {argv[0]}: apt install {argv[0]}") from error
    except subprocess.TimeoutExpired as error:
        raise InstallFailed(f"{argv[0]}: not finished after {TIMEOUT_S} s") from error
    if done.returncode:
        raise InstallFailed(f"{argv[0]} failed with exit code {done.returncode}\n{done.stdout[-3000:]}")


def wheels(suite: str, root: Path) -> Path:
    """The cached wheels of all dependencies, and of what builds the project, for the Python of ``root``."""

    def make(target: Path) -> None:
        pip = ["python3", "-m", "pip", "--quiet", "--disable-pip-version-check"]
        fetch = [word.replace(str(CHECKOUT), "/src") for word in FETCH]
        run_inside(root, target, [*pip, *fetch, "--dest", "/shared"], {"PIP_FIND_LINKS": ""})

    return cached("wheels", f"{suite}-{key_of(root.name, (CHECKOUT / PINS).read_bytes())}", make)


def build(suite: str, directory: Path) -> None:
    """Build the package for ``suite`` into ``directory``, without a network once everything is cached.

    Raises:
        InstallFailed: a step fails; its words are on standard error.
    """
    root = debian_root(suite, BUILD_PACKAGES)
    directory.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="podwright-shared-") as temporary:
        shared = Path(temporary)
        shutil.copytree(wheels(suite, root), shared / "wheels")
        env = {
            "PIP_NO_INDEX": "1",
            "PIP_FIND_LINKS": "/shared/wheels",
            "SOURCE_DATE_EPOCH": str(source_epoch()),
        }
        run_inside(root, shared, ["python3", "-m", "tools.packaging.deb", "/shared"], env)
        for package in shared.glob("*.deb"):
            print(shutil.move(package, directory / package.name))


def main() -> int:
    """Build for the suite and into the directory that the command line names."""
    if len(sys.argv) != 3:
        sys.exit("usage: python3 -m tools.packaging.chroot SUITE DIRECTORY")
    if os.geteuid() != 0:
        sys.exit("this needs root: it makes a root file system of its own")
    try:
        build(sys.argv[1], Path(sys.argv[2]).absolute())
    except InstallFailed as error:
        sys.stderr.write(f"{error}\n")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
