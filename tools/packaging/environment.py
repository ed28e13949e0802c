"""The virtual environment of an installation: made by hand, so that no path of the place of making is in it.

<environment>/pyvenv.cfg          tells the interpreter that its packages are here
              bin/python3         link to the interpreter that this runs on
              bin/podwright …     the programs of pyproject.toml, isolated from the caller's environment (-I)
              lib/pythonX.Y/site-packages/   Podwright and its dependencies, as pins.txt has them

pip, activation scripts and setuptools are left out: nothing is ever installed into it afterwards.
"""

import compileall
import os
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Mapping, Sequence
from pathlib import Path
from py_compile import PycInvalidationMode

from tools.packaging.layout import CHECKOUT, Layout, below

PIP_TIMEOUT_S = 1200
PINS = "tools/packaging/pins.txt"
# pip's arguments that fetch the wheels of pins.txt and no others; where to is missing.
FETCH = ("download", "--require-hashes", "--no-deps", "--only-binary", ":all:", "-r", str(CHECKOUT / PINS))
LAUNCHER = """\
#!{python} -I
import sys

from {module} import {function}

sys.exit({function}())
"""


class InstallFailed(Exception):
    """A step of the installation failed; the message carries its words."""


def foreign(processor: str) -> list[str]:
    """pip's options for wheels of another processor, with the C library of this machine's version."""
    oldest, newest = 17, int(os.confstr("CS_GNU_LIBC_VERSION").rpartition(".")[2])  # type: ignore[union-attr]
    platforms = [f"manylinux_2_{minor}_{processor}" for minor in range(newest, oldest - 1, -1)]
    platforms += [f"manylinux2014_{processor}", f"linux_{processor}"]
    return ["--only-binary", ":all:", *(word for each in platforms for word in ("--platform", each))]


def make(root: Path, layout: Layout, wheels: Path, options: Sequence[str] = ()) -> None:
    """Make the environment below ``root`` from the wheels in ``wheels``, without byte code yet.

    ``options`` are more ones for pip: foreign() for another processor.

    Raises:
        InstallFailed: pip cannot install them.
    """
    home = below(root, layout.environment)
    (home / "bin").mkdir(parents=True)
    # The versioned name: another default Python of the system must not get these compiled modules.
    interpreter = Path(sys.executable).resolve()
    (home / "bin/python3").symlink_to(interpreter)
    (home / "pyvenv.cfg").write_text(
        f"home = {interpreter.parent}\ninclude-system-site-packages = false\n"
        f"version = {'.'.join(map(str, sys.version_info[:3]))}\n"
    )
    site = site_packages(root, layout)
    _pip(
        "install",
        "--no-index",
        "--find-links",
        str(wheels),
        "--no-compile",
        "--target",
        str(site),
        *options,
        "podwright",
    )
    shutil.rmtree(site / "bin")  # programs of packages, with this place in their first line
    for name, target in programs().items():
        _write_launcher(home / "bin" / name, layout.environment / "bin/python3", target)


def site_packages(root: Path, layout: Layout) -> Path:
    """The environment's packages, while it is made in ``root``."""
    version = f"python{sys.version_info.major}.{sys.version_info.minor}"
    return below(root, layout.environment) / "lib" / version / "site-packages"


def collect_wheels(directory: Path, options: Sequence[str] = ()) -> None:
    """Put a wheel of the checkout, those of its dependencies and of what builds it into ``directory``.

    ``options`` as with make().

    pip's own variables decide where from: PIP_NO_INDEX=1 and PIP_FIND_LINKS=DIR build without a network. What
    they are is decided by the hashes of pins.txt.

    Raises:
        InstallFailed: one cannot be had, is another than expected, or cannot be built.
    """
    _pip(*FETCH, *options, "--dest", str(directory))
    _pip(
        "wheel",
        "--no-deps",
        "--no-index",
        "--find-links",
        str(directory),
        "-w",
        str(directory),
        str(CHECKOUT),
    )


def compile_bytecode(root: Path, layout: Layout) -> None:
    """Compile all modules, with the names of files as they will be; the times of the sources are final.

    Raises:
        InstallFailed: a module is no Python.
    """
    compiled = compileall.compile_dir(
        site_packages(root, layout),
        maxlevels=20,
        quiet=1,
        workers=0,
        stripdir=str(root),
        prependdir="/",
        invalidation_mode=PycInvalidationMode.TIMESTAMP,
    )
    if not compiled:
        raise InstallFailed("not all modules can be compiled")


def programs() -> Mapping[str, str]:
    """``module:function`` of each program, by name (pyproject.toml, project.scripts)."""
    project = tomllib.loads((CHECKOUT / "pyproject.toml").read_text())["project"]
    scripts: Mapping[str, str] = project["scripts"]
    return scripts


def _write_launcher(path: Path, python: Path, target: str) -> None:
    module, _, function = target.partition(":")
    path.write_text(LAUNCHER.format(python=python, module=module, function=function))
    path.chmod(0o755)


def _pip(*arguments: str) -> None:
    command = [sys.executable, "-m", "pip", "--quiet", "--disable-pip-version-check", *arguments]
    env = {**os.environ, "PIP_ROOT_USER_ACTION": "ignore"}
    try:
        done = subprocess.run(
            command, stderr=subprocess.PIPE, text=True, timeout=PIP_TIMEOUT_S, check=False, env=env
        )
    except subprocess.TimeoutExpired as error:
        raise InstallFailed(f"pip {arguments[0]}: not finished after {PIP_TIMEOUT_S} s") from error
    if done.returncode:
        raise InstallFailed(
            f"pip {arguments[0]} failed (Debian: apt install python3-pip):\n{done.stderr[-3000:]}"
        )
