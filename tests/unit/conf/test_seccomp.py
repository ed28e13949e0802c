import json
import os
from pathlib import Path

import pytest

from conf.seccomp import SIZE_LIMIT, BadSeccompProfile, default_profile, load_profile


def test_the_shipped_profile_denies_by_default() -> None:
    profile = default_profile()
    assert profile["defaultAction"] == "SCMP_ACT_ERRNO"
    assert profile["defaultErrnoRet"] == 38


def test_a_file(tmp_path: Path) -> None:
    file = tmp_path / "p.json"
    file.write_text(json.dumps({"defaultAction": "SCMP_ACT_ALLOW"}))
    assert load_profile(file) == {"defaultAction": "SCMP_ACT_ALLOW"}


@pytest.mark.parametrize(
    "content", ["", "[]", "{}", '{"defaultAction": 1}', "{", "\0", "x" * (SIZE_LIMIT + 1)]
)
def test_what_is_no_profile_is_refused_by_path(tmp_path: Path, content: str) -> None:
    file = tmp_path / "bad.json"
    file.write_text(content)
    with pytest.raises(BadSeccompProfile, match=r"bad\.json"):
        load_profile(file)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(BadSeccompProfile, match="gone"):
        load_profile(tmp_path / "gone")


@pytest.mark.parametrize("name", ["/dev/zero", "/dev/tty", "fifo", "directory"])
def test_what_is_no_file_is_refused_and_not_waited_for(tmp_path: Path, name: str) -> None:
    os.mkfifo(tmp_path / "fifo")
    (tmp_path / "directory").mkdir()
    with pytest.raises(BadSeccompProfile, match=name):
        load_profile(tmp_path / name)


def test_a_profile_that_is_nested_without_end_is_refused(tmp_path: Path) -> None:
    (tmp_path / "deep.json").write_text("[" * 100_000)
    with pytest.raises(BadSeccompProfile, match=r"deep\.json"):
        load_profile(tmp_path / "deep.json")
