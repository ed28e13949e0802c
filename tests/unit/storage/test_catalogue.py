"""storage/catalogue: names of images, and rows that several connections see."""

import contextlib
import json
import sqlite3
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

import storage.database
from api.ids import ImageId
from storage.catalogue import Catalogue, LayersVanished, NewImage, faults, is_pinned, possible_names
from storage.database import (
    CatalogueBroken,
    CatalogueBusy,
    CatalogueFull,
    CatalogueTooNew,
    CatalogueUnreadable,
    Database,
)
from storage.digest import Digest
from storage.layers import LayerRecord
from storage.registry.registries_conf import Registries
from storage.saved import SavedImages

Open = Callable[[], Database]
REGISTRIES = Registries(search=("registry.test",))
LAYER = (Digest("ab" * 32), LayerRecord(1000, 4096, 1))


@pytest.fixture
def connect(tmp_path: Path) -> Iterator[Open]:
    """Opens one file, any number of times; all are closed afterwards."""
    with contextlib.ExitStack() as opened:
        yield lambda: opened.enter_context(contextlib.closing(Database(tmp_path / "db")))


def new_image(number: int, *tags: str, digests: tuple[str, ...] = ()) -> NewImage:
    config = json.dumps({"config": {"User": str(number)}}).encode()
    return NewImage(config, b"{}", (LAYER,), tags, digests)


def test_names_that_a_text_may_stand_for() -> None:
    assert possible_names("x", REGISTRIES) == [
        "registry.test/x:latest",
        "docker.io/library/x:latest",
        "localhost/x:latest",
    ]
    assert possible_names("q.io/x:1", REGISTRIES) == ["q.io/x:1"]
    assert possible_names("No Reference", REGISTRIES) == []


@pytest.mark.parametrize(
    ("pattern", "pinned"),
    [
        ("registry.k8s.io/pause:3.10", True),
        ("registry.k8s.io/pause*", True),
        ("*pause*", True),
        ("registry.k8s.io/pause", False),
        ("registry.k8s.io/*", True),
        ("pause", False),
        ("*", True),
        ("[r]egistry*", False),
    ],
)
def test_pinned_patterns(pattern: str, pinned: bool) -> None:
    assert is_pinned(["registry.k8s.io/pause:3.10"], [pattern]) is pinned
    assert is_pinned(["docker.io/library/busybox:latest"], ["busybox"])


def test_an_image_is_found_by_name_and_by_unique_prefix(connect: Open) -> None:
    catalogue = Catalogue(connect(), [])
    for number in range(40):
        catalogue.commit(new_image(number, f"docker.io/library/i{number}:latest"), [], number)
    images = catalogue.images()
    assert [image.user for image in images] == [str(number) for number in range(40)]
    for image in images:
        bare = image.id.removeprefix("sha256:")
        assert catalogue.find(bare[:20], REGISTRIES) == image
        assert catalogue.find(bare[:2], REGISTRIES) is None
        assert catalogue.find(f"i{image.user}", REGISTRIES) == image


def test_two_connections_see_each_other(connect: Open) -> None:
    one, two = Catalogue(connect(), []), Catalogue(connect(), [])
    one.commit(new_image(1, "q.io/a:1", digests=("q.io/a@sha256:" + "0" * 64,)), [], 1)
    [image] = two.images()
    assert two.find("q.io/a@sha256:" + "0" * 64, REGISTRIES) == image
    assert two.disk_usage() == (4096, 1)
    two.remove(image)
    two.remove(image)
    assert one.images() == []
    assert one.disk_usage() == (0, 0)


def test_an_image_is_not_entered_without_its_layers(tmp_path: Path, connect: Open) -> None:
    catalogue = Catalogue(connect(), [])
    with pytest.raises(LayersVanished):
        catalogue.commit(new_image(1, "q.io/a:1"), [tmp_path / "gone/diff"], 1)
    assert catalogue.images() == []


def test_files_that_are_not_ours_say_the_way_out(tmp_path: Path) -> None:
    (tmp_path / "bad").write_bytes(b"no database at all, but long enough to be looked at" * 20)
    with pytest.raises(CatalogueBroken, match="start the daemon"):
        Database(tmp_path / "bad")
    database = Database(tmp_path / "new")
    with database.transaction() as connection:
        connection.execute("PRAGMA user_version = 99")
    database.close()
    for repair in (False, True):  # not even who may set a damaged file aside touches it
        with pytest.raises(CatalogueTooNew, match=r"schema 99.*use the newer version, or.*move .* away"):
            Database(tmp_path / "new", repair=repair)
    assert [*tmp_path.glob("damaged-*")] == []


