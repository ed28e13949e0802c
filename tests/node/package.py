"""The Debian package of the checkout as it is now, for the guest."""

import sys
from pathlib import Path

from tests.harness.cache import PROJECT, cached, key_of
from tests.node.image import SUITE, run
from tests.node.job import checkout_files

# What the package is not made of.
WITHOUT = ("tests", "bench", ".ci")


def package() -> Path:
    """Its path; built, in a minute, when anything that it is made of has changed."""
    files = [path for path in checkout_files() if path.parts[0] not in WITHOUT]
    parts = [part for path in files for part in (str(path), (PROJECT / path).read_bytes())]
    made = cached("node-package", key_of(SUITE, *parts), _build, keep=3)
    (deb,) = made.glob("*.deb")
    return deb


def _build(target: Path) -> None:
    print(f"building the Debian package for {SUITE}: once for each change", flush=True)
    run([sys.executable, "-m", "tools.packaging.chroot", SUITE, str(target)])
