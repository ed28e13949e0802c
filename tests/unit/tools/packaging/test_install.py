import sys
from pathlib import Path

import pytest

from tools.packaging.environment import InstallFailed, programs
from tools.packaging.install import place, source_epoch, summary, uninstall
from tools.packaging.layout import Layout, below

LAYOUT = Layout.parse("/usr/local")
CONFIGURATION = "etc/podwright/podwright.conf"


def _staged(root: Path, **files: str) -> Path:
    for name, text in {"usr/local/bin/podwright": "program", CONFIGURATION: "sample", **files}.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text)
    (root / "usr/local/lib/podwright").mkdir(parents=True, exist_ok=True)
    return root


def _files(root: Path) -> set[str]:
    return {str(path.relative_to(root)) for path in root.rglob("*") if not path.is_dir()}


def test_the_staged_tree_and_its_record_are_put_in_place(tmp_path: Path) -> None:
    destdir = tmp_path / "dest"
    staged = _staged(tmp_path / "staged")
    assert place(staged, LAYOUT, destdir) == []
    assert _files(destdir) == {*_files(staged), "usr/local/lib/podwright/manifest"}


def test_a_link_stays_a_link(tmp_path: Path) -> None:
    staged = _staged(tmp_path / "staged")
    (staged / "usr/local/bin/link").symlink_to("../lib/podwright")
    place(staged, LAYOUT, tmp_path / "dest")
    assert (tmp_path / "dest/usr/local/bin/link").readlink() == Path("../lib/podwright")


def test_configuration_that_is_there_is_never_overwritten(tmp_path: Path) -> None:
    staged, destdir = _staged(tmp_path / "staged"), tmp_path / "dest"
    (destdir / CONFIGURATION).parent.mkdir(parents=True)
    (destdir / CONFIGURATION).write_text("mine")
    assert place(staged, LAYOUT, destdir) == ["/etc/podwright/podwright.conf was there and stays as it is"]
    assert (destdir / CONFIGURATION).read_text() == "mine"
    uninstall(LAYOUT, destdir)
    assert _files(destdir) == {CONFIGURATION}


def test_a_second_installation_removes_what_the_first_had_beyond_it(tmp_path: Path) -> None:
    destdir = tmp_path / "dest"
    place(_staged(tmp_path / "old", **{"usr/local/lib/podwright/gone.py": ""}), LAYOUT, destdir)
    new = _staged(tmp_path / "new", **{"usr/local/lib/podwright/fresh.py": ""})
    place(new, LAYOUT, destdir)
    assert _files(destdir) == {*_files(new), "usr/local/lib/podwright/manifest"}
    uninstall(LAYOUT, destdir)
    assert _files(destdir) == set()


def test_uninstalling_leaves_common_directories_of_a_destdir_alone(tmp_path: Path) -> None:
    destdir = tmp_path / "dest"
    place(_staged(tmp_path / "staged"), LAYOUT, destdir)
    [removed] = uninstall(LAYOUT, destdir)
    assert removed.startswith("removed 2 files: ")
    assert (destdir / "usr/local/bin").is_dir()
    assert not below(destdir, LAYOUT.environment).exists()
    assert not (destdir / "etc/podwright").exists()


def test_an_installation_says_what_is_where(tmp_path: Path) -> None:
    place(_staged(tmp_path / "staged"), LAYOUT, tmp_path / "dest")
    first, *rest = summary(LAYOUT, tmp_path / "dest")
    assert f"is installed below {tmp_path}/dest, for {sys.executable} (" in first
    assert first.endswith("2 files")
    told = {line.split()[0]: line.split(maxsplit=1)[1] for line in rest}
    assert told["programs"].split(", ") == [f"/usr/local/bin/{name}" for name in programs()]
    assert told["configuration"] == "/etc/podwright/podwright.conf"
    assert told["unit"] == "/usr/local/lib/systemd/system/podwright.service"


def test_uninstalling_says_what_stays(tmp_path: Path) -> None:
    destdir = tmp_path / "dest"
    place(_staged(tmp_path / "staged"), LAYOUT, destdir)
    (destdir / CONFIGURATION).write_text("mine")
    _, *stays = uninstall(LAYOUT, destdir)
    assert stays == [
        "stays: /etc/podwright/podwright.conf: it was changed",
        "stays: /etc/podwright: it is not empty",
    ]


def test_nothing_to_uninstall_is_an_error_that_says_where_it_looked(tmp_path: Path) -> None:
    with pytest.raises(InstallFailed, match=f"{tmp_path}/usr/local/lib/podwright/manifest"):
        uninstall(LAYOUT, tmp_path)


def test_the_time_of_files_can_be_given(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "86400")
    assert source_epoch() == 86400
