"""The power is cut in the midst of pulls, imports and removals: what is listed afterwards is whole.

The store lies on a file system of its own, which is shut down without its log being written
(EXT4_IOC_SHUTDOWN, as xfstests cut the power): what had not reached the disk at that moment is lost. It is
then mounted again, which replays the journal, and opened as a daemon opens it.
"""

import asyncio
import contextlib
import fcntl
import os
import random
import signal
import struct
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from host.mounts import umount
from storage.images import Images
from tests.harness.patience import patient
from tests.integration.storage.material import Made, listed, make_images, options, write_layout, wrong
from tests.integration.storage.support import Registry

pytestmark = pytest.mark.root

CUTS = 20
_SIZE_BYTES = 256 << 20
_SHUTDOWN = 0x8004587D
_WITHOUT_LOG = 2


class Disk:
    """A file system on a file, at ``place``, with a plug."""

    def __init__(self, directory: Path) -> None:
        self.place = directory / "disk"
        self._image = directory / "disk.img"
        self.place.mkdir()
        with self._image.open("wb") as file:
            file.truncate(_SIZE_BYTES)
        subprocess.run(["mkfs.ext4", "-q", "-F", self._image], check=True)
        self.mount()

    def mount(self) -> None:
        """As after a boot: the journal is replayed."""
        # The shorter the interval, the more states reach the disk that a cut can show.
        subprocess.run(["mount", "-o", "loop,commit=1", self._image, self.place], check=True)

    def cut(self) -> None:
        """From now on nothing reaches the disk."""
        descriptor = os.open(self.place, os.O_RDONLY)
        try:
            fcntl.ioctl(descriptor, _SHUTDOWN, struct.pack("I", _WITHOUT_LOG))
        finally:
            os.close(descriptor)

    def check(self) -> None:
        """The file system itself is sound."""
        subprocess.run(["e2fsck", "-fn", self._image], check=True, capture_output=True)


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Disk]:
    made = Disk(tmp_path)
    yield made
    with contextlib.suppress(OSError):
        umount(made.place)


def churning(root: Path, conf: Path, seed: int, layouts: dict[str, Path]) -> subprocess.Popen[bytes]:
    """The process that changes the store."""
    pairs: list[str] = [f"{name}={layout}" for name, layout in layouts.items()]
    program = [sys.executable, "-m", "tests.integration.storage.churning", str(root), str(conf), str(seed)]
    return subprocess.Popen(
        [*program, *pairs], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, start_new_session=True
    )


def wait_for(process: subprocess.Popen[bytes], changes: int) -> None:
    """Until it has made so many."""
    assert process.stdout is not None
    for _ in range(changes):
        assert process.stdout.readline(), "it goes on until it is killed"


def end(process: subprocess.Popen[bytes]) -> None:
    """With all that it started."""
    os.killpg(process.pid, signal.SIGKILL)
    process.communicate(timeout=patient(10))


def unmounted(disk: Disk) -> None:
    """Processes that were just killed may still have it open."""
    for _ in range(1000):
        try:
            umount(disk.place)
            return
        except OSError:
            time.sleep(0.01)
    raise AssertionError("the disk stays busy")


async def test_every_listed_image_is_whole_after_a_power_cut_and_nothing_is_left(
    registry: Registry, disk: Disk, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    made: list[Made] = make_images(8, 40_000, files=10)
    conf = tmp_path / "registries.conf"
    conf.write_text(f'[[registry]]\nprefix = "q.io"\nlocation = "{registry.host}"\ninsecure = true\n')
    layouts = {}
    for number, image in enumerate(made):
        registry.push(f"cut{number}", "1", image.built)
        layouts[f"q.io/cut{number}:1"] = tmp_path / f"layout{number}"
        write_layout(layouts[f"q.io/cut{number}:1"], image.built, "")
    root = disk.place / "store"
    chance = random.Random(4)
    failures, images = [], 0
    for cut in range(CUTS):
        process = churning(root, conf, cut, layouts)
        await asyncio.to_thread(wait_for, process, chance.randrange(5, 40))
        await asyncio.sleep(chance.uniform(0, 0.3))  # anywhere in what comes next
        disk.cut()
        end(process)
        unmounted(disk)
        disk.mount()
        store = await Images.open(root, options(conf), repair=True)
        found = wrong(store, made)
        images += len(listed(store))
        failures += [(cut, text) for text in found]
        await store.close()
    unmounted(disk)
    disk.check()
    print(f"{CUTS} cuts, {images} images listed after them, {len(failures)} failures")
    assert failures == []
    # Nor did the start have to mend anything: what the disk holds is right by itself.
    assert [line for line in caplog.messages if "was dropped" in line or "was damaged" in line] == []
    assert images > 0
