"""The result cache in libcni's form."""

import base64
import json
from pathlib import Path

import pytest

from cni.cache import Entry, ResultCache, parse_entry
from cni.call import Call
from cni.errors import NetworkConfigInvalid

CALL = Call("abc", "/ns", "eth0", (("K8S_POD_NAME", "web"),), {"portMappings": [{"hostPort": 80}]})
ENTRY = Entry("pods", b'{"name": "pods"}', CALL, {"cniVersion": "1.0.0"})


def test_an_entry_is_found_by_its_container(tmp_path: Path) -> None:
    cache = ResultCache(tmp_path)
    cache.store(ENTRY)
    cache.store(Entry("pods", b"{}", Call("abc-eth0", "", "eth0"), {}))
    assert cache.of_container("abc") == [ENTRY]
    assert len(cache.all()) == 2
    cache.remove("pods", CALL)
    cache.remove("pods", CALL)
    assert cache.of_container("abc") == []


def test_a_sweep_takes_what_was_being_written_alone(tmp_path: Path) -> None:
    cache = ResultCache(tmp_path)
    cache.sweep()
    cache.store(ENTRY)
    (tmp_path / "results" / ".pods-two-eth0.0a1b2c3d.tmp").write_bytes(b"{")
    cache.sweep()
    assert [path.name for path in (tmp_path / "results").iterdir()] == ["pods-abc-eth0"]


@pytest.mark.parametrize("data", [b"", bytes(1944), b"{", b"[]", b'{"kind": "another"}'])
def test_what_is_damaged_goes_unless_its_container_is_known(tmp_path: Path, data: bytes) -> None:
    cache = ResultCache(tmp_path)
    cache.discard_damaged((), ())
    cache.store(ENTRY)
    whole = Entry("pods", b"{}", Call("gone", "", "eth0"), {})
    cache.store(whole)
    for name in ("pods-lost-eth0", "pods-known-eth0"):
        (tmp_path / "results" / name).write_bytes(data)
    cache.discard_damaged(cache.all(), {"abc", "known"})
    names = sorted(path.name for path in (tmp_path / "results").iterdir())
    assert names == ["pods-abc-eth0", "pods-gone-eth0", "pods-known-eth0"]
    assert cache.of_container("gone") == [whole]


def test_the_file_is_libcnis(tmp_path: Path) -> None:
    ResultCache(tmp_path).store(ENTRY)
    path = tmp_path / "results" / "pods-abc-eth0"
    assert json.loads(path.read_text()) == {
        "kind": "cniCacheV1",
        "containerId": "abc",
        "config": base64.b64encode(ENTRY.config).decode(),
        "ifName": "eth0",
        "networkName": "pods",
        "netns": "/ns",
        "cniArgs": [["K8S_POD_NAME", "web"]],
        "capabilityArgs": {"portMappings": [{"hostPort": 80}]},
        "result": {"cniVersion": "1.0.0"},
    }
    assert path.stat().st_mode & 0o777 == 0o600


def test_an_entry_without_netns_is_that_of_an_older_libcni() -> None:
    document = {"kind": "cniCacheV1", "containerId": "a", "ifName": "eth0", "networkName": "n", "config": ""}
    assert parse_entry(json.dumps(document).encode(), "x").call == Call("a", "", "eth0")


@pytest.mark.parametrize(
    "data", [b"", b"[]", b"{}", b'{"kind": "other"}', b'{"kind": "cniCacheV1", "config": "%%%"}']
)
def test_other_files_are_passed_over(tmp_path: Path, data: bytes) -> None:
    with pytest.raises(NetworkConfigInvalid):
        parse_entry(data, "x")
    (tmp_path / "results").mkdir()
    (tmp_path / "results" / "pods-abc-eth0").write_bytes(data)
    assert ResultCache(tmp_path).of_container("abc") == []
