"""``make install`` and ``make uninstall``.

    python3 -m tools.packaging.install [--remove] [--prefix DIR] [--sysconfdir DIR] [--unitdir DIR]
        [--destdir DIR]

The tree is made whole in a temporary directory and then put in place, file by file and by rename: an
installation that fails leaves the former one as it was, and a running daemon keeps what it has loaded.
"""

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

from cri.version import VERSION
from tools.packaging.contents import stage, walk
from tools.packaging.environment import InstallFailed, programs
from tools.packaging.layout import CHECKOUT, BadLayout, Layout, below
from tools.packaging.manifest import BadManifest, Manifest, digest_of

GIT_TIMEOUT_S = 30
OLDEST_PYTHON = (3, 11)


def install(layout: Layout, destdir: Path) -> list[str]:
    """Install below ``destdir``; returns remarks on what was left as it was.

    Raises:
        InstallFailed: with the words of what failed; nothing has changed then.
    """
    with tempfile.TemporaryDirectory(prefix="podwright-install-") as temporary:
        staged = Path(temporary) / "tree"
        staged.mkdir()
        stage(staged, layout, source_epoch())
        return place(staged, layout, destdir)


def place(staged: Path, layout: Layout, destdir: Path) -> list[str]:
    """Put a finished tree in place, record it, and remove what an earlier one had beyond it."""
    former = _recorded(layout, destdir)
    files, directories, remarks = {layout.manifest}, set(former.directories), []
    configuration = dict(former.configuration)
    for path, is_directory in walk(staged):
        target = below(destdir, path)
        if is_directory:
            if not target.is_dir():
                target.mkdir(parents=True)
                # Below another DESTDIR than / nobody knows which of the common ones will be there already.
                if destdir == Path("/") or layout.owns(path):
                    directories.add(path)
        elif path.is_relative_to(layout.sysconfdir):
            if os.path.lexists(target):
                remarks.append(f"{path} was there and stays as it is")
            else:
                _copy(below(staged, path), target)
                configuration[path] = str(digest_of(target))
        else:
            _copy(below(staged, path), target)
            files.add(path)
    for path in former.files - files:
        below(destdir, path).unlink(missing_ok=True)
    manifest = Manifest(frozenset(files), frozenset(directories), configuration)
    below(destdir, layout.manifest).write_text(str(manifest))
    return remarks


def summary(layout: Layout, destdir: Path) -> Iterator[str]:
    """What is installed below ``destdir``, in lines for whoever has done it."""
    manifest = _recorded(layout, destdir)
    python = f"{sys.executable} ({'.'.join(map(str, sys.version_info[:3]))})"
    below_it = "" if destdir == Path("/") else f" below {destdir}"
    yield f"Podwright {VERSION} is installed{below_it}, for {python}: {len(manifest.files)} files"
    yield f"  programs       {', '.join(str(layout.bindir / name) for name in programs())}"
    yield f"  environment    {layout.environment}"
    yield f"  configuration  {layout.configuration}"
    yield f"  unit           {layout.unitdir}/podwright.service"
    yield f"  manual         {layout.mandir}; documents: {layout.docdir}"


def uninstall(layout: Layout, destdir: Path) -> list[str]:
    """Remove what ``install`` put there; returns what was removed, then what stays, and why.

    Raises:
        InstallFailed: nothing is installed there.
    """
    manifest = _recorded(layout, destdir)
    if not manifest.files:
        raise InstallFailed(f"nothing is installed: there is no {below(destdir, layout.manifest)}")
    stays = [f"stays: {line}" for line in manifest.remove(destdir)]
    removed = f"removed {len(manifest.files)} files: the programs, {layout.environment}, the unit, the manual"
    return [removed, *stays]


def source_epoch() -> int:
    """SOURCE_DATE_EPOCH, else the time of the checkout's last commit, else now."""
    if given := os.environ.get("SOURCE_DATE_EPOCH"):
        return int(given)
    command = ["git", "-C", str(CHECKOUT), "log", "-1", "--format=%ct"]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=GIT_TIMEOUT_S, check=True)
    except (OSError, subprocess.SubprocessError):
        return int(time.time())
    return int(done.stdout)


def _recorded(layout: Layout, destdir: Path) -> Manifest:
    try:
        return Manifest.parse(below(destdir, layout.manifest).read_text())
    except FileNotFoundError:
        return Manifest()


def _copy(source: Path, target: Path) -> None:
    beside = target.with_name(f".{target.name}.new")
    beside.unlink(missing_ok=True)
    shutil.copy2(source, beside, follow_symlinks=False)
    beside.replace(target)


def _parse(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="tools.packaging.install", description=__doc__.split("\n\n")[0])
    parser.add_argument("--prefix", default="/usr/local")
    parser.add_argument("--sysconfdir", default="/etc")
    parser.add_argument("--unitdir", default="", help="default: PREFIX/lib/systemd/system")
    parser.add_argument(
        "--destdir", default="", help="put everything below this directory, to be moved later"
    )
    parser.add_argument("--remove", action="store_true", help="uninstall")
    return parser.parse_args(argv)


def main(argv: Sequence[str] | None = None) -> int:
    """Install or uninstall, and say what the next step is."""
    if sys.version_info < OLDEST_PYTHON:
        sys.exit(f"Python 3.11 or later is needed, {sys.executable} is older: make install PYTHON=…")
    arguments = _parse(argv)
    destdir = Path(arguments.destdir or "/").absolute()
    os.umask(0o022)
    try:
        layout = Layout.parse(arguments.prefix, arguments.sysconfdir, arguments.unitdir)
        if arguments.remove:
            lines = uninstall(layout, destdir)
        else:
            print("installing: fetches and compiles what Podwright needs, a minute or less", flush=True)
            remarks = install(layout, destdir)
            lines = [*summary(layout, destdir), *(f"note: {remark}" for remark in remarks)]
    except (InstallFailed, BadLayout, BadManifest) as error:
        sys.stderr.write(f"{error}\n")
        return 1
    for line in lines:
        print(line)
    if arguments.remove:
        print("state stays, where a daemon has run: /run/podwright, /var/lib/podwright, /var/log/podwright")
        print(
            f"  {layout.environment}/purge of an installation ends its pods and removes that: run it before"
        )
    elif destdir == Path("/"):
        print("next, on a node: systemctl daemon-reload && systemctl enable --now podwright")
    return 0


if __name__ == "__main__":
    sys.exit(main())
