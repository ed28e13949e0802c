"""A clean root directory of a release of Debian, and a virtual environment of its Python; both are cached."""

import tomllib
from pathlib import Path

from tests.harness.cache import PROJECT, cached, key_of
from tools.packaging.chroot import debian_root, run_inside

# What unit tests run besides Python.
PACKAGES = (
    "python3",
    "python3-venv",
    "ca-certificates",
    "git",
    "gnupg",
    "groff-base",
    "iproute2",
    "mandoc",
    "procps",
)
# Tools of the linters and of other tests, which take long to fetch.
WITHOUT = ("import-linter", "kubernetes", "mypy>", "ruff", "types-")
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


def environment(suite: str) -> tuple[Path, Path]:
    """The root directory, and the one with the environment as /shared/venv; neither may be changed.

    Raises:
        InstallFailed: one cannot be made.
    """
    root = debian_root(suite, PACKAGES)
    pyproject, constraints = (PROJECT / name for name in ("pyproject.toml", "constraints.txt"))
    wanted = requirements(pyproject.read_text())

    def make(target: Path) -> None:
        print(f"making a virtual environment of {suite}'s Python: once, takes a minute", flush=True)
        run_inside(root, target, ["sh", "-c", INSTALL, "sh", *wanted], {"PIP_FIND_LINKS": ""})

    key = f"{suite}-{key_of(root.name, constraints.read_bytes(), *wanted)}"
    return root, cached("distro-venv", key, make)