def test_a_schema_of_before_is_brought_to_this_version_with_its_rows_or_not_at_all(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    former = Database(tmp_path / "catalogue.db")
    image = new_image(1, "q.io/a:1")
    Catalogue(former, []).commit(image, [], 1)
    former.close()
    steps = (
        "ALTER TABLE images ADD COLUMN colour TEXT NOT NULL DEFAULT 'red'",
        "UPDATE images SET colour = 'blue'; UPDATE nothing SET colour = 'green'",
    )
    known = storage.database._MIGRATIONS

    def version_of(*more: str) -> int:
        monkeypatch.setattr(storage.database, "_MIGRATIONS", (*known, *more))
        monkeypatch.setattr(storage.database, "SCHEMA_VERSION", len(known) + len(more))
        with contextlib.closing(Database(tmp_path / "catalogue.db")) as database:
            [(version,)] = database.read("PRAGMA user_version")
            assert [found.id for found in Catalogue(database, []).images()] == [image.id]
        return int(str(version))

    assert version_of() == len(known)
    with pytest.raises(CatalogueBroken, match="nothing"):
        version_of(*steps)
    assert version_of() == len(known)
    assert version_of(steps[0]) == len(known) + 1
    with pytest.raises(CatalogueTooNew):
        version_of()


def test_who_may_repair_sets_a_damaged_file_aside_and_begins_anew(tmp_path: Path) -> None:
    path = tmp_path / "catalogue.db"
    path.write_bytes(b"no database at all, but long enough to be looked at" * 20)
    database = Database(path, repair=True)
    [aside] = tmp_path.glob("damaged-*-catalogue.db")
    assert aside.read_bytes().startswith(b"no database")
    catalogue = Catalogue(database, [])
    catalogue.commit(new_image(1, "q.io/a:1"), [], 1)
    assert len(catalogue.images()) == 1
    database.close()


def test_a_catalogue_that_another_process_holds_is_not_set_aside(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    holder = Database(tmp_path / "catalogue.db")
    monkeypatch.setattr(storage.database, "_BUSY_TIMEOUT_S", 0.05)
    with holder.transaction(), pytest.raises(CatalogueBusy, match="another process"):
        Database(tmp_path / "catalogue.db", repair=True)
    assert [*tmp_path.glob("damaged-*")] == []
    Database(tmp_path / "catalogue.db", repair=True).close()
    holder.close()


@pytest.mark.parametrize(
    "code", [sqlite3.SQLITE_PERM, sqlite3.SQLITE_READONLY, sqlite3.SQLITE_AUTH, sqlite3.SQLITE_INTERRUPT]
)
def test_one_that_cannot_be_opened_now_is_not_set_aside(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, code: int
) -> None:
    path = tmp_path / "catalogue.db"
    database = Database(path)
    Catalogue(database, []).commit(new_image(1, "q.io/a:1"), [], 1)
    database.close()

    def refused(*_: object) -> None:
        error = sqlite3.OperationalError("of a test")
        error.sqlite_errorcode = code
        raise error

    with monkeypatch.context() as patched:
        patched.setattr(Database, "_migrate", refused)
        with pytest.raises(CatalogueUnreadable, match="stays as it is"):
            Database(path, repair=True)
    assert [*tmp_path.glob("damaged-*")] == []
    database = Database(path, repair=True)
    assert len(Catalogue(database, []).images()) == 1
    database.close()


@pytest.mark.parametrize("place", ["layers", "containers"])
def test_a_new_catalogue_over_filled_directories_takes_nothing_for_rubbish(
    tmp_path: Path, place: str
) -> None:
    (tmp_path / place / ("ab" * 32)).mkdir(parents=True)
    for _ in range(2):  # after a restart, too
        database = Database(tmp_path / "catalogue.db")
        assert not database.may_sweep
        assert "keep-unknown" in database.unknown_kept
        database.close()
    (tmp_path / "keep-unknown").unlink()
    database = Database(tmp_path / "catalogue.db")
    assert database.may_sweep
    assert database.unknown_kept == ""
    database.close()


def test_where_there_is_no_room_to_open_it_is_read_and_opened_as_soon_as_there_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "catalogue.db"
    former = Database(path)
    image = new_image(1, "q.io/a:1")
    Catalogue(former, []).commit(image, [], 1)
    former.close()
    opened = Database._open

    def full(self: Database) -> None:
        error = sqlite3.OperationalError("database or disk is full")
        error.sqlite_errorcode = sqlite3.SQLITE_FULL
        raise error

    monkeypatch.setattr(Database, "_open", full)
    database = Database(path)
    catalogue = Catalogue(database, [])
    [found] = catalogue.images()
    assert "can only be read" in database.problem
    assert not database.may_sweep
    with pytest.raises(CatalogueFull, match="make room"):
        catalogue.commit(new_image(2, "q.io/b:1"), [], 1)
    monkeypatch.setattr(Database, "_open", opened)
    catalogue.remove(found)
    assert (database.problem, catalogue.images()) == ("", [])
    database.close()


def test_a_failed_transaction_leaves_nothing(connect: Open) -> None:
    database = connect()

    def fail() -> None:
        with database.transaction() as connection:
            connection.execute("INSERT INTO rootfs VALUES ('c', 'i')")
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail()
    assert database.read("SELECT * FROM rootfs") == []


def test_a_full_disk_is_named_and_the_next_transaction_works(connect: Open) -> None:
    database = connect()

    def fill() -> None:
        with database.transaction() as connection:
            pages = connection.execute("PRAGMA page_count").fetchone()[0]
            connection.execute(f"PRAGMA max_page_count = {pages}")
            connection.execute("INSERT INTO rootfs VALUES ('c', ?)", ("i" * 100_000,))

    with pytest.raises(sqlite3.OperationalError, match="database or disk is full"):
        fill()
    with database.transaction() as connection:
        connection.execute("INSERT INTO rootfs VALUES ('c', 'i')")
    assert database.read("SELECT * FROM rootfs") == [("c", "i")]


def test_a_transaction_that_cannot_be_committed_is_undone(connect: Open) -> None:
    database = connect()

    def refer_to_nothing() -> None:
        with database.transaction() as connection:
            connection.execute("PRAGMA defer_foreign_keys = ON")
            connection.execute("INSERT INTO tags VALUES ('name', 'no image')")

    for _ in range(2):
        with pytest.raises(sqlite3.IntegrityError, match="FOREIGN KEY"):
            refer_to_nothing()
    assert database.read("SELECT * FROM tags") == []


def test_other_images_are_pinned_from_one_call_to_the_next(connect: Open) -> None:
    catalogue = Catalogue(connect(), ["quay.io/a*"])
    catalogue.commit(new_image(1, "quay.io/a:1"), [], 1)
    catalogue.commit(new_image(2, "quay.io/b:1"), [], 2)
    assert [image.pinned for image in catalogue.images()] == [True, False]
    catalogue.pin(["quay.io/b*"])
    assert [image.pinned for image in catalogue.images()] == [False, True]


def test_one_image_that_cannot_be_read_hides_no_other_and_can_be_removed_and_repaired(
    connect: Open, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    database = connect()
    catalogue = Catalogue(database, [])
    good, bad, lost, odd = (new_image(number, f"q.io/i{number}:1") for number in range(4))
    for image in (good, bad, lost, odd):
        catalogue.commit(image, [], 1)
    older = b'{"config":{"User":"99999999999999999999"}}'  # an earlier version took it
    with database.transaction() as connection:
        connection.execute("UPDATE images SET config = ? WHERE id = ?", (b"garbage", bad.id))
        connection.execute("UPDATE image_layers SET chain_id = '../../x' WHERE image_id = ?", (lost.id,))
        connection.execute("INSERT INTO images VALUES (?, ?, x'', -1, 9)", (str(Digest.of(older)), older))
        connection.execute("UPDATE tags SET name = CAST(x'ff' AS TEXT) WHERE image_id = ?", (odd.id,))
    fresh = Catalogue(connect(), [])
    images = {image.id: image for image in fresh.images()}
    assert set(images) == {good.id, bad.id, lost.id, odd.id, str(Digest.of(older))}
    assert {image.id for image in images.values() if not image.fault} == {good.id, odd.id}
    assert "its config is not the one" in images[bad.id].fault
    assert "User is" in images[ImageId(str(Digest.of(older)))].fault
    assert all(image.size_bytes >= 0 for image in images.values())
    assert len([line for line in caplog.messages if "cannot be used" in line]) == 2
    fresh.images()
    assert len([line for line in caplog.messages if "cannot be used" in line]) == 2
    assert [key for key, _ in faults(tmp_path / "db")] == sorted([bad.id, str(Digest.of(older))])
    fresh.commit(bad, [], 2)
    assert not {image.id: image for image in fresh.images()}[bad.id].fault
    for listed in fresh.images():
        if listed.fault:
            fresh.remove(listed)
    assert {image.id for image in fresh.images()} == {good.id, bad.id, odd.id}


def test_a_further_name_is_taken_from_whoever_had_it(connect: Open, tmp_path: Path) -> None:
    catalogue = Catalogue(connect(), [])
    for number in range(2):
        catalogue.commit(new_image(number, f"q.io/i:{number}"), [], number)
    one, two = catalogue.images()
    catalogue.tag(one, "q.io/more:1")
    catalogue.tag(one, "q.io/more:1")
    catalogue.tag(two, "q.io/i:0")
    assert [image.repo_tags for image in catalogue.images()] == [
        ("q.io/more:1",),
        ("q.io/i:0", "q.io/i:1"),
    ]
    saved = SavedImages(tmp_path)
    assert saved.read(saved.path(one.id)).tags == ("q.io/more:1",)
    catalogue.remove(two)
    with pytest.raises(LayersVanished):
        catalogue.tag(two, "q.io/more:2")
