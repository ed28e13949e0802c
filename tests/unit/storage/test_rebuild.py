"""storage/rebuild: whatever a disk did to rows, files or layers, a start has them agree again."""

import json
import os
from pathlib import Path

import pytest

from storage.catalogue import Catalogue, NewImage
from storage.database import Database
from storage.digest import Digest
from storage.images import Images
from storage.layers import LayerRecord
from storage.options import Options

CONTAINER = "c" * 64
RECORD = LayerRecord(1000, 4096, 1)


def chain(number: int) -> Digest:
    return Digest(f"{number:064x}")


def place_layer(root: Path, number: int) -> Path:
    layer = root / "layers" / chain(number).hex
    (layer / "diff").mkdir(parents=True)
    (layer / "layer.json").write_text(json.dumps({"archive_bytes": 1000, "disk_bytes": 4096, "inodes": 1}))
    return layer


def image(number: int, *tags: str, layers: tuple[int, ...] = ()) -> NewImage:
    config = json.dumps({"config": {"User": str(number)}}).encode()
    digests = (f"q.io/i@sha256:{number:064x}",)
    return NewImage(config, b"{}", tuple((chain(layer), RECORD) for layer in layers), tags, digests)


ONE = image(1, "q.io/one:1", "q.io/both:1", layers=(1, 2))
TWO = image(2, "q.io/two:1", layers=(1, 3))


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """Two images that share a layer, and a container of the first."""
    root = tmp_path / "store"
    for number in (1, 2, 3):
        place_layer(root, number)
    (root / "containers" / CONTAINER / "upper").mkdir(parents=True)
    database = Database(root / "catalogue.db")
    (root / "keep-unknown").unlink()
    catalogue = Catalogue(database, [])
    catalogue.commit(ONE, [], 1)
    catalogue.commit(TWO, [], 2)
    with database.transaction() as connection:
        connection.execute("INSERT INTO rootfs VALUES (?, ?)", (CONTAINER, ONE.id))
        connection.executemany(
            "INSERT INTO rootfs_layers VALUES (?, ?, ?)",
            [(CONTAINER, position, chain(number).hex) for position, number in enumerate((1, 2))],
        )
    database.close()
    return root


async def opened(root: Path, *, repair: bool = True) -> Images:
    options = Options(registries_conf=root / "none", policy_file=root / "none", auth_files=[])
    return await Images.open(root, options, repair=repair)


async def rows(root: Path, *, repair: bool = True) -> dict[str, list[tuple[object, ...]]]:
    """Everything the catalogue says once the store was opened."""
    store = await opened(root, repair=repair)
    tables = ("images", "tags", "digests", "image_layers", "rootfs", "rootfs_layers")
    found = {table: sorted(store.database.read(f"SELECT * FROM {table}")) for table in tables}
    await store.close()
    return found


def lose(root: Path, how: str) -> None:
    path = root / "catalogue.db"
    whole = path.read_bytes()
    for each in root.glob("catalogue.db*"):
        each.unlink()
    if how == "emptied":
        path.write_bytes(b"")
    elif how == "cut":
        path.write_bytes(whole[:5000])
    elif how == "overwritten":
        path.write_bytes(bytes(100) + whole[100:])
    elif how == "a directory":
        path.mkdir()


@pytest.mark.parametrize("how", ["removed", "emptied", "cut", "overwritten", "a directory"])
async def test_a_lost_catalogue_is_made_again_row_by_row(root: Path, how: str) -> None:
    before = await rows(root)
    lose(root, how)
    assert await rows(root) == before == await rows(root)
    assert not (root / "keep-unknown").exists()
    assert not (root / "quarantine").exists()


async def test_a_table_that_is_gone_is_a_damaged_catalogue_and_no_empty_list(root: Path) -> None:
    before = await rows(root)
    database = Database(root / "catalogue.db")
    with database.transaction() as connection:
        connection.execute("DROP TABLE rootfs_layers")
    database.close()
    assert await rows(root) == before


async def test_a_store_of_an_earlier_version_gets_its_files_at_its_first_start(root: Path) -> None:
    before = await rows(root)
    for path in (*(root / "images").iterdir(), root / "containers" / CONTAINER / "rootfs.saved"):
        path.unlink()
    assert await rows(root) == before
    lose(root, "removed")
    assert await rows(root) == before


async def test_only_the_daemon_makes_a_catalogue_again_and_nobody_sweeps_before(root: Path) -> None:
    before = await rows(root)
    lose(root, "removed")
    assert (await rows(root, repair=False))["images"] == []
    assert len([*(root / "layers").iterdir()]) == 3
    assert await rows(root) == before


