"""A store whose process is killed before and after every step of every verb, and then finds its way.

After each kill a new process opens the store. It lists what was there before or what the verb makes, whole,
keeps nothing that no row names, and the verb done again succeeds. The same with the catalogue lost besides.
"""

import shutil
import signal
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest

from host.mounts import MNT_DETACH, mountpoints_below, umount
from storage.images import Images
from storage.overlay import RootfsManager
from tests.harness.patience import patient
from tests.integration.storage.crashing import CONTAINER, do
from tests.integration.storage.material import Listed, Made, listed, make_images, options, write_layout, wrong
from tests.integration.storage.support import Registry

pytestmark = pytest.mark.root

FIRST, SECOND = "q.io/first:1", "q.io/second:1"


@dataclass(frozen=True, slots=True)
class World:
    """A store to copy, with the image FIRST, and where another one that shares a layer is to be had."""

    store: Path
    conf: Path
    made: Sequence[Made]
    layout: Path
    reference: str

    def argument(self, verb: str) -> str:
        """What the verb is done to."""
        return {"import": str(self.layout), "pull": self.reference}.get(verb, FIRST)


@pytest.fixture
async def world(registry: Registry, tmp_path: Path) -> World:
    """The other image takes FIRST's name from it when it is imported or pulled."""
    made = make_images(3, 200)
    one, two = made[0], made[2]
    conf = tmp_path / "registries.conf"
    conf.write_text(f'[[registry]]\nprefix = "q.io"\nlocation = "{registry.host}"\ninsecure = true\n')
    write_layout(tmp_path / "one", one.built, FIRST)
    write_layout(tmp_path / "two", two.built, FIRST)
    registry.push("first", "1", two.built)
    store = await Images.open(tmp_path / "base", options(conf), repair=True)
    await store.import_archive(tmp_path / "one")
    await store.close()
    return World(tmp_path / "base", conf, made, tmp_path / "two", FIRST)


def kill_at(world: World, root: Path, verb: str, number: int) -> str:
    """Where the process killed itself; "" when it came to its end."""
    told = root.with_name("told")
    told.unlink(missing_ok=True)
    program = [sys.executable, "-m", "tests.integration.storage.crashing"]
    process = subprocess.Popen(
        [*program, root, world.conf, verb, world.argument(verb), str(number), told], start_new_session=True
    )
    status = process.wait(patient(60))
    if status == 0:
        return ""
    assert status == -signal.SIGKILL
    # As a service manager does with what the process started.
    subprocess.run(["kill", "-KILL", "--", f"-{process.pid}"], check=False, stderr=subprocess.DEVNULL)
    return told.read_text()


async def after(world: World, root: Path) -> tuple[Listed, list[str]]:
    """What a store lists that is opened now, and what is wrong with it."""
    store = await Images.open(root, options(world.conf), repair=True)
    rootfs = RootfsManager(root, store.database, store.layers)
    await rootfs.restore()
    found = wrong(store, world.made)
    for container in rootfs.known():
        await rootfs.remove(container)
    found += wrong(store, world.made) + [f"mounted: {path}" for path in mountpoints_below(root)]
    images = listed(store)
    await store.close()
    return images, found


async def again(world: World, root: Path, verb: str) -> Listed:
    """What the store lists when the verb has been done once more."""
    store = await Images.open(root, options(world.conf), repair=True)
    await do(store, verb, world.argument(verb), lambda _: None)
    images = listed(store)
    rootfs = RootfsManager(root, store.database, store.layers)
    await rootfs.remove(CONTAINER)
    await store.close()
    return images


def unmount_all(root: Path) -> None:
    for path in mountpoints_below(root):
        umount(path, MNT_DETACH)


def lose_the_catalogue(root: Path) -> None:
    for path in root.glob("catalogue.db*"):
        path.unlink()


@pytest.mark.parametrize("lost", [False, True], ids=["killed", "killed and the catalogue lost"])
@pytest.mark.parametrize("verb", ["import", "pull", "remove", "prepare rootfs", "remove rootfs"])
async def test_a_kill_at_any_step_loses_nothing_and_leaves_nothing(
    world: World, tmp_path: Path, verb: str, *, lost: bool
) -> None:
    before = await after(world, world.store)
    whole = tmp_path / "whole"
    shutil.copytree(world.store, whole, symlinks=True)
    states = {before[0], await again(world, whole, verb)}
    done = states - {before[0]} or states
    failures: list[object] = []
    points = 0
    root = tmp_path / "store"
    for number in range(1, 1000):
        shutil.copytree(world.store, root, symlinks=True)
        where = kill_at(world, root, verb, number)
        if lost:
            lose_the_catalogue(root)
        images, found = await after(world, root)
        if lost:
            # A layer that was not yet an image's is nobody's then.
            found = [
                text for text in found if not text.startswith(("quarantine:", "the catalogue of images"))
            ]
        if images not in states or found:
            failures.append((number, where, images, found))
        elif await again(world, root, verb) not in done:
            failures.append((number, where, "not done again"))
        unmount_all(root)
        shutil.rmtree(root)
        if not where:
            break
        points += 1
    print(f"{verb}: {points} points, {len(failures)} failures")
    assert failures == []
    assert points > 10
