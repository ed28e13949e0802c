"""What every Rootfs does (cri/parts.py): the fake of the crash matrix, and overlays of real layers.

A subclass has fixtures ``rootfs`` and ``image``.
"""

import pytest

from api.ids import new_container_id
from cri.parts import Rootfs
from storage.catalogue import Image
from storage.overlay import RootfsNotFound
from storage.rootfs_rows import RootfsExists


class RootfsContract:
    """Every test ends without root file systems."""

    async def test_one_is_known_from_its_preparation_to_its_removal(
        self, rootfs: Rootfs, image: Image
    ) -> None:
        one, two = new_container_id(), new_container_id()
        path = await rootfs.prepare(one, image)
        assert path.is_dir()
        await rootfs.prepare(two, image)
        assert rootfs.known() == {one, two}
        await rootfs.usage(one)
        await rootfs.remove(one)
        assert rootfs.known() == {two}
        with pytest.raises(RootfsNotFound):
            await rootfs.usage(one)
        await rootfs.remove(two)
        assert rootfs.known() == set()

    async def test_a_container_has_one(self, rootfs: Rootfs, image: Image) -> None:
        one = new_container_id()
        await rootfs.prepare(one, image)
        with pytest.raises(RootfsExists):
            await rootfs.prepare(one, image)
        assert rootfs.known() == {one}
        await rootfs.remove(one)

    async def test_a_removal_may_be_repeated_and_come_first(self, rootfs: Rootfs, image: Image) -> None:
        one = new_container_id()
        await rootfs.remove(one)
        await rootfs.prepare(one, image)
        await rootfs.remove(one)
        await rootfs.remove(one)
        await rootfs.prepare(one, image)
        assert rootfs.known() == {one}
        await rootfs.remove(one)

    async def test_a_restart_changes_nothing(self, rootfs: Rootfs, image: Image) -> None:
        one = new_container_id()
        await rootfs.prepare(one, image)
        await rootfs.restore()
        assert rootfs.known() == {one}
        await rootfs.remove(one)
        await rootfs.restore()
        assert rootfs.known() == set()
