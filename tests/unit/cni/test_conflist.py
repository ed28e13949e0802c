"""Configuration files: what is accepted, and how each mistake is named."""

import json
from pathlib import Path

import pytest

from cni.conflist import parse_list, parse_single, read_directory
from cni.errors import NetworkConfigInvalid

GOOD = {"cniVersion": "1.0.0", "name": "pods", "plugins": [{"type": "bridge"}, {"type": "portmap"}]}


def parse(document: object) -> object:
    return parse_list(json.dumps(document).encode(), "x.conflist")


def test_a_list_is_read() -> None:
    network = parse_list(json.dumps({**GOOD, "disableCheck": True}).encode(), "x.conflist")
    assert (network.name, network.cni_version) == ("pods", "1.0.0")
    assert [plugin["type"] for plugin in network.plugins] == ["bridge", "portmap"]
    assert network.disable_check
    assert not network.disable_gc


def test_a_single_plugin_becomes_a_list_that_parses_back() -> None:
    document = {"cniVersion": "0.4.0", "name": "one", "type": "bridge", "mtu": 1400}
    network = parse_single(json.dumps(document).encode(), "x.conf")
    assert network.plugins == (document,)
    again = parse_list(network.raw, "cache")
    assert (again.name, again.cni_version, again.plugins) == ("one", "0.4.0", (document,))


def test_the_newest_known_version_of_several_is_spoken() -> None:
    network = parse_list(json.dumps({**GOOD, "cniVersions": ["0.4.0", "1.1.0", "9.0.0"]}).encode(), "x")
    assert network.cni_version == "1.1.0"


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"name": ""}, "name is missing"),
        ({"name": "../evil"}, "must begin with a letter or digit"),
        ({"name": "-x"}, "must begin with a letter or digit"),
        ({"name": 3}, "name must be a string, not a number"),
        ({"plugins": []}, "plugins must list at least one plugin"),
        ({"plugins": None, "type": "bridge"}, "belongs into a .conf file"),
        ({"plugins": {}}, "plugins must be a list, not an object"),
        ({"plugins": ["bridge"]}, "plugins must be a list of objects"),
        ({"plugins": [{"mtu": 3}]}, r"plugins\[0\]: type is missing"),
        ({"plugins": [{"type": "../../bin/sh"}]}, "must be the name of a plugin, not a path"),
        ({"plugins": [{"type": ".."}]}, "must be the name of a plugin, not a path"),
        (
            {"plugins": [{"type": "x", "capabilities": {"mac": "yes"}}]},
            "capabilities.mac must be true or false",
        ),
        ({"cniVersion": "0.2.0"}, "cniVersion '0.2.0' is not supported"),
        ({"cniVersion": ""}, "cniVersion '0.1.0' is not supported"),
        ({"cniVersion": "2.0.0"}, "cniVersion '2.0.0' is not supported"),
        ({"disableCheck": "yes"}, "disableCheck must be true or false, not 'yes'"),
        ({"disableGC": []}, "disableGC must be true or false, not a list"),
    ],
)
def test_mistakes_name_file_and_key(change: dict[str, object], message: str) -> None:
    with pytest.raises(NetworkConfigInvalid, match=rf"x\.conflist.*{message}"):
        parse({**GOOD, **change})


@pytest.mark.parametrize("data", [b"", b"{", b"[]", b"null", b"\xff\xfe", b"[" * 100_000])
def test_what_is_not_an_object_is_refused(data: bytes) -> None:
    with pytest.raises(NetworkConfigInvalid):
        parse_list(data, "x.conflist")


def test_a_directory_is_read_in_order_and_broken_files_are_named(tmp_path: Path) -> None:
    (tmp_path / "20-b.conflist").write_text(json.dumps(GOOD))
    (tmp_path / "10-a.conf").write_text(json.dumps({"cniVersion": "1.0.0", "name": "a", "type": "ptp"}))
    (tmp_path / "15-broken.json").write_text("{")
    (tmp_path / "notes.txt").write_text("not a configuration")
    found = read_directory(tmp_path)
    assert list(found.lists) == ["10-a.conf", "20-b.conflist"]
    assert list(found.errors) == ["15-broken.json"]
    assert "not JSON" in found.errors["15-broken.json"]


def test_a_directory_that_is_not_there_is_empty(tmp_path: Path) -> None:
    found = read_directory(tmp_path / "absent")
    assert (found.lists, found.errors) == ({}, {})


def test_a_huge_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "x.conf").write_bytes(b" " * ((1 << 20) + 1))
    assert "larger than" in read_directory(tmp_path).errors["x.conf"]
