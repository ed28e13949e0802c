"""Sources of mounts, on real files."""

from pathlib import Path

import pytest

from api.runtime.v1 import api_pb2 as pb
from cri.containers.mounts import BadMount, resolve


def _mount(source: Path | str, target: str = "/x") -> pb.Mount:
    return pb.Mount(container_path=target, host_path=str(source))


def test_links_are_resolved_and_files_stay_files(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    (tmp_path / "link").symlink_to("file")
    [found] = resolve([_mount(tmp_path / "link")], [], {})
    assert found.host_path == str(tmp_path / "file")
    assert (tmp_path / "file").is_file()


def test_a_missing_source_becomes_a_directory(tmp_path: Path) -> None:
    [found] = resolve([_mount(tmp_path / "a/b")], [], {})
    assert Path(found.host_path).is_dir()


@pytest.mark.parametrize("through_link", [False, True])
def test_a_source_that_must_exist_is_not_made(tmp_path: Path, through_link: bool) -> None:
    (tmp_path / "link").symlink_to("missing")
    asked = tmp_path / ("link" if through_link else "missing")
    with pytest.raises(BadMount, match=r"mounts\[1\]\.host_path .* absent_mount_sources_to_reject"):
        resolve([_mount(tmp_path), _mount(asked)], [tmp_path / "missing"], {})
    assert not (tmp_path / "missing").exists()


def test_image_volumes_have_their_sources_already(tmp_path: Path) -> None:
    image = pb.Mount(container_path="/x", image=pb.ImageSpec(image="busybox"), readonly=True)
    found = resolve([_mount(tmp_path), image], [], {1: tmp_path / "volume"})
    assert [one.host_path for one in found] == [str(tmp_path), str(tmp_path / "volume")]
    assert [one.source_is_image for one in found] == [False, True]
    assert not (tmp_path / "volume").exists()


@pytest.mark.parametrize(
    ("source", "target", "field"), [("", "/x", "host_path"), ("/tmp", "", "container_path")]
)
def test_what_is_missing_is_named(source: str, target: str, field: str) -> None:
    with pytest.raises(BadMount, match=rf"mounts\[0\]\.{field}"):
        resolve([_mount(source, target)], [], {})


@pytest.mark.parametrize("host_path", ["odd/relative", "../x", "x"])
def test_a_relative_source_is_refused_and_made_nowhere(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, host_path: str
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(BadMount, match="not absolute"):
        resolve([pb.Mount(container_path="/x", host_path=host_path)], (), {})
    assert list(tmp_path.iterdir()) == []


def test_a_source_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(BadMount, match=r"host_path .*file/x cannot be made: Not a directory"):
        resolve([pb.Mount(container_path="/x", host_path=f"{tmp_path}/file/x")], (), {})
