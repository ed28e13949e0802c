"""The unit tests under the Python that a release of Debian brings, in a clean root directory of that release.

    python -m tests.harness.distro [SUITE…]

An installation runs on that Python, with its patches and its standard library, and not on the one that the
checkout's .venv was made from. Root directory and virtual environment are made once and cached; a run changes
neither. Needs root and mmdebstrap.
"""

import os
import subprocess
import sys
import time
import tomllib
from collections.abc import Sequence
from pathlib import Path

from tests.harness.cache import PROJECT, cached, key_of
from tools.packaging.chroot import debian_root, run_inside
from tools.packaging.environment import InstallFailed

SUITES = ("bookworm", "trixie")
# What unit tests run besides Python.
PACKAGES = ("python3", "python3-venv", "ca-certificates", "git", "groff-base", "iproute2", "mandoc", "procps")
# Tools of the linters and of other tests, which take long to fetch.
WITHOUT = ("import-linter", "kubernetes", "mypy", "mypy-protobuf", "ruff", "types-")
PYTEST = ("/shared/venv/bin/python", "-m", "pytest", "-q", "-p", "no:cacheprovider", "tests/unit")
ENVIRONMENT = {"PYTHONDONTWRITEBYTECODE": "1", "PATH": "/shared/venv/bin:/usr/sbin:/usr/bin:/sbin:/bin"}
INSTALL = """\
set -eu
python3 -m venv /shared/venv
/shared/venv/bin/python -m pip install --quiet --disable-pip-version-check -c constraints.txt "$@"
"""


def requirements(pyproject: str) -> list[str]:
    """What the unit tests need of pyproject.toml's text."""
    project = tomllib.loads(pyproject)["project"]
    wanted = [*project["dependencies"], *project["optional-dependencies"]["dev"]]
    return [line for line in wanted if not line.startswith(WITHOUT)]


def environment(suite: str, root: Path) -> Path:
    """The cached directory with the virtual environment of that release's Python, to be /shared."""
    pyproject, constraints = (PROJECT / name for name in ("pyproject.toml", "constraints.txt"))
    wanted = requirements(pyproject.read_text())

    def make(target: Path) -> None:
        print(f"making a virtual environment of {suite}'s Python: once, takes a minute", flush=True)
        run_inside(root, target, ["sh", "-c", INSTALL, "sh", *wanted], {"PIP_FIND_LINKS": ""})

    return cached("distro-venv", f"{suite}-{key_of(root.name, constraints.read_bytes(), *wanted)}", make)


def test(suite: str) -> None:
    """Run them.

    Raises:
        InstallFailed: one fails; the end of what pytest says.
    """
    root = debian_root(suite, PACKAGES)
    place = environment(suite, root)
    begun = time.monotonic()
    print(f"unit tests under the Python of Debian {suite}", flush=True)
    patience = {name: value for name, value in os.environ.items() if name.startswith("PODWRIGHT_TEST_")}
    run_inside(root, place, PYTEST, {**ENVIRONMENT, **patience})
    print(f"passed in {time.monotonic() - begun:.0f} s", flush=True)


def main(argv: Sequence[str]) -> int:
    if os.geteuid() != 0:
        sys.exit("this needs root: it makes root directories and mount namespaces of its own")
    try:
        for suite in argv or SUITES:
            test(suite)
    except (InstallFailed, subprocess.SubprocessError) as error:
        sys.stderr.write(f"{error}\n")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
