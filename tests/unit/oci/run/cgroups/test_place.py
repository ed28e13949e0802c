from pathlib import Path

import pytest

from host.cgroups import Tree
from oci.run.cgroups.place import Place
from oci.run.cgroups.types import BadResources


@pytest.fixture
def place(tmp_path: Path) -> Place:
    (tmp_path / "tree/a/b").mkdir(parents=True)
    return Place(Tree(tmp_path / "tree", frozenset({"memory"})), "a/b")


def test_reading_and_writing(place: Place) -> None:
    assert place.read("memory.max") is None
    (place.directory / "memory.max").write_text("max\n")
    assert place.read("memory.max") == "max"
    place.write("memory.max", "5")
    assert place.read("memory.max") == "5x"[:1] + "ax"  # a cgroup's file takes the whole; a plain one stays
    with pytest.raises(FileNotFoundError):
        place.write("memory.high", "5")
    assert not (place.directory / "memory.high").exists()


@pytest.mark.parametrize("where", ["b", "b/file", "."])
def test_no_link_leads_out(place: Place, tmp_path: Path, where: str) -> None:
    """Wherever on the way: neither is it read, nor written, nor are directories made or removed behind it."""
    outside = tmp_path / "outside"
    (outside / "b/inner").mkdir(parents=True)
    (outside / "file").write_text("secret")
    (outside / "b/file").write_text("secret")
    target = (tmp_path / "tree/a" / where) if where != "." else tmp_path / "tree/a"
    if target.is_dir():
        place.directory.rmdir()
        if where == ".":
            target.rmdir()
    target.symlink_to(outside / ("b" if where == "b" else "b/file" if where == "b/file" else "."))
    assert place.read("file") is None
    with pytest.raises(OSError, match="openat2"):
        place.write("file", "changed")
    if where != "b/file":
        with pytest.raises(OSError, match=r"openat2|Not a directory"):
            Place(place.tree, "a/b/new").make()
        assert place.below() == []
        with pytest.raises(OSError, match=r"openat2|Not a directory"):
            place.remove()
    assert (outside / "b/file").read_text() == "secret"
    assert sorted(path.name for path in (outside / "b").iterdir()) == ["file", "inner"]


@pytest.mark.parametrize("path", ["../outside", "a/../../outside", "/etc"])
def test_no_path_leads_out(place: Place, tmp_path: Path, path: str) -> None:
    (tmp_path / "outside").mkdir()
    assert Place(place.tree, path).below() == []
    with pytest.raises(OSError, match="openat2"):
        Place(place.tree, f"{path}/new").make()
    assert list((tmp_path / "outside").iterdir()) == []


@pytest.mark.parametrize("name", ["", "../a", "x/y", ".", "..", ".hidden", "a\0"])
def test_names_are_those_of_files_in_it(place: Place, name: str) -> None:
    with pytest.raises(BadResources, match="not the name of a cgroup's file"):
        place.write(name, "1")


def test_making_and_removing(place: Place) -> None:
    below = Place(place.tree, "a/b/c/d")
    with pytest.raises(FileNotFoundError):
        below.make()
    assert Place(place.tree, "a/b/c").make()
    assert below.make()
    assert not below.make()
    assert place.below() == ["a/b/c/d", "a/b/c", "a/b"]
    place.remove()
    place.remove()
    assert not place.exists()
    assert (place.tree.root / "a").is_dir()


def test_processes_are_those_in_it_and_below(place: Place) -> None:
    (place.directory / "c").mkdir()
    (place.directory / "cgroup.procs").write_text("7\n9\n")
    (place.directory / "c/cgroup.procs").write_text("0\n11\n")  # 0: of another pid namespace
    assert place.pids() == {7, 9, 11}
