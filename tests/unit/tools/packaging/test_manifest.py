from pathlib import Path

import pytest

from tools.packaging.manifest import BadManifest, Manifest, digest_of


def _installed(root: Path) -> Manifest:
    (root / "etc/podwright").mkdir(parents=True)
    (root / "usr/bin").mkdir(parents=True)
    (root / "usr/bin/podwright").write_text("program")
    (root / "etc/podwright/a file.conf").write_text("as installed")
    digest = digest_of(root / "etc/podwright/a file.conf")
    assert digest is not None
    return Manifest(
        files=frozenset({Path("/usr/bin/podwright")}),
        directories=frozenset({Path("/etc/podwright"), Path("/usr/bin")}),
        configuration={Path("/etc/podwright/a file.conf"): digest},
    )


def test_what_is_written_reads_back(tmp_path: Path) -> None:
    manifest = _installed(tmp_path)
    assert Manifest.parse(str(manifest)) == manifest


@pytest.mark.parametrize("line", ["", "link /a", "configuration /without-digest"])
def test_a_line_of_another_kind_is_refused(line: str) -> None:
    with pytest.raises(BadManifest, match="not known"):
        Manifest.parse(f"file /a\n{line}\n")


def test_all_that_is_recorded_is_removed_and_it_may_be_repeated(tmp_path: Path) -> None:
    manifest = _installed(tmp_path)
    assert manifest.remove(tmp_path) == []
    assert sorted(path.name for path in tmp_path.rglob("*")) == ["etc", "usr"]
    assert manifest.remove(tmp_path) == []


def test_what_others_added_or_changed_stays(tmp_path: Path) -> None:
    manifest = _installed(tmp_path)
    (tmp_path / "etc/podwright/a file.conf").write_text("mine now")
    (tmp_path / "usr/bin/other").write_text("")
    stays = manifest.remove(tmp_path)
    assert [line.partition(":")[0] for line in stays] == [
        "/etc/podwright/a file.conf",
        "/usr/bin",
        "/etc/podwright",
    ]
    assert (tmp_path / "etc/podwright/a file.conf").read_text() == "mine now"
    assert (tmp_path / "usr/bin/other").exists()
    assert not (tmp_path / "usr/bin/podwright").exists()
