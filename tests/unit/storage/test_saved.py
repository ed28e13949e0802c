"""storage/saved: what is written is read again, and what a disk made of it is known."""

from pathlib import Path

import pytest

from storage.database import Database
from storage.saved import (
    SavedDamaged,
    SavedImage,
    SavedImages,
    SavedLayer,
    SavedRootfs,
    enter_image,
    enter_rootfs,
    image_of,
    read_rootfs,
    rootfs_of,
    save_rootfs,
)

IMAGE = SavedImage(
    config=b'{"config":{}}',
    manifest=b"\0\xff",
    size_bytes=1000,
    pulled_ns=7,
    tags=("q.io/a:1", "q.io/a:\N{REPLACEMENT CHARACTER}"),
    digests=("q.io/a@sha256:" + "0" * 64,),
    layers=(SavedLayer("ab" * 32, 4096, 1), SavedLayer("cd" * 32, 8192, 2)),
)
ROOTFS = SavedRootfs(IMAGE.id, ((0, "ab" * 32), (1, "cd" * 32), (1000, "ef" * 32)))


def test_rows_make_a_file_and_a_file_makes_the_rows(tmp_path: Path) -> None:
    database = Database(tmp_path / "catalogue.db")
    with database.transaction() as connection:
        enter_image(connection, IMAGE)
        enter_rootfs(connection, "c", ROOTFS)
        assert image_of(connection, IMAGE.id) == SavedImage.decode(IMAGE.encode()) == IMAGE
        assert rootfs_of(connection, "c") == SavedRootfs.decode(ROOTFS.encode()) == ROOTFS
        assert image_of(connection, "sha256:" + "0" * 64) is None
        assert rootfs_of(connection, "d") is None
    database.close()


@pytest.mark.parametrize("saved", [IMAGE, ROOTFS])
def test_no_flipped_byte_and_no_cut_goes_unnoticed(saved: SavedImage | SavedRootfs) -> None:
    data = saved.encode()
    for index in range(len(data) - 1):  # the last line's end is nobody's
        with pytest.raises(SavedDamaged):
            type(saved).decode(data[:index] + bytes([data[index] ^ 1]) + data[index + 1 :])
        with pytest.raises(SavedDamaged):
            type(saved).decode(data[:index])


def test_what_another_version_may_write_is_refused_and_not_guessed() -> None:
    with pytest.raises(SavedDamaged, match="form"):
        SavedImage.decode(ROOTFS.encode())
    with pytest.raises(SavedDamaged, match="form"):
        SavedRootfs.decode(SavedRootfs("i", ((0, "../x"),)).encode())


def test_a_file_is_read_by_the_name_of_its_image_only(tmp_path: Path) -> None:
    files = SavedImages(tmp_path)
    path = files.path("sha256:" + "0" * 64)
    path.write_bytes(IMAGE.encode())
    with pytest.raises(SavedDamaged, match="file of"):
        files.read(path)


def test_a_file_is_written_when_it_says_something_else_and_never_from_a_damaged_row(tmp_path: Path) -> None:
    database = Database(tmp_path / "catalogue.db")
    files = SavedImages(tmp_path)
    path = files.path(IMAGE.id)
    with database.transaction() as connection:
        enter_image(connection, IMAGE)
        files.save(connection, [IMAGE.id])
        written = path.stat().st_ino
        files.save(connection, [IMAGE.id, "sha256:" + "0" * 64])
        assert path.stat().st_ino == written
        connection.execute("DELETE FROM tags")
        files.save(connection, [IMAGE.id])
        assert files.read(path).tags == ()
        connection.execute("UPDATE images SET config = x'00'")
        files.save(connection, [IMAGE.id])
        assert files.read(path).config == IMAGE.config
    files.forget(IMAGE.id)
    for odd in (IMAGE.id, "sha256:../../etc/passwd", "sha256:\0", ""):
        files.forget(odd)
    assert files.files() == []
    database.close()


def test_a_root_filesystem_is_saved_in_its_directory(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        read_rootfs(tmp_path)
    save_rootfs(tmp_path, ROOTFS)
    assert read_rootfs(tmp_path) == ROOTFS
    [path] = tmp_path.iterdir()
    written = path.stat().st_ino
    save_rootfs(tmp_path, ROOTFS)
    assert path.stat().st_ino == written
