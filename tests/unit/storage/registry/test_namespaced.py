"""storage/registry/namespaced: files of one pull of one namespace."""

import hashlib
from pathlib import Path

import pytest

from storage.registry.auth import BadAuthFile
from storage.registry.namespaced import AuthText, take

NAME = "registry.test/team/app"
FILE = f"pods-{hashlib.sha256(NAME.encode()).hexdigest()}.json"


@pytest.mark.parametrize("suffix", ["", ":1", "@sha256:" + "0" * 64])
def test_a_file_is_for_one_pull_of_its_name_whatever_the_tag(tmp_path: Path, suffix: str) -> None:
    (tmp_path / FILE).write_bytes(b"{}")
    assert take(tmp_path, "others", NAME + suffix) is None
    assert take(tmp_path, "pods", NAME + "2" + suffix) is None
    assert take(tmp_path, "pods", NAME + suffix) == AuthText(str(tmp_path / FILE), b"{}")
    assert list(tmp_path.iterdir()) == []
    assert take(tmp_path, "pods", NAME + suffix) is None


@pytest.mark.parametrize("namespace", ["", "../pods", "a/b", "a\0"])
def test_a_namespace_is_no_path(tmp_path: Path, namespace: str) -> None:
    (tmp_path / "deep").mkdir()
    (tmp_path / FILE).write_bytes(b"{}")
    assert take(tmp_path / "deep", namespace, NAME) is None
    assert (tmp_path / FILE).exists()


def test_a_directory_that_is_not_there_holds_nothing(tmp_path: Path) -> None:
    assert take(tmp_path / "none", "pods", NAME) is None


def test_a_file_that_cannot_be_read_fails_the_pull(tmp_path: Path) -> None:
    (tmp_path / FILE).mkdir()
    with pytest.raises(BadAuthFile, match="directory"):
        take(tmp_path, "pods", NAME)
