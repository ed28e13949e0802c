"""The configuration that a test daemon gets, as the TOML and JSON that it reads."""

import json
import tomllib
from pathlib import Path

from tests.harness.daemon import Settings, Value

STATE, RUNROOT = Path("/var/tmp/s"), Path("/run/r")


def test_all_state_is_private() -> None:
    crio = tomllib.loads(Settings().toml(STATE, RUNROOT))["crio"]
    assert (crio["root"], crio["runroot"], crio["log_dir"]) == ("/var/tmp/s/root", "/run/r", "/var/tmp/s/log")
    assert crio["api"]["listen"] == "/run/r/podwright.sock"
    assert crio["network"]["network_dir"] == "/var/tmp/s/net.d"


def test_tests_add_and_replace_keys() -> None:
    tables: dict[str, dict[str, Value]] = {
        "crio.runtime": {"drop_infra_ctr": False, "default_runtime": "runc"},
        "crio.stats": {"a": ["x"]},
    }
    crio = tomllib.loads(Settings(tables=tables).toml(STATE, RUNROOT))["crio"]
    assert crio["runtime"]["drop_infra_ctr"] is False
    assert crio["runtime"]["default_runtime"] == "runc"
    assert crio["runtime"]["cgroup_manager"] == "cgroupfs"
    assert crio["stats"] == {"a": ["x"]}


def test_the_network_keeps_its_leases_in_the_state() -> None:
    conflist = json.loads(Settings(bridge="pw9", subnet="10.88.9.0/24").conflist(STATE / "ipam"))
    bridge, portmap = conflist["plugins"]
    assert bridge["bridge"] == "pw9"
    assert bridge["ipam"]["dataDir"] == "/var/tmp/s/ipam"
    assert bridge["ipam"]["ranges"] == [[{"subnet": "10.88.9.0/24"}]]
    assert portmap["capabilities"] == {"portMappings": True}
