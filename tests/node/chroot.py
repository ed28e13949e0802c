"""A root directory to change and run programs in, laid over one that stays as it is.

Overlay and mounts live in a mount namespace of the program that is run, so they are gone with it. What was
changed stays in a directory of ours.
"""

import shlex
import shutil
import subprocess
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Self

TIMEOUT_S = 1800
ENVIRONMENT = ("PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin", "HOME=/root", "LC_ALL=C.UTF-8")


class ChrootFailed(Exception):
    """A program in the root failed; the message carries its words."""


class Chroot:
    """``with Chroot(tree, work) as root``: ``tree`` to change; the changes are in ``work`` until then."""

    def __init__(self, tree: Path, work: Path) -> None:
        self._tree = tree
        self._changes, self._scratch, self._merged = (
            work / name for name in ("changes", "scratch", "merged")
        )

    def __enter__(self) -> Self:
        for directory in (self._changes, self._scratch, self._merged):
            directory.mkdir()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for directory in (self._changes, self._scratch, self._merged):
            shutil.rmtree(directory)

    def add(self, source: Path, target: Path) -> None:
        """Lay a copy of a file, or of what is in a directory, at ``target``, owned by root."""
        quoted = shlex.join([str(source) + ("/." if source.is_dir() else ""), f"{self._merged}{target}"])
        parent = target if source.is_dir() else target.parent
        self._shell(
            f"mkdir -p {shlex.quote(f'{self._merged}{parent}')}\n"
            f"cp -dR --preserve=mode,timestamps,links --no-preserve=ownership {quoted}"
        )

    def write(self, target: Path, text: str) -> None:
        """Write a file."""
        self._shell(shlex.join(["install", "-D", "-m", "644", "/dev/stdin", f"{self._merged}{target}"]), text)

    def run(self, *argv: str, binds: Mapping[Path, Path] | None = None) -> str:
        """Run a program inside, as root, without network; its standard output.

        ``binds``: directories from outside and where they are seen inside.
        """
        lines = [
            f"mount --bind {shlex.quote(str(outside))} {shlex.quote(f'{self._merged}{inside}')}"
            for outside, inside in (binds or {}).items()
        ]
        lines.append(f"mount -t proc proc {shlex.quote(f'{self._merged}/proc')}")
        inside = ["env", "-i", *ENVIRONMENT, "chroot", str(self._merged), *argv]
        lines.append(f"exec {shlex.join(inside)}")
        return self._shell("\n".join(lines))

    def make_disk(self, path: Path, size: str) -> None:
        """An ext4 file system with all of it; sparse."""
        make = [
            "mke2fs",
            "-q",
            "-t",
            "ext4",
            "-E",
            "root_owner=0:0",
            "-d",
            str(self._merged),
            str(path),
            size,
        ]
        self._shell(shlex.join(make))

    def _shell(self, script: str, text: str = "") -> str:
        layers = f"lowerdir={self._tree},upperdir={self._changes},workdir={self._scratch}"
        overlay = shlex.join(["mount", "-t", "overlay", "-o", layers, "overlay", str(self._merged)])
        private = ["unshare", "--mount", "--propagation=private", "--net", "--pid", "--fork", "--kill-child"]
        done = subprocess.run(
            [*private, "sh", "-eu", "-c", f"{overlay}\n{script}"],
            input=text,
            capture_output=True,
            text=True,
            timeout=TIMEOUT_S,
            check=False,
        )
        if done.returncode:
            words = (done.stdout + done.stderr)[-3000:].strip()
            raise ChrootFailed(f"{script.splitlines()[-1]}: exit code {done.returncode}\n{words}")
        return done.stdout
