"""A small file system of a test's own, which can be frozen and filled: what happens to a node's log disk."""

import contextlib
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

_SIZE_BYTES = 32 << 20


class Disk:
    """An ext4 on a loop device, mounted at ``path``."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def freeze(self) -> None:
        """Whoever writes to it sleeps in the kernel until it is thawed (fsfreeze(8))."""
        _run("fsfreeze", "--freeze", self.path)

    def thaw(self) -> None:
        """Idempotent."""
        subprocess.run(["fsfreeze", "--unfreeze", self.path], check=False, capture_output=True)

    def fill(self) -> None:
        """Leave no room at all."""
        with (self.path / "filling").open("wb", buffering=0) as file, contextlib.suppress(OSError):
            for size in (1 << 20, 4096, 1):
                with contextlib.suppress(OSError):
                    while True:
                        file.write(bytes(size))
        os.sync()

    def empty(self) -> None:
        """Give the room back."""
        (self.path / "filling").unlink()


@contextlib.contextmanager
def disk(directory: Path) -> Iterator[Disk]:
    """A disk in ``directory``; thawed and unmounted afterwards, whatever happens."""
    image, path = directory / "disk.img", directory / "disk"
    path.mkdir()
    with image.open("wb") as file:
        file.truncate(_SIZE_BYTES)
    # No room for root alone: a full disk is full for us, too.
    _run("mkfs.ext4", "-q", "-F", "-m", "0", image)
    _run("mount", "-o", "loop", image, path)
    made = Disk(path)
    try:
        yield made
    finally:
        made.thaw()
        _run("umount", "--lazy", path)


def _run(*argv: str | Path) -> None:
    subprocess.run(argv, check=True)
