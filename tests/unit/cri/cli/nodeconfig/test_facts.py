import ipaddress
import json
from pathlib import Path
from typing import Any, Literal

import pytest

from cni.errors import NetworkConfigInvalid
from conf.schema import Config, NetworkTable, RuntimeTable
from cri.cli.nodeconfig.facts import Facts, gather

HOST_LOCAL = {"type": "host-local", "subnet": "10.85.0.0/16"}
DUAL = {
    "type": "host-local",
    "ranges": [[{"subnet": "10.1.0.0/16"}, {"subnet": "10.2.0.0/16"}], [{"subnet": "fd00:1::/48"}]],
}


def with_networks(directory: Path, wanted: str = "", **lists: Any) -> Facts:
    """Facts of a node whose CNI directory has a bridge network for each name, with that ``ipam``."""
    for name, ipam in lists.items():
        plugin = {"type": "bridge", **({"ipam": ipam} if ipam else {})}
        conflist = {"cniVersion": "1.0.0", "name": name, "plugins": [plugin]}
        (directory / f"{name}.conflist").write_text(json.dumps(conflist))
    return gather(
        Config(network=NetworkTable(network_dir=directory, cni_default_network=wanted)), ranges=True
    )


@pytest.mark.parametrize(
    ("ipam", "expected"),
    [
        (HOST_LOCAL, ["10.85.0.0/16"]),
        (DUAL, ["10.1.0.0/16", "fd00:1::/48"]),
        ({"type": "dhcp"}, []),
        (None, []),
        ({"type": "host-local", "subnet": "usePodCidr"}, []),
        ({"type": "host-local", "subnet": "10.85"}, []),
        (
            {"type": "host-local", "ranges": [[{"subnet": "usePodCidr"}], [{"subnet": "fd00:1::/48"}]]},
            ["fd00:1::/48"],
        ),
    ],
)
def test_pods_get_the_first_range_of_each_family(tmp_path: Path, ipam: Any, expected: list[str]) -> None:
    facts = with_networks(tmp_path, net=ipam)
    assert facts.pod_networks == tuple(map(ipaddress.ip_network, expected))
    assert '"net"' in facts.network


def test_the_network_is_the_one_the_daemon_would_choose(tmp_path: Path) -> None:
    other = {"type": "host-local", "subnet": "10.9.0.0/16"}
    assert str(with_networks(tmp_path, a=HOST_LOCAL, b=other).pod_networks[0]) == "10.85.0.0/16"
    assert str(with_networks(tmp_path, "b").pod_networks[0]) == "10.9.0.0/16"


def test_a_node_without_a_network_says_where_it_was_looked_for(tmp_path: Path) -> None:
    facts = with_networks(tmp_path / "missing")
    assert facts.pod_networks == ()
    assert facts.network == f"there is no CNI configuration in {tmp_path}/missing yet"


def test_ranges_of_another_form_are_an_error_with_their_file(tmp_path: Path) -> None:
    with pytest.raises(NetworkConfigInvalid, match=r"net\.conflist"):
        with_networks(tmp_path, net={"type": "host-local", "subnet": 10})


def test_the_cni_configuration_is_read_for_its_ranges_alone(tmp_path: Path) -> None:
    with_networks(tmp_path, net=HOST_LOCAL)
    facts = gather(Config(network=NetworkTable(network_dir=tmp_path)), ranges=False)
    assert facts.pod_networks == ()


def test_the_endpoint_is_the_configured_socket(tmp_path: Path) -> None:
    assert with_networks(tmp_path).endpoint == "unix:///run/podwright/podwright.sock"


@pytest.mark.parametrize("manager", ["auto", "cgroupfs"])
def test_the_driver_is_one_that_the_kubelet_knows(manager: Literal["auto", "cgroupfs"]) -> None:
    facts = gather(Config(runtime=RuntimeTable(cgroup_manager=manager)), ranges=False)
    assert facts.cgroup_driver in ({"cgroupfs"} if manager == "cgroupfs" else {"cgroupfs", "systemd"})
