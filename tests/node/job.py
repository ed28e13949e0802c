"""What one boot is to do, as a tar file that the guest unpacks over its root directory."""

import io
import subprocess
import tarfile
from collections.abc import Iterator, Mapping
from pathlib import Path

from tests.harness.cache import PROJECT
from tests.node.image import CHECKOUT

HOME = Path("/var/lib/podwright-node")
GIT_TIMEOUT_S = 60


def checkout_files(checkout: Path = PROJECT) -> Iterator[Path]:
    """What git knows of the checkout, and what is new in it: relative paths."""
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=checkout,
        capture_output=True,
        timeout=GIT_TIMEOUT_S,
        check=True,
    ).stdout
    for name in sorted({name for name in listed.decode().split("\0") if name}):
        if (checkout / name).is_file() or (checkout / name).is_symlink():
            yield Path(name)


def pack(
    target: Path, script: str, end: str, additions: Mapping[Path, Path], checkout: Path = PROJECT
) -> None:
    """Write the job: the checkout's files, the script, and ``additions``: host paths and where they go.

    ``end`` is the command that switches off when the script has ended.
    """
    with tarfile.open(target, "w", format=tarfile.PAX_FORMAT) as tar:
        for path in checkout_files(checkout):
            tar.add(checkout / path, _inside(CHECKOUT / path), filter=_owned_by_root)
        for source, place in additions.items():
            tar.add(source, _inside(place), filter=_owned_by_root)
        for name, text in (("script", script), ("end", end)):
            info = tarfile.TarInfo(_inside(HOME / name))
            info.size = len(text.encode())
            tar.addfile(info, io.BytesIO(text.encode()))


def _inside(path: Path) -> str:
    return str(path.relative_to("/"))


def _owned_by_root(info: tarfile.TarInfo) -> tarfile.TarInfo:
    info.uid = info.gid = 0
    info.uname = info.gname = "root"
    return info
