"""A job carries the checkout as git knows it, the script, and what is added."""

import subprocess
import tarfile
from pathlib import Path

import pytest

from tests.node.job import checkout_files, pack


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    directory = tmp_path / "checkout"
    directory.mkdir()
    subprocess.run(["git", "init", "--quiet", str(directory)], check=True)
    (directory / ".gitignore").write_text("build/\n")
    (directory / "build").mkdir()
    (directory / "build/log").write_text("not for the guest")
    for name in ("committed", "removed"):
        (directory / name).write_text(name)
    subprocess.run(["git", "add", "."], cwd=directory, check=True)
    (directory / "new").write_text("new")
    (directory / "removed").unlink()
    return directory


def test_new_files_count_and_ignored_or_removed_ones_do_not(checkout: Path) -> None:
    assert [str(path) for path in checkout_files(checkout)] == [".gitignore", "committed", "new"]


def test_all_lies_where_the_guest_looks_for_it_and_belongs_to_root(checkout: Path, tmp_path: Path) -> None:
    added = tmp_path / "added"
    (added / "below").mkdir(parents=True)
    (added / "below/file").write_text("added")
    pack(tmp_path / "job.tar", "echo hello", "poweroff", {added: Path("/opt/added")}, checkout)
    with tarfile.open(tmp_path / "job.tar") as tar:
        members = {info.name: info for info in tar}
        assert {(info.uid, info.gid) for info in members.values()} == {(0, 0)}
        texts = {name: tar.extractfile(name) for name in members if members[name].isfile()}
        read = {name: file.read().decode() for name, file in texts.items() if file}
    assert read["srv/podwright/new"] == "new"
    assert read["opt/added/below/file"] == "added"
    assert read["var/lib/podwright-node/script"] == "echo hello"
    assert read["var/lib/podwright-node/end"] == "poweroff"
