import json
from pathlib import Path
from typing import Any

import pytest

from oci.cdi.registry import SIZE_LIMIT, UnknownCdiDevice, edits_for
from oci.cdi.spec import BadDeviceName, Edits

YAML = """
cdiVersion: "0.5.0"
kind: vendor.com/net
containerEdits: {env: [COMMON=1]}
devices:
- name: a
  containerEdits: {env: [A=1]}
- name: b
  containerEdits:
    env:
    - B=1
"""


def _json(directory: Path, name: str, value: str, kind: str = "vendor.com/gpu") -> None:
    directory.mkdir(exist_ok=True)
    device: dict[str, Any] = {"name": "0", "containerEdits": {"env": [f"FROM={value}"]}}
    document = {"cdiVersion": "0.6.0", "kind": kind, "devices": [device]}
    (directory / name).write_text(json.dumps(document))


def test_common_edits_come_once_and_devices_in_their_order(tmp_path: Path) -> None:
    (tmp_path / "net.yaml").write_text(YAML)
    names = ["vendor.com/net=b", "vendor.com/net=a", "vendor.com/net=b"]
    assert edits_for(names, [tmp_path]) == Edits(env=("COMMON=1", "B=1", "A=1"))


def test_a_later_directory_wins(tmp_path: Path) -> None:
    first, second = tmp_path / "etc", tmp_path / "run"
    _json(first, "a.json", "etc")
    _json(second, "b.json", "run")
    assert edits_for(["vendor.com/gpu=0"], [first, second]) == Edits(env=("FROM=run",))
    assert edits_for(["vendor.com/gpu=0"], [second, first]) == Edits(env=("FROM=etc",))


def test_two_files_of_one_directory_make_a_device_unusable(tmp_path: Path) -> None:
    _json(tmp_path, "a.json", "a")
    _json(tmp_path, "b.json", "b")
    _json(tmp_path, "c.json", "c", kind="other.com/gpu")
    with pytest.raises(UnknownCdiDevice, match=r"'vendor.com/gpu=0' is in .*a.json and .*b.json"):
        edits_for(["vendor.com/gpu=0"], [tmp_path])
    assert edits_for(["other.com/gpu=0"], [tmp_path]) == Edits(env=("FROM=c",))


def test_what_is_not_there_is_named_with_the_troubles_of_the_files(tmp_path: Path) -> None:
    _json(tmp_path, "a.json", "a")
    (tmp_path / "bad.json").write_text("{")
    (tmp_path / "bad.yaml").write_text("a: [")
    (tmp_path / "large.json").write_bytes(b" " * (SIZE_LIMIT + 1))
    (tmp_path / "readme.txt").write_text("no file of ours")
    with pytest.raises(UnknownCdiDevice) as caught:
        edits_for(["vendor.com/gpu=0", "vendor.com/gpu=7"], [tmp_path, tmp_path / "missing"])
    message = str(caught.value)
    assert "'vendor.com/gpu=7'" in message
    for name in ("bad.json", "bad.yaml", "large.json"):
        assert f"{tmp_path / name}: " in message
    assert "readme" not in message
    assert "\n" not in message


def test_files_are_those_of_the_moment(tmp_path: Path) -> None:
    _json(tmp_path, "a.json", "before")
    assert edits_for(["vendor.com/gpu=0"], [tmp_path]).env == ("FROM=before",)
    _json(tmp_path, "a.json", "after")
    assert edits_for(["vendor.com/gpu=0"], [tmp_path]).env == ("FROM=after",)


def test_a_text_that_is_no_name_is_refused(tmp_path: Path) -> None:
    with pytest.raises(BadDeviceName, match="'gpu0'"):
        edits_for(["gpu0"], [tmp_path])
