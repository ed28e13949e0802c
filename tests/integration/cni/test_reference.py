"""The built-ins beside the reference plugins: same results, and each can take over the other's pods."""

import json
import re
import socket
from pathlib import Path

import pytest

from cni.errors import PluginTimedOut
from cni.nat import PortMapping
from cni.plugin import Timeouts
from host.namespaces import in_namespace
from host.netlink import route
from host.netlink.connection import Netlink
from tests.integration.cni.conftest import REFERENCE_PLUGINS, Host, Start, nft_elements
from tests.integration.cni.test_builtin import PORTMAP, Server, ask

pytestmark = [
    pytest.mark.root,
    pytest.mark.skipif(
        not (REFERENCE_PLUGINS / "bridge").exists(), reason="the reference CNI plugins are not installed"
    ),
]

_RANDOM = re.compile(r'"mac": "[^"]*"|"name": "veth[^"]*"|"sandbox": "[^"]*"')


def blurred(result: object) -> str:
    """A result without what is random by design."""
    return _RANDOM.sub("*", json.dumps(result, sort_keys=True))


@pytest.mark.parametrize("version", ["0.3.1", "0.4.0", "1.0.0"])
@pytest.mark.parametrize(
    "keys",
    [
        {},
        {"isGateway": False, "ipMasq": False},
        {"isDefaultGateway": True, "dns": {"nameservers": ["10.0.0.10"], "search": ["a.b"]}},
    ],
    ids=["gateway", "no gateway", "default gateway and dns"],
)
async def test_results_are_the_same(host: Host, start: Start, version: str, keys: dict[str, object]) -> None:
    if "isDefaultGateway" in keys:  # the reference fails when IPAM gives a default route as well
        keys = {
            **keys,
            "ipam": {"type": "host-local", "dataDir": str(host.data_dir), "subnet": "10.77.0.0/24"},
        }
    results, inside = [], []
    for mode in ("never", "always"):
        host.conflist(host.bridge(**keys), version=version, name=f"pods-{mode}")
        network = await start(mode, REFERENCE_PLUGINS)
        pod = host.pod(mode)
        attachment = await network.attach(pod)
        results.append(blurred(attachment.result))
        inside.append(in_namespace(pod.netns, addresses_and_routes))
        await network.detach(pod)
        with Netlink() as netlink:
            netlink.request(route.delete_link("cni9"))
    assert results[0] == results[1]
    assert inside[0] == inside[1]


@pytest.mark.parametrize(("first", "second"), [("never", "always"), ("always", "never")])
async def test_each_detaches_the_others_pods(host: Host, start: Start, first: str, second: str) -> None:
    host.conflist(host.bridge(ipMasq=False))
    before, after = await start(first, REFERENCE_PLUGINS), await start(second, REFERENCE_PLUGINS)
    one, two = host.pod("one"), host.pod("two")
    assert (await before.attach(one)).ips[0] == "10.77.0.2"
    assert (await after.attach(two)).ips[0] == "10.77.0.3"
    with Server(one.netns, socket.AF_INET, socket.SOCK_STREAM, 80):
        assert in_namespace(two.netns, lambda: ask("10.77.0.2", 80)) == "10.77.0.3"
    await after.detach(one)
    await before.detach(two)
    assert host.left_over() == []


async def test_each_detaches_the_others_pods_without_a_cache(host: Host, start: Start) -> None:
    host.conflist(host.bridge(ipMasq=False))
    binary, ours = await start("never", REFERENCE_PLUGINS), await start("always", REFERENCE_PLUGINS)
    one = host.pod("one")
    await binary.attach(one)
    for path in host.cache_dir.glob("results/*"):
        path.unlink()
    await ours.detach(one)
    assert host.left_over() == []


async def test_loopback_and_executed_plugins_share_a_chain(host: Host, start: Start) -> None:
    host.conflist(host.bridge(), {"type": "tuning", "sysctl": {"net.core.somaxconn": "500"}}, PORTMAP)
    network = await start("auto", REFERENCE_PLUGINS)
    pod = host.pod("one", port_mappings=(PortMapping(8080, 80),))
    await network.attach(pod)
    assert in_namespace(pod.netns, lambda: Path("/proc/sys/net/core/somaxconn").read_text()) == "500\n"
    await network.check(pod)
    await network.detach(pod)
    assert host.left_over() == []


async def test_our_host_ports_serve_a_network_without_portmap(host: Host, start: Start) -> None:
    ipam = {"type": "host-local", "dataDir": str(host.data_dir), "subnet": "10.78.0.0/24"}
    host.conflist({"type": "ptp", "ipam": {**ipam, "routes": [{"dst": "0.0.0.0/0"}]}})
    network = await start("auto", REFERENCE_PLUGINS)
    pod = host.pod("one", port_mappings=(PortMapping(8080, 80),))
    await network.attach(pod)
    (Path("/proc/sys/net/ipv4/ip_forward")).write_text("1")
    with Server(pod.netns, socket.AF_INET, socket.SOCK_STREAM, 80):
        assert ask("127.0.0.1", 8080) == "10.78.0.1"
    assert nft_elements()
    await network.detach(pod)
    assert host.left_over() == []


async def test_a_chain_that_takes_too_long_is_undone(host: Host, start: Start) -> None:
    from cni.network import Network

    host.script("slow", '[ "$CNI_COMMAND" = ADD ] && exec sleep 60\nexit 0')
    host.conflist(host.bridge(), {"type": "slow"})
    network = Network(host.conf_dir, [host.plugin_dir], host.cache_dir, timeouts=Timeouts(add_s=0.5))
    await network.start()
    try:
        with pytest.raises(PluginTimedOut):
            await network.attach(host.pod("one"))
        assert host.left_over() == []
    finally:
        await network.close()


def addresses_and_routes() -> tuple[list[str], list[str]]:
    """Global addresses and main-table routes of eth0, but for what IPv6 adds by itself."""
    with Netlink() as netlink:
        index = route.parse_link(netlink.request(route.get_link("eth0"))[0]).index
        found = [route.parse_address(reply) for reply in netlink.dump(route.get_addresses(index))]
        addresses = [str(one) for at, one in found if at == index and not one.ip.is_link_local]
        routes = []
        for version in (4, 6):
            for reply in netlink.dump(route.get_routes(version)):
                at, one = route.parse_route(reply)
                if at == index and one.table == 254 and not one.destination.is_link_local:
                    routes.append(f"{one.destination} {one.gateway} {one.scope}")
    return sorted(addresses), sorted(routes)
