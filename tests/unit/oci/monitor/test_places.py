from pathlib import Path

import pytest

from host.openat2 import LinkOnTheWay
from oci.monitor.places import prepare, refusal_of, remove, settle


def test_links_above_the_pods_directory_are_resolved_once(tmp_path: Path) -> None:
    (tmp_path / "disk").mkdir()
    (tmp_path / "var").symlink_to("disk")
    settled = settle(f"{tmp_path}/var/pods/pod/")["path"]
    assert settled == f"{tmp_path}/disk/pods/pod"
    assert Path(settled).is_dir()
    assert prepare(f"{settled}/container") == {"device": tmp_path.stat().st_dev}
    assert (tmp_path / "disk/pods/pod/container").is_dir()
    (tmp_path / "disk/pods").rename(tmp_path / "away")
    (tmp_path / "disk/pods").symlink_to(tmp_path / "away")
    with pytest.raises(LinkOnTheWay, match="disk/pods'"):
        prepare(f"{settled}/container")
    with pytest.raises(LinkOnTheWay, match="disk/pods'"):
        prepare(f"{settled}/other")
    assert not (tmp_path / "away/pod/other").exists()


def test_a_pods_directory_that_is_a_link_is_refused(tmp_path: Path) -> None:
    (tmp_path / "outside").mkdir()
    (tmp_path / "pod").symlink_to("outside")
    with pytest.raises(LinkOnTheWay, match="pod") as caught:
        settle(f"{tmp_path}/pod")
    assert refusal_of(caught.value) == (
        "log_refused",
        f"a symbolic link, which is not followed: {tmp_path}/pod",
    )


def test_a_file_in_the_way_is_another_failure(tmp_path: Path) -> None:
    (tmp_path / "pod").touch()
    with pytest.raises(NotADirectoryError) as caught:
        prepare(f"{tmp_path}/pod/main")
    assert refusal_of(caught.value).kind == "failed"


def test_logs_are_removed_and_what_links_lead_to_is_not(tmp_path: Path) -> None:
    (tmp_path / "pod/main").mkdir(parents=True)
    (tmp_path / "theirs").mkdir()
    (tmp_path / "pod/main/0.log").symlink_to(tmp_path / "theirs")
    for _ in range(2):
        assert remove(f"{tmp_path}/pod") == {}
    assert [path.name for path in tmp_path.iterdir()] == ["theirs"]
