"""``make deb``: a Debian package of this checkout, for the Debian that this runs on.

    python3 -m tools.packaging.deb DIRECTORY [ARCHITECTURE]

The package has its own virtual environment with compiled modules, so it is bound to one minor version of
Python and one architecture; tools.packaging.chroot builds it for other releases of Debian. For another
architecture than this machine's its wheels are taken: nothing is compiled. Needs pip and dpkg-dev.
"""

import gzip
import os
import platform
import re
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from email.utils import format_datetime
from pathlib import Path

from cri.version import VERSION
from tools.packaging.contents import stage, walk
from tools.packaging.environment import InstallFailed
from tools.packaging.install import source_epoch
from tools.packaging.layout import CHECKOUT, Layout, below

TEMPLATES = CHECKOUT / "tools/packaging/debian"
MAINTAINER = "Podwright maintainers <maintainers@podwright.example>"
STEP_TIMEOUT_S = 1200
CONTROL = """\
Package: podwright
Version: {version}
Section: admin
Priority: optional
Architecture: {architecture}
Maintainer: {maintainer}
Installed-Size: {installed_kib}
Depends: {depends}
Recommends: {recommends}
Suggests: {suggests}
Description: Kubernetes container runtime (CRI v1)
 Podwright runs the pods of the kubelet: it keeps images, makes namespaces and
 networks, and drives an OCI runtime such as crun. It reads CRI-O's
 configuration keys.
 .
 Containers are watched by a process of their own, so that the daemon can be
 restarted or upgraded without ending any.
"""
CHANGELOG = """\
podwright ({version}) unstable; urgency=medium

  * See CHANGELOG.md.

 -- {maintainer}  {date}
"""
PROCESSORS = {"amd64": "x86_64", "arm64": "aarch64"}
# Libraries by the beginning of their name, and the packages of Debian 12 and 13 that have them.
LIBRARIES = {
    "libc.so": "libc6",
    "libm.so": "libc6",
    "libdl.so": "libc6",
    "librt.so": "libc6",
    "libpthread.so": "libc6",
    "ld-linux": "libc6",
    "libgcc_s.so": "libgcc-s1",
    "libstdc++.so": "libstdc++6",
}
RECOMMENDS = ("apparmor", "containernetworking-plugins", "crun")
SUGGESTS = ("cri-tools", "kubelet")


def build(directory: Path, architecture: str = "") -> Path:
    """Build the package into ``directory`` and return its path; for this machine, or another architecture.

    Raises:
        InstallFailed: with the words of what failed.
    """
    layout, epoch = Layout.parse("/usr"), source_epoch()
    version = VERSION + release_suffix(platform.freedesktop_os_release())
    native = _run(["dpkg", "--print-architecture"]).strip()
    architecture = architecture or native
    foreign = "" if architecture == native else processor_of(architecture)
    target = directory / f"podwright_{version}_{architecture}.deb"
    with tempfile.TemporaryDirectory(prefix="podwright-deb-") as temporary:
        tree = Path(temporary) / "tree"
        tree.mkdir()
        stage(tree, layout, epoch, foreign)
        modules = sorted(below(tree, layout.environment).rglob("*.so"))
        if not foreign:  # binutils of this machine know no other; wheels are small enough as they are
            _run(["strip", "--strip-unneeded", *map(str, modules)])
        _furnish(tree, layout, version, epoch)
        control = CONTROL.format(
            version=version,
            architecture=architecture,
            maintainer=_maintainer(),
            installed_kib=_size_kib(tree),
            depends=", ".join(
                depends(sys.version_info[:2], libraries(modules) if foreign else _library_packages(modules))
            ),
            recommends=", ".join(RECOMMENDS),
            suggests=", ".join(SUGGESTS),
        )
        _write_control(tree, control, layout)
        directory.mkdir(parents=True, exist_ok=True)
        environment = {**os.environ, "SOURCE_DATE_EPOCH": str(epoch)}
        # Compressing harder makes it a seventh smaller and takes four times as long.
        command = ["dpkg-deb", "--root-owner-group", "-z1", "--build", str(tree), str(target)]
        _run(command, env=environment)
    return target


def release_suffix(release: Mapping[str, str]) -> str:
    """What sets apart the packages for two releases of Debian, and sorts them: ``+deb13``."""
    return f"+{release.get('ID', 'linux')[:3]}{release.get('VERSION_ID', '')}"


def depends(python: Sequence[int], libraries: Iterable[str]) -> list[str]:
    """What must be there: the very Python, what compiles seccomp filters, the bus by which systemd is
    asked for cgroups, the firewall's tool, what verifies simple signatures, what the modules are linked to.
    """
    major, minor = python
    return [
        f"python3 (>= {major}.{minor}~)",
        f"python3 (<< {major}.{minor + 1})",
        "libseccomp2",
        "default-dbus-system-bus | dbus-system-bus",
        "nftables",
        "gpgv",
        *sorted(libraries),
    ]


def processor_of(architecture: str) -> str:
    """What uname(2) calls a Debian architecture.

    Raises:
        InstallFailed: there are no wheels for it.
    """
    if architecture not in PROCESSORS:
        raise InstallFailed(f"ARCH can be {' or '.join(PROCESSORS)}, not {architecture}")
    return PROCESSORS[architecture]


