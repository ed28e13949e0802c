"""make install below a DESTDIR that is then moved to its place, the programs there, and make uninstall."""

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from cri.version import VERSION
from tests.harness.daemon import Daemon, Settings
from tests.harness.wheels import wheels
from tools.packaging.layout import CHECKOUT, Layout, below
from tools.packaging.manifest import Manifest

pytestmark = pytest.mark.root

TIMEOUT_S = 300
# In these tests /run is an empty tmpfs of their own.
PREFIX = Path("/run/installed")
ETC = Path("/run/installed-etc")


@dataclass(frozen=True, slots=True)
class Installation:
    """Made below ``destdir`` and moved to its place; ``layout`` says where that is."""

    layout: Layout
    destdir: Path

    def make(self, target: str) -> str:
        """Run a target of the Makefile for this installation; its standard output."""
        variables = {"PYTHON": sys.executable, "PREFIX": PREFIX, "SYSCONFDIR": ETC, "DESTDIR": self.destdir}
        words = [f"{name}={value}" for name, value in variables.items()]
        offline = {"PIP_NO_INDEX": "1", "PIP_FIND_LINKS": str(wheels())}
        done = subprocess.run(
            ["make", "-s", "-C", CHECKOUT, target, *words],
            env={**os.environ, **offline},
            capture_output=True,
            text=True,
            timeout=TIMEOUT_S,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    def program(self, name: str) -> str:
        return str(self.layout.bindir / name)


@pytest.fixture(scope="module")
def installation(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Installation]:
    """In its place; DESTDIR is empty again."""
    made = Installation(Layout.parse(str(PREFIX), str(ETC)), tmp_path_factory.mktemp("destdir"))
    made.make("install")
    for directory in (PREFIX, ETC):
        shutil.move(below(made.destdir, directory), directory)
    yield made
    for directory in (PREFIX, ETC):
        shutil.rmtree(directory, ignore_errors=True)


def _files(*directories: Path) -> set[Path]:
    return {
        path for root in directories for path in root.rglob("*") if path.is_symlink() or not path.is_dir()
    }


def test_the_manifest_lists_exactly_what_is_there(installation: Installation) -> None:
    manifest = Manifest.parse(installation.layout.manifest.read_text())
    assert _files(PREFIX, ETC) == {*manifest.files, *manifest.configuration}


def test_no_file_knows_where_it_was_made(installation: Installation) -> None:
    traces = (str(installation.destdir).encode(), str(CHECKOUT).encode(), b"podwright-install-")
    knowing = [
        path
        for path in _files(PREFIX, ETC)
        if not path.is_symlink() and any(trace in path.read_bytes() for trace in traces)
    ]
    assert knowing == []


def test_the_programs_run_from_their_place(installation: Installation) -> None:
    command = [installation.program("podwright"), "version"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=TIMEOUT_S, check=True, cwd="/")
    assert done.stdout == f"podwright {VERSION}\n"
    usage = subprocess.run(
        [installation.program("podwright-monitor")],
        capture_output=True,
        text=True,
        timeout=TIMEOUT_S,
        check=False,
    )
    assert "usage: podwright-monitor DIRECTORY" in usage.stderr


def test_the_installed_daemon_serves_and_writes_nothing_into_its_installation(
    installation: Installation,
) -> None:
    before = {path: path.lstat().st_mtime_ns for path in _files(PREFIX)}
    with Daemon(Settings(bridge="pw-install0"), program=[installation.program("podwright")]) as daemon:
        assert daemon.client.not_ready() == ""
    assert {path: path.lstat().st_mtime_ns for path in _files(PREFIX)} == before


def test_only_what_runs_is_installed(installation: Installation) -> None:
    packages = {path.name.partition("-")[0] for path in installation.layout.environment.rglob("*.dist-info")}
    assert "podwright" in packages
    assert packages & {"pip", "setuptools", "pytest", "mypy", "grpcio_tools", "hypothesis"} == set()


def test_a_changed_configuration_outlives_uninstalling_and_nothing_else_does(
    installation: Installation, tmp_path: Path
) -> None:
    copy = Installation(installation.layout, tmp_path)
    for directory in (PREFIX, ETC):
        shutil.copytree(directory, below(tmp_path, directory), symlinks=True)
    configuration = below(tmp_path, copy.layout.configuration)
    configuration.write_text("# mine\n")
    said = copy.make("uninstall")
    assert f"stays: {copy.layout.configuration}: it was changed" in said
    assert _files(tmp_path) == {configuration}
