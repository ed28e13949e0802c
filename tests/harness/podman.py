"""Debian's podman and conmon, unpacked and not installed, with storage and state of their own."""

import json
import os
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from tests.harness.debian import unpacked
from tests.harness.patience import patient

BOUND_S = patient(60)
PACKAGES = (
    *("podman", "conmon", "golang-github-containers-common", "golang-github-containers-image"),
    *("libgpgme11", "libassuan0", "libgpg-error0", "libdevmapper1.02.1", "libsubid4", "libseccomp2"),
    *("libglib2.0-0", "libsystemd0", "libselinux1", "libudev1", "libpcre2-8-0", "libcap2", "libgcrypt20"),
    *("liblz4-1", "liblzma5", "libzstd1"),
)


@dataclass(frozen=True, slots=True)
class Podman:
    """Run with one OCI runtime; files below ``directory``, state in /run, which is the test run's own."""

    tree: Path
    directory: Path
    runtime: str

    @classmethod
    def below(cls, directory: Path, runtime: str) -> Self:
        """
        Raises:
            PackagesUnavailable: apt cannot deliver it.
        """
        tree, _ = unpacked(PACKAGES)
        made = cls(tree, directory, runtime)
        conmon = directory / "conmon"
        conmon.write_text(f'#!/bin/sh\nLD_LIBRARY_PATH={made._libraries} exec {tree}/usr/bin/conmon "$@"\n')
        conmon.chmod(0o755)
        (directory / "containers.conf").write_text(
            "[engine]\n"
            f"conmon_path = [{json.dumps(str(conmon))}]\n"
            'cgroup_manager = "cgroupfs"\nevents_logger = "file"\n'
            f"runtime = {json.dumps(runtime)}\n"
            f'helper_binaries_dir = ["{tree}/usr/lib/podman"]\n'
        )
        (directory / "storage.conf").write_text(
            f'[storage]\ndriver = "vfs"\ngraphroot = "{directory}/graph"\nrunroot = "/run/{directory.name}"\n'
        )
        return made

    @property
    def _libraries(self) -> str:
        return ":".join(
            str(path)
            for path in (self.tree / "usr/lib", self.tree / "lib")
            for path in path.glob("*-linux-*")
        )

    def line(self, *words: str) -> tuple[list[str], dict[str, str]]:
        """Command line and environment."""
        environment = {
            **os.environ,
            "LD_LIBRARY_PATH": self._libraries,
            "CONTAINERS_CONF": str(self.directory / "containers.conf"),
            "CONTAINERS_STORAGE_CONF": str(self.directory / "storage.conf"),
        }
        return [str(self.tree / "usr/bin/podman"), "--runtime", self.runtime, *words], environment

    def __call__(self, *words: str, stdin: str = "", code: int = 0) -> str:
        """What a command prints; another exit code than ``code`` is the test's failure."""
        line, environment = self.line(*words)
        done = subprocess.run(
            line,
            env=environment,
            input=stdin,
            capture_output=True,
            text=True,
            timeout=BOUND_S,
            check=False,
        )
        assert done.returncode == code, f"{words}: {done.returncode}: {done.stdout}{done.stderr}"
        return done.stdout if code in (0, 7) else done.stdout + done.stderr

    def remove(self) -> None:
        """All containers and all files."""
        self("rm", "--all", "--force", "--time", "0")
        shutil.rmtree(self.directory, ignore_errors=True)
