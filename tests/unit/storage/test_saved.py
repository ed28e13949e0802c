"""storage/saved: what is written is read again, and what a disk made of it is known."""

from pathlib import Path

import pytest

from storage.database import Database
from storage.saved import (
    SavedImage,
    SavedImages,
    SavedLayer,
    enter_image,
    image_of,
)
from storage.sealed import SavedDamaged, sealed

IMAGE = SavedImage(
    config=b'{"config":{}}',
    manifest=b"\0\xff",
    size_bytes=1000,
    pulled_ns=7,
    tags=("q.io/a:1", "q.io/a:\N{REPLACEMENT CHARACTER}"),
    digests=("q.io/a@sha256:" + "0" * 64,),
    layers=(SavedLayer("ab" * 32, 4096, 1), SavedLayer("cd" * 32, 8192, 2)),
)


def test_rows_make_a_file_and_a_file_makes_the_rows(tmp_path: Path) -> None:
    database = Database(tmp_path / "catalogue.db")
    with database.transaction() as connection:
        enter_image(connection, IMAGE)
        assert image_of(connection, IMAGE.id) == SavedImage.decode(IMAGE.encode()) == IMAGE
        assert image_of(connection, "sha256:" + "0" * 64) is None
    database.close()


def test_no_flipped_byte_and_no_cut_goes_unnoticed() -> None:
    data = IMAGE.encode()
    for index in range(len(data) - 1):  # the last line's end is nobody's
        with pytest.raises(SavedDamaged):
            SavedImage.decode(data[:index] + bytes([data[index] ^ 1]) + data[index + 1 :])
        with pytest.raises(SavedDamaged):
            SavedImage.decode(data[:index])


def test_what_another_version_may_write_is_refused_and_not_guessed() -> None:
    with pytest.raises(SavedDamaged, match="form"):
        SavedImage.decode(sealed({"image_id": "i", "layers": []}))


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
