"""Debian packages unpacked into the cache, never installed: raw material for test images."""

import os
import subprocess
from collections.abc import Sequence
from pathlib import Path

from tests.harness.cache import cached, key_of

APT_TIMEOUT_S = 600
# Root downloads as root: the cache need not be readable to the user _apt.
APT = ("apt-get", "-q", "-o", "APT::Sandbox::User=root")


class PackagesUnavailable(Exception):
    """apt cannot deliver the packages; the message carries its words."""


def unpacked(packages: Sequence[str]) -> tuple[Path, str]:
    """A tree with all of ``packages`` unpacked over one another, and a key that changes with any version."""
    uris = _uris(packages)
    key = key_of(uris)

    def make(target: Path) -> None:
        debs = target / "debs"
        debs.mkdir()
        _run([*APT, "download", *packages], debs)
        for deb in sorted(debs.glob("*.deb")):
            _run(["dpkg", "-x", str(deb), str(target / "tree")], debs)
            deb.unlink()
        debs.rmdir()

    return cached("debian", key, make) / "tree", key


def _uris(packages: Sequence[str]) -> str:
    """What identifies the candidate versions; updates apt's lists if it has none and may."""
    ask = [*APT, "download", "--print-uris", *packages]
    try:
        return _run(ask, Path("/"))
    except PackagesUnavailable:
        if os.geteuid() != 0:
            raise
        _run([*APT, "update"], Path("/"))
        return _run(ask, Path("/"))


def _run(argv: Sequence[str], directory: Path) -> str:
    done = subprocess.run(
        argv, cwd=directory, capture_output=True, text=True, timeout=APT_TIMEOUT_S, check=False
    )
    if done.returncode:
        raise PackagesUnavailable(
            f"{' '.join(argv)}: exit code {done.returncode}: {done.stderr.strip()[-1000:]}"
        )
    return done.stdout


def find(tree: Path, name: str) -> Path:
    """The file ``name`` in a library or program directory of ``tree``, links followed inside the tree."""
    for pattern in ("lib/*/", "usr/lib/*/", "lib64/", "lib/", "bin/", "usr/bin/", "sbin/", "usr/sbin/"):
        for path in sorted(tree.glob(pattern + name)):
            return inside(tree, path)
    raise PackagesUnavailable(f"no {name} in the unpacked packages ({tree})")


def inside(tree: Path, path: Path) -> Path:
    """``path`` with symbolic links followed as if ``tree`` were the root."""
    for _ in range(10):
        if not path.is_symlink():
            return path
        target = path.readlink()
        path = tree / target.relative_to("/") if target.is_absolute() else path.parent / target
    raise PackagesUnavailable(f"too many links at {path}")
