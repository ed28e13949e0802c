"""storage/rootfs_rows: rows and files of root file systems, written in one place."""

from dataclasses import replace
from pathlib import Path

import pytest

import storage
from api.ids import ContainerId, ImageId
from storage.catalogue import Catalogue, Image, NewImage
from storage.database import Database
from storage.digest import Digest
from storage.layers import LayerRecord
from storage.registry.registries_conf import Registries
from storage.rootfs_rows import (
    ImageNotFound,
    RootfsExists,
    RootfsRows,
    SavedRootfs,
    enter_rootfs,
    every_rootfs,
    is_saved,
    read_rootfs,
    rootfs_of,
    save_rootfs,
)
from storage.sealed import SavedDamaged

ROOTFS = SavedRootfs("sha256:" + "1" * 64, ((0, "ab" * 32), (1, "cd" * 32), (1000, "ef" * 32)))
CONTAINER = ContainerId("c" * 64)
CHAIN = tuple(Digest(f"{number:064x}") for number in (1, 2))


@pytest.fixture
def rows(tmp_path: Path) -> RootfsRows:
    return RootfsRows(tmp_path, Database(tmp_path / "catalogue.db"))


@pytest.fixture
def image(tmp_path: Path) -> Image:
    database = Database(tmp_path / "catalogue.db")
    catalogue = Catalogue(database, [])
    record = LayerRecord(1, 4096, 1)
    new = NewImage(b'{"config":{}}', b"{}", tuple((chain, record) for chain in CHAIN), ("q.io/a:1",), ())
    catalogue.commit(new, [], 1)
    found = catalogue.find(new.id, Registries())
    assert found is not None
    return found


def test_a_root_filesystem_is_entered_once_with_its_layers(rows: RootfsRows, image: Image) -> None:
    saved = rows.enter(CONTAINER, image)
    assert saved == SavedRootfs(image.id, tuple(enumerate(chain.hex for chain in CHAIN)))
    assert rows.known() == {CONTAINER}
    assert rows.chain(CONTAINER) == list(CHAIN)
    with pytest.raises(RootfsExists):
        rows.enter(CONTAINER, image)


def test_layers_of_volumes_stay_with_it_and_are_not_its_own(rows: RootfsRows, image: Image) -> None:
    rows.enter(CONTAINER, image)
    rows.place(CONTAINER).mkdir(parents=True)
    rows.enter_volume(CONTAINER, 0, image)
    rows.enter_volume(CONTAINER, 7, image)
    assert rows.chain(CONTAINER) == list(CHAIN)
    positions = [position for position, _ in read_rootfs(rows.place(CONTAINER)).layers]
    assert positions == [0, 1, 1000, 1001, 8000, 8001]
    assert sorted({chain.hex for chain in rows.forget(CONTAINER)}) == [chain.hex for chain in CHAIN]
    assert rows.known() == set()
    assert rows.forget(CONTAINER) == []


def test_an_image_is_used_by_who_runs_it_and_by_who_shows_it(rows: RootfsRows, image: Image) -> None:
    assert rows.used([image]) == set()
    rows.enter(CONTAINER, image)
    assert rows.used([image]) == {image.id}
    shown = replace(image, id=ImageId("sha256:" + "2" * 64))
    assert rows.used([shown]) == {shown.id}
    rows.forget(CONTAINER)
    assert rows.used([image, shown]) == set()


def test_nothing_is_entered_for_an_image_that_is_gone(rows: RootfsRows, image: Image, tmp_path: Path) -> None:
    Catalogue(Database(tmp_path / "catalogue.db"), []).remove(image)
    with pytest.raises(ImageNotFound):
        rows.enter(CONTAINER, image)
    with pytest.raises(ImageNotFound):
        rows.enter_volume(CONTAINER, 0, image)
    assert rows.known() == set()


def test_rows_make_a_file_and_a_file_makes_the_rows(tmp_path: Path) -> None:
    database = Database(tmp_path / "catalogue.db")
    with database.transaction() as connection:
        enter_rootfs(connection, "c", ROOTFS)
        assert rootfs_of(connection, "c") == SavedRootfs.decode(ROOTFS.encode()) == ROOTFS
        assert rootfs_of(connection, "d") is None
        assert every_rootfs(connection) == {"c": ROOTFS}
    database.close()


def test_no_flipped_byte_and_no_cut_goes_unnoticed() -> None:
    data = ROOTFS.encode()
    for index in range(len(data) - 1):  # the last line's end is nobody's
        with pytest.raises(SavedDamaged):
            SavedRootfs.decode(data[:index] + bytes([data[index] ^ 1]) + data[index + 1 :])
        with pytest.raises(SavedDamaged):
            SavedRootfs.decode(data[:index])


def test_what_another_version_may_write_is_refused_and_not_guessed() -> None:
    with pytest.raises(SavedDamaged, match="form"):
        SavedRootfs.decode(SavedRootfs("i", ((0, "../x"),)).encode())


def test_a_root_filesystem_is_saved_in_its_directory(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        read_rootfs(tmp_path)
    assert not is_saved(tmp_path, ROOTFS)
    save_rootfs(tmp_path, ROOTFS)
    assert is_saved(tmp_path, ROOTFS)
    assert read_rootfs(tmp_path) == ROOTFS
    [path] = tmp_path.iterdir()
    written = path.stat().st_ino
    save_rootfs(tmp_path, ROOTFS)
    assert path.stat().st_ino == written


def test_no_other_module_writes_these_rows() -> None:
    statements = ("INSERT INTO rootfs", "DELETE FROM rootfs", "UPDATE rootfs")
    writers = {
        path.relative_to(Path(storage.__file__).parents[1]).as_posix()
        for package in ("storage", "cri")
        for path in (Path(storage.__file__).parents[1] / package).rglob("*.py")
        if any(statement in path.read_text() for statement in statements)
    }
    assert writers == {"storage/rootfs_rows.py"}
