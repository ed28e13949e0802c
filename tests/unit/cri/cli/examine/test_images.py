"""cri/cli/examine/images: what is said of the store."""

import contextlib
from pathlib import Path

from cri.cli.examine.findings import Level
from cri.cli.examine.images import images
from storage.catalogue import Catalogue, NewImage
from storage.database import Database


def test_images_that_cannot_be_read_are_named_with_the_way_out(tmp_path: Path) -> None:
    assert list(images(tmp_path)) == []
    with contextlib.closing(Database(tmp_path / "catalogue.db")) as database:
        image = NewImage(b"{}", b"", (), ("q.io/a:1",), ())
        Catalogue(database, []).commit(image, [], 1)
        assert [finding.level for finding in images(tmp_path)] == [Level.OK]
        with database.transaction() as connection:
            connection.execute("UPDATE images SET config = x'00'")
        [finding] = images(tmp_path)
        assert finding.level is Level.WARNING
        assert finding.way_out == f"podwright image remove {image.id}"


def test_a_catalogue_that_is_none_is_a_warning(tmp_path: Path) -> None:
    (tmp_path / "catalogue.db").write_bytes(b"garbage" * 1000)
    assert [finding.level for finding in images(tmp_path)] == [Level.WARNING]
