"""What the generated files depend on, gathered from the configuration and this host."""

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from cni.conflist import NetworkList, read_directory
from cni.errors import NetworkConfigInvalid
from cni.fields import IpNetwork, Json, items, mapping, network, objects, string
from conf.schema import Config, NetworkTable
from cri.cgroups.choose import is_systemd
from cri.cli.examine.programs import chosen_network
from host.cgroups import Hierarchy


@dataclass(frozen=True, slots=True)
class Facts:
    """The effective configuration, as far as a kubelet or its installer must know it.

    Attributes:
        socket: Where the daemon listens.
        cgroup_driver: "systemd" or "cgroupfs", as RuntimeConfig answers.
        cgroup_version: 1 for hybrid layouts too.
        pod_networks: What pods' addresses are leased from: at most one range of each family.
        network: In words, where ``pod_networks`` come from, or why there are none.
        config: The configuration itself.
    """

    socket: Path
    cgroup_driver: str
    cgroup_version: int
    pod_networks: tuple[IpNetwork, ...]
    network: str
    config: Config

    @property
    def endpoint(self) -> str:
        """The socket as a URL."""
        return f"unix://{self.socket}"


def gather(config: Config, *, ranges: bool) -> Facts:
    """Read the cgroup layout and, if ``ranges`` of pods are asked for, the CNI configuration.

    Raises:
        NetworkConfigInvalid: The chosen network's address ranges have another form.
        NoSystemdDriver: It is configured, and cannot work on this host.
    """
    networks, where = _networks(config.network) if ranges else ((), "nothing was asked for")
    hierarchy = Hierarchy.detect()
    return Facts(
        socket=config.api.listen,
        cgroup_driver="systemd" if is_systemd(config.runtime.cgroup_manager, hierarchy) else "cgroupfs",
        cgroup_version=hierarchy.version,
        pod_networks=networks,
        network=where,
        config=config,
    )


def _networks(table: NetworkTable) -> tuple[tuple[IpNetwork, ...], str]:
    lists = tuple(read_directory(table.network_dir).lists.values())
    chosen = chosen_network(lists, table.cni_default_network)
    if chosen is None:
        return (), f"there is no CNI configuration in {table.network_dir} yet"
    found = pod_networks(chosen)
    if not found:
        return (), f'the network "{chosen.name}" ({chosen.source}) names no range'
    return found, f'the network "{chosen.name}" ({chosen.source})'


def pod_networks(chosen: NetworkList) -> tuple[IpNetwork, ...]:
    """The ranges that host-local leases addresses from, the first of each family.

    What is no network names no range: add-ons write "usePodCidr" there, for a plugin of theirs to replace.

    Raises:
        NetworkConfigInvalid: They have another form.
    """
    found: dict[int, IpNetwork] = {}
    for plugin in chosen.plugins:
        ipam = mapping(plugin, "ipam", chosen.source)
        for text in _subnets(ipam, chosen.source):
            with contextlib.suppress(NetworkConfigInvalid):
                one = network(text, "ipam.subnet", chosen.source)
                found.setdefault(one.version, one)
    return tuple(found.values())


def _subnets(ipam: Json, where: str) -> Iterator[str]:
    sets = [[ipam]] + [objects({"ranges": one}, "ranges", where) for one in items(ipam, "ranges", where)]
    for ranges in sets:
        yield from filter(None, (string(one, "subnet", where) for one in ranges))