def libraries(modules: Sequence[Path]) -> list[str]:
    """As _library_packages(), for modules of another architecture, whose packages dpkg does not know here."""
    command = ["readelf", "--dynamic", "--version-info", "--wide", *map(str, modules)]
    return sorted(needed_packages(_run(command)))


def needed_packages(readelf: str) -> set[str]:
    """The packages of the libraries that readelf(1) shows as needed, libc6 with the version it must have.

    Raises:
        InstallFailed: a library is in none that we know.
    """
    names = set(re.findall(r"\(NEEDED\).*\[(.+)\]", readelf))
    if strangers := sorted(name for name in names if not name.startswith(tuple(LIBRARIES))):
        raise InstallFailed(f"no package is known for {', '.join(strangers)}")
    packages = {package for begin, package in LIBRARIES.items() for name in names if name.startswith(begin)}
    minors = [int(minor) for minor in re.findall(r"Name: GLIBC_2\.(\d+)", readelf)]
    libc = f"libc6 (>= 2.{max(minors, default=17)})"
    return {libc if name == "libc6" else name for name in packages}


def maintainer_script(name: str) -> str:
    """postinst, prerm or postrm, with what may be gone or left out when they need it."""
    texts = {"@PURGE@\n": TEMPLATES.parent / "purge", "@CRICTL@\n": CHECKOUT / "docs/examples/crictl.yaml"}
    script = (TEMPLATES / name).read_text()
    for mark, path in texts.items():
        script = script.replace(mark, path.read_text())
    return script


def _furnish(tree: Path, layout: Layout, version: str, epoch: int) -> None:
    """What Debian's policy wants beside the installation itself."""
    python = layout.environment / "bin/python3"
    interpreter = below(tree, python).readlink()
    below(tree, python).unlink()
    below(tree, python).symlink_to(
        os.path.relpath(interpreter, python.parent)
    )  # links within /usr are relative
    docs = below(tree, layout.docdir)
    (docs / "LICENSE").unlink()  # it is said in copyright
    (docs / "copyright").write_text((TEMPLATES / "copyright").read_text())
    date = format_datetime(datetime.fromtimestamp(epoch, UTC))
    changelog = CHANGELOG.format(version=version, maintainer=_maintainer(), date=date)
    (docs / "changelog").write_text(changelog)
    overrides = below(tree, layout.prefix / "share/lintian/overrides/podwright")
    overrides.parent.mkdir(parents=True)
    overrides.write_text((TEMPLATES / "lintian-overrides").read_text())
    for path in (docs / "changelog", *below(tree, layout.mandir).rglob("*.[58]")):
        path.with_name(path.name + ".gz").write_bytes(gzip.compress(path.read_bytes(), mtime=0))
        path.unlink()


def _write_control(tree: Path, control: str, layout: Layout) -> None:
    files = [path for path, is_directory in walk(tree) if not is_directory]
    sums = _run(
        ["md5sum", *(str(path.relative_to("/")) for path in files if not below(tree, path).is_symlink())],
        cwd=tree,
    )
    meta = tree / "DEBIAN"
    meta.mkdir()
    (meta / "control").write_text(control)
    (meta / "md5sums").write_text(sums)
    configuration = [path for path in files if path.is_relative_to(layout.sysconfdir)]
    (meta / "conffiles").write_text("".join(f"{path}\n" for path in configuration))
    for name in ("postinst", "prerm", "postrm"):
        (meta / name).write_text(maintainer_script(name))
        (meta / name).chmod(0o755)


def _library_packages(modules: Sequence[Path]) -> list[str]:
    """The packages of the shared libraries that the compiled modules need (dpkg-shlibdeps)."""
    with tempfile.TemporaryDirectory() as temporary:
        (Path(temporary) / "debian").mkdir()
        (Path(temporary) / "debian/control").write_text(
            "Source: podwright\n\nPackage: podwright\nArchitecture: any\n"
        )
        said = _run(["dpkg-shlibdeps", "-O", *(f"-e{path}" for path in modules)], cwd=Path(temporary))
    return said.strip().removeprefix("shlibs:Depends=").split(", ")


def _maintainer() -> str:
    return os.environ.get("DEBEMAIL", MAINTAINER)


def _size_kib(tree: Path) -> int:
    return sum(below(tree, path).lstat().st_size // 1024 + 1 for path, _ in walk(tree))


def _run(argv: Sequence[str], *, cwd: Path | None = None, env: Mapping[str, str] | None = None) -> str:
    try:
        done = subprocess.run(
            argv, cwd=cwd, env=env, capture_output=True, text=True, timeout=STEP_TIMEOUT_S, check=False
        )
    except FileNotFoundError as error:
        raise InstallFailed(f"there is no {argv[0]}: apt install dpkg-dev") from error
    except subprocess.TimeoutExpired as error:
        raise InstallFailed(f"{argv[0]}: not finished after {STEP_TIMEOUT_S} s") from error
    if done.returncode:
        raise InstallFailed(f"{argv[0]} failed: {done.stderr.strip()[-2000:]}")
    return done.stdout


def main() -> int:
    """Build into the directory that the command line names, and print the package's path."""
    if len(sys.argv) not in (2, 3):
        sys.exit("usage: python3 -m tools.packaging.deb DIRECTORY [ARCHITECTURE]")
    os.umask(0o022)
    try:
        print(build(Path(sys.argv[1]).absolute(), *sys.argv[2:]))
    except InstallFailed as error:
        sys.stderr.write(f"{error}\n")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