async def test_what_cannot_be_made_again_stays_is_named_and_is_no_pulls_layer(root: Path) -> None:
    await rows(root)
    lose(root, "removed")
    (root / "images" / ONE.id.removeprefix("sha256:")).write_bytes(b"garbage")
    (root / "containers" / CONTAINER / "rootfs.saved").unlink()
    for odd in (b"\xff\xfe", b"file"):
        Path(os.fsdecode(os.fsencode(root / "layers") + b"/" + odd)).write_bytes(b"x")
        Path(os.fsdecode(os.fsencode(root / "images") + b"/" + odd)).mkdir()
    for _ in range(2):
        store = await opened(root)
        assert [found.id for found in store.list()] == [TWO.id]
        assert {path.name for path in (root / "layers").iterdir()} == {chain(1).hex, chain(3).hex}
        kept = [path.name.partition(".")[0] for path in (root / "quarantine").iterdir()]
        assert chain(2).hex in kept
        assert len(kept) == 3
        text = (root / "keep-unknown").read_text(errors="replace")
        assert f"images/{ONE.id.removeprefix('sha256:')}\n" in text
        assert f"containers/{CONTAINER}\n" in text
        assert f"quarantine/{chain(2).hex}" in text
        assert "containers/" in store.database.unknown_kept
        assert (root / "containers" / CONTAINER / "upper").is_dir()
        await store.close()
    (root / "keep-unknown").unlink()
    store = await opened(root)
    assert [*(root / "quarantine").iterdir()] == []
    assert [path.name for path in (root / "images").iterdir()] == [TWO.id.removeprefix("sha256:")]
    await store.close()


async def test_a_directory_that_holds_nothing_of_a_container_is_not_kept(root: Path) -> None:
    await rows(root)
    lose(root, "removed")
    (root / "containers" / ("d" * 64)).mkdir()
    await rows(root)
    assert [path.name for path in (root / "containers").iterdir()] == [CONTAINER]
    assert not (root / "keep-unknown").exists()


@pytest.mark.parametrize("lost", ["diff", "layer.json", "torn layer.json", "all", "a file"])
async def test_an_image_that_lacks_a_layer_is_dropped_and_no_other(root: Path, lost: str) -> None:
    layer = root / "layers" / chain(3).hex
    if lost in ("diff", "all", "a file"):
        (layer / "diff").rmdir()
    if lost in ("layer.json", "all", "a file"):
        (layer / "layer.json").unlink()
    if lost in ("all", "a file"):
        layer.rmdir()
    if lost == "a file":
        layer.write_bytes(b"x")
    if lost == "torn layer.json":
        (layer / "layer.json").write_bytes(b"")
    store = await opened(root)
    assert [found.id for found in store.list()] == [ONE.id]
    assert [path.name for path in (root / "images").iterdir()] == [ONE.id.removeprefix("sha256:")]
    await store.close()


async def test_an_image_whose_layer_is_gone_is_not_made_again(root: Path) -> None:
    await rows(root)
    lose(root, "removed")
    (root / "layers" / chain(3).hex / "layer.json").unlink()
    store = await opened(root)
    assert [found.id for found in store.list()] == [ONE.id]
    await store.close()


async def test_a_row_that_was_damaged_is_written_again(root: Path) -> None:
    before = await rows(root)
    database = Database(root / "catalogue.db")
    with database.transaction() as connection:
        connection.execute("UPDATE images SET config = x'00' WHERE id = ?", (ONE.id,))
    database.close()
    assert await rows(root) == before


async def test_a_removed_image_does_not_come_back(root: Path) -> None:
    store = await opened(root)
    await store.remove(ONE.id)
    await store.close()
    lose(root, "removed")
    store = await opened(root)
    assert [found.id for found in store.list()] == [TWO.id]
    await store.close()


async def test_a_name_that_moved_stays_where_it_is(root: Path) -> None:
    database = Database(root / "catalogue.db")
    Catalogue(database, []).commit(image(2, "q.io/both:1", layers=(1, 3)), [], 3)
    database.close()
    before = await rows(root)
    assert ("q.io/both:1", TWO.id) in before["tags"]
    lose(root, "removed")
    assert await rows(root) == before


async def test_of_two_files_that_claim_a_name_the_newer_is_right(root: Path) -> None:
    """A process was killed between the two, before its commit."""
    await rows(root)
    old = (root / "images" / ONE.id.removeprefix("sha256:")).read_bytes()
    database = Database(root / "catalogue.db")
    Catalogue(database, []).commit(image(2, "q.io/both:1", layers=(1, 3)), [], 3)
    database.close()
    path = root / "images" / ONE.id.removeprefix("sha256:")
    path.write_bytes(old)
    os.utime(path, ns=(1, 1))
    lose(root, "removed")
    assert ("q.io/both:1", TWO.id) in (await rows(root))["tags"]


async def test_a_file_without_a_row_is_rubbish_of_a_crash(root: Path) -> None:
    await rows(root)
    other = root / "images" / ("e" * 64)
    other.write_bytes(b"x")
    (root / "images/.half.tmp").write_bytes(b"x")
    await rows(root)
    assert len([*(root / "images").iterdir()]) == 2


async def test_a_disk_that_refuses_the_files_does_not_keep_the_store_from_opening(
    root: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    await rows(root)
    for path in (root / "images").iterdir():
        path.unlink()

    def full(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("storage.saved.write_atomic", full)
    store = await opened(root)
    assert {found.id for found in store.list()} == {ONE.id, TWO.id}
    assert "No space left" in caplog.text
    await store.close()


async def test_what_made_a_layer_unneeded_is_on_disk_before_the_layer_goes(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = await opened(root)
    synced: list[set[str]] = []
    monkeypatch.setattr(
        Database, "sync", lambda _: synced.append({path.name for path in (root / "layers").iterdir()})
    )
    await store.remove(TWO.id)
    assert synced == [{chain(number).hex for number in (1, 2, 3)}]
    await store.remove(ONE.id)  # its layers are the container's: nothing goes, nothing is synced
    assert len(synced) == 1
    assert {path.name for path in (root / "layers").iterdir()} == {chain(number).hex for number in (1, 2)}
    await store.close()
