"""The built-in plugins on real interfaces: reachability, host ports, failures, and nothing left behind."""

import asyncio
import ipaddress
import json
import socket
import struct
import threading
import time
from pathlib import Path

import pytest

from cni.errors import HostPortTaken, PluginFailed
from cni.hostports import owner_of
from cni.nat import PortMapping
from cni.pod import PodNetwork
from cni.ruleset import HOSTPORT_SETS
from host.namespaces import in_namespace
from host.netlink import route
from host.netlink.connection import Netlink
from tests.harness.client import eventually
from tests.integration.cni.conftest import Host, Start, links, nft_elements

pytestmark = pytest.mark.root

EXAMPLES = Path(__file__).parents[3] / "docs/examples"
PORTMAP = {"type": "portmap", "capabilities": {"portMappings": True}}


class Server:
    """A listener inside a pod that answers each connection or datagram with the peer's address."""

    def __init__(self, netns: Path, family: int, kind: int, port: int) -> None:
        address = "" if family == socket.AF_INET else "::"

        def listen() -> socket.socket:
            listener = socket.socket(family, kind)
            if family == socket.AF_INET6:
                listener.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
            listener.bind((address, port))
            if kind == socket.SOCK_STREAM:
                listener.listen()
            return listener

        self._socket = in_namespace(netns, listen)
        self._stream = kind == socket.SOCK_STREAM
        self._thread = threading.Thread(target=self._serve)
        self._thread.start()

    def __enter__(self) -> "Server":
        return self

    def __exit__(self, *_: object) -> None:
        self._socket.shutdown(socket.SHUT_RDWR) if self._stream else self._wake()
        self._thread.join()
        self._socket.close()

    def _wake(self) -> None:
        try:
            self._socket.shutdown(socket.SHUT_RDWR)  # wakes recvfrom even on an unconnected socket
        except OSError:
            pass

    def _serve(self) -> None:
        while True:
            try:
                if self._stream:
                    connection, peer = self._socket.accept()
                    with connection:
                        connection.sendall(str(peer[0]).encode())
                else:
                    data, peer = self._socket.recvfrom(100)
                    if not data:
                        return
                    self._socket.sendto(str(peer[0]).encode(), peer)
            except OSError:
                return


def set_here(sysctl: str, value: str) -> None:
    """Write a sysctl of this thread's network namespace."""
    (Path("/proc/sys") / sysctl).write_text(value)


def ask(address: str, port: int, kind: int = socket.SOCK_STREAM) -> str:
    """Connect and read what the server saw as our address."""
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    with socket.socket(family, kind) as client:
        client.settimeout(5)
        client.connect((address, port))
        if kind == socket.SOCK_DGRAM:
            client.send(b"hello")
        return client.recv(100).decode()


async def test_pods_reach_each_other_and_the_host(host: Host, start: Start) -> None:
    host.conflist(host.bridge())
    network = await start()
    assert network.ready().ok
    one, two = host.pod("one"), host.pod("two")
    first, second = await network.attach(one), await network.attach(two)
    assert first.ips == ("10.77.0.2", "fd00:77::2")
    assert second.ips == ("10.77.0.3", "fd00:77::3")
    with Server(one.netns, socket.AF_INET, socket.SOCK_STREAM, 80):
        assert in_namespace(two.netns, lambda: ask("10.77.0.2", 80)) == "10.77.0.3"
        assert ask("10.77.0.2", 80) == "10.77.0.1"
    with Server(one.netns, socket.AF_INET6, socket.SOCK_STREAM, 80):
        assert in_namespace(two.netns, lambda: ask("fd00:77::2", 80)) == "fd00:77::3"
    for pod in (one, two, one):
        await network.detach(pod)
    assert host.left_over() == []


def advertise() -> None:
    """Say as root of a pod that this is the router, and that 2001:db8:bad::/64 is here (RFC 4861)."""
    prefix = struct.pack("!BBBBIII", 3, 4, 64, 0xC0, 86400, 14400, 0)
    prefix += socket.inet_pton(socket.AF_INET6, "2001:db8:bad::")
    with socket.socket(socket.AF_INET6, socket.SOCK_RAW, socket.IPPROTO_ICMPV6) as router:
        index = socket.if_nametoindex("eth0")
        router.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_MULTICAST_HOPS, 255)
        router.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_MULTICAST_IF, index)
        message = struct.pack("!BBHBBHII", 134, 0, 0, 64, 0, 1800, 0, 0)
        router.sendto(message + prefix, ("ff02::1", 0, 0, index))


def addresses() -> str:
    """Of this thread's network namespace, by IPv6."""
    return Path("/proc/thread-self/net/if_inet6").read_text()


async def test_no_pod_is_the_router_of_another(host: Host, start: Start) -> None:
    host.conflist(host.bridge())
    network = await start()
    one, two, three = host.pod("one"), host.pod("two"), host.pod("three")
    in_namespace(three.netns, lambda: set_here("net/ipv6/conf/default/accept_ra", "2"))
    for pod in (one, two, three):
        await network.attach(pod)

    def asked_for() -> str:
        in_namespace(one.netns, advertise)
        return in_namespace(three.netns, addresses)

    await asyncio.to_thread(eventually, asked_for, lambda text: "20010db80bad" in text, "it comes")
    assert "20010db80bad" not in in_namespace(two.netns, addresses)
    assert "20010db80bad" not in addresses()
    for pod in (one, two, three):
        await network.detach(pod)


async def test_loopback_works_in_the_pod(host: Host, start: Start) -> None:
    host.conflist(host.bridge())
    network = await start()
    pod = host.pod("one")
    await network.attach(pod)
    with Server(pod.netns, socket.AF_INET, socket.SOCK_STREAM, 80):
        assert in_namespace(pod.netns, lambda: ask("127.0.0.1", 80)) == "127.0.0.1"


@pytest.mark.parametrize("plugins", [[PORTMAP], []], ids=["portmap", "own host ports"])
@pytest.mark.parametrize("kind", [socket.SOCK_STREAM, socket.SOCK_DGRAM], ids=["tcp", "udp"])
@pytest.mark.parametrize("bridge_rules", ["0", "1"], ids=["routed", "br_netfilter"])
async def test_host_ports(
    host: Host, start: Start, plugins: list[object], kind: int, bridge_rules: str
) -> None:
    for name in ("iptables", "ip6tables"):
        set_here(f"net/bridge/bridge-nf-call-{name}", bridge_rules)
    host.conflist(host.bridge(hairpinMode=True), *plugins)
    network = await start()
    protocol = "tcp" if kind == socket.SOCK_STREAM else "udp"
    mappings = (PortMapping(8080, 80, protocol), PortMapping(8081, 80, protocol, "127.0.0.1"))
    one, two = host.pod("one", port_mappings=mappings), host.pod("two")
    await network.attach(one)
    await network.attach(two)
    with Server(one.netns, socket.AF_INET, kind, 80):
        assert ask("127.0.0.1", 8080, kind) == "10.77.0.1"
        assert ask("10.77.0.1", 8080, kind) == "10.77.0.1"
        assert ask("127.0.0.1", 8081, kind) == "10.77.0.1"
        # From the pods by the host's address; the pod itself too.
        seen = in_namespace(two.netns, lambda: ask("10.77.0.1", 8080, kind))
        assert seen == ("10.77.0.3" if bridge_rules == "1" else "10.77.0.1")
        assert in_namespace(one.netns, lambda: ask("10.77.0.1", 8080, kind)) == "10.77.0.1"
    with Server(one.netns, socket.AF_INET6, kind, 80):
        assert ask("fd00:77::1", 8080, kind) == "fd00:77::1"
        seen = in_namespace(two.netns, lambda: ask("fd00:77::1", 8080, kind))
        assert seen == ("fd00:77::3" if bridge_rules == "1" else "fd00:77::1")
        assert in_namespace(one.netns, lambda: ask("fd00:77::1", 8080, kind)) == "fd00:77::1"
    await network.detach(one)
    await network.detach(two)
    assert host.left_over() == []
    with pytest.raises(OSError):  # noqa: PT011  refused or, for UDP, unreachable or silent
        ask("127.0.0.1", 8080, kind)


async def test_a_resolver_beside_localhost_stays_the_hosts(host: Host, start: Start) -> None:
    host.conflist(host.bridge(), PORTMAP)
    network = await start()
    pod = host.pod("one", port_mappings=(PortMapping(8080, 80, "udp"),))
    await network.attach(pod)
    with (
        Server(pod.netns, socket.AF_INET, socket.SOCK_DGRAM, 80),
        socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as resolver,
        socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client,
    ):
        assert ask("127.0.0.1", 8080, socket.SOCK_DGRAM) == "10.77.0.1"
        resolver.bind(("127.0.0.53", 8080))
        resolver.settimeout(5)
        client.sendto(b"a question", ("127.0.0.53", 8080))
        assert resolver.recv(100) == b"a question"
    await network.detach(pod)


async def test_a_host_port_goes_to_one_pod(host: Host, start: Start) -> None:
    host.conflist(host.bridge(), PORTMAP)
    network = await start()
    mappings = (PortMapping(8080, 80),)
    one, two = host.pod("one", port_mappings=mappings), host.pod("two", port_mappings=mappings)
    await network.attach(one)
    with pytest.raises(HostPortTaken, match=r"host port 8080/tcp .*sandbox-one"):
        await network.attach(two)
    assert links().count("cni9") == 1
    assert len([name for name in links() if name.startswith("veth")]) == 1
    await network.detach(one)
    await network.attach(two)
    # The first pod's detach comes again, late: the port is the second's now.
    await network.detach(one)
    assert any(element.set == "hostports4" for element in nft_elements())
    await network.detach(two)
    assert host.left_over() == []


async def test_what_leaves_the_bridge_is_masqueraded(host: Host, start: Start, tmp_path: Path) -> None:
    host.conflist(host.bridge())
    network = await start()
    pod = host.pod("one")
    await network.attach(pod)
    # A second bridge plays the outside world, with a "pod" that has no route back to 10.77.0.0/24.
    outside = host.bridge(
        bridge="outside0",
        ipMasq=False,
        ipam={"type": "host-local", "dataDir": str(host.data_dir), "subnet": "192.0.2.0/24"},
    )
    host.write("00-outside.conflist", {"cniVersion": "1.0.0", "name": "outside", "plugins": [outside]})
    world = await start(default="outside")
    server = host.pod("server")
    await world.attach(server)
    with Server(server.netns, socket.AF_INET, socket.SOCK_STREAM, 80):
        assert in_namespace(pod.netns, lambda: ask("192.0.2.2", 80)) == "192.0.2.1"


async def test_a_pod_cannot_reach_what_the_host_serves_on_loopback(host: Host, start: Start) -> None:
    host.conflist(host.bridge())
    network = await start()
    pod = host.pod("one", port_mappings=(PortMapping(8080, 80),))
    await network.attach(pod)
    assert Path("/proc/sys/net/ipv4/conf/cni9/route_localnet").read_text().strip() == "1"

    def send() -> None:
        # As root of the pod: route 127.0.0.1 to the bridge instead of lo.
        set_here("net/ipv4/conf/eth0/route_localnet", "1")
        with Netlink() as netlink:
            lo, eth0 = (
                route.parse_link(netlink.request(route.get_link(name))[0]).index for name in ("lo", "eth0")
            )
            netlink.request(route.delete_address(lo, ipaddress.ip_interface("127.0.0.1/8"), "lo"))
            gateway = ipaddress.ip_address("10.77.0.1")
            to_host = route.Route(ipaddress.ip_network("127.0.0.1/32"), gateway)
            netlink.request(route.new_route(eth0, to_host, "eth0"))
        again()

    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as service:
        service.bind(("127.0.0.1", 7777))
        service.settimeout(0.3)
        in_namespace(pod.netns, send)
        with pytest.raises(TimeoutError):
            service.recv(10)
        # The same packet arrives once the guard is away: the test does reach the host.
        process = await asyncio.create_subprocess_exec("nft", "flush", "chain", "inet", "podwright", "guard")
        assert await process.wait() == 0
        in_namespace(pod.netns, again)
        assert service.recv(10) == b"hello"


def again() -> None:
    """Send once more to what the pod takes for the host's loopback."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client:
        client.bind(("10.77.0.2", 0))
        client.sendto(b"hello", ("127.0.0.1", 7777))


async def test_fifty_pods_at_once(host: Host, start: Start) -> None:
    host.conflist(host.bridge(), PORTMAP)
    network = await start()
    pods = [host.pod(f"p{n}", port_mappings=(PortMapping(9000 + n, 80),)) for n in range(50)]
    began = time.perf_counter()
    attachments = await asyncio.gather(*(network.attach(pod) for pod in pods))
    print(f"50 attached in {(time.perf_counter() - began) * 1000:.0f} ms")
    assert len({attachment.ips[0] for attachment in attachments}) == 50
    assert len({attachment.ips[1] for attachment in attachments}) == 50
    assert len([name for name in links() if name.startswith("veth")]) == 50
    with Server(pods[49].netns, socket.AF_INET, socket.SOCK_STREAM, 80):
        assert ask("127.0.0.1", 9049) == "10.77.0.1"
        address = attachments[49].ips[0]
        assert in_namespace(pods[0].netns, lambda: ask(address, 80)) == attachments[0].ips[0]
    began = time.perf_counter()
    await asyncio.gather(*(network.detach(pod) for pod in pods))
    print(f"50 detached in {(time.perf_counter() - began) * 1000:.0f} ms")
    assert host.left_over() == []


@pytest.mark.parametrize("position", [0, 1, 2])
async def test_a_failure_anywhere_undoes_the_rest(host: Host, start: Start, position: int) -> None:
    host.script(
        "broken", '[ "$CNI_COMMAND" = ADD ] || exit 0\necho \'{"code": 7, "msg": "on purpose"}\'; exit 1'
    )
    plugins: list[object] = [host.bridge(), PORTMAP]
    plugins.insert(position, {"type": "broken"})
    host.conflist(*plugins)
    network = await start()
    with pytest.raises(PluginFailed, match="broken failed on ADD: on purpose") as caught:
        await network.attach(host.pod("one", port_mappings=(PortMapping(8080, 80),)))
    assert caught.value.code == 7
    assert host.left_over() == []


async def test_an_exhausted_range_says_so(host: Host, start: Start) -> None:
    ipam = {"type": "host-local", "dataDir": str(host.data_dir), "subnet": "10.77.0.0/30"}
    host.conflist(host.bridge(ipam=ipam))
    network = await start()
    one = host.pod("one")
    await network.attach(one)
    with pytest.raises(PluginFailed, match=r"no IP addresses available in 10\.77\.0\.1-10\.77\.0\.2"):
        await network.attach(host.pod("two"))
    await network.detach(one)
    assert host.left_over() == []


async def test_detach_works_when_namespace_and_configuration_are_gone(host: Host, start: Start) -> None:
    host.conflist(host.bridge(), PORTMAP)
    network = await start()
    pod: PodNetwork = host.pod("one", port_mappings=(PortMapping(8080, 80),))
    await network.attach(pod)
    host.close()
    (host.conf_dir / "10-pods.conflist").unlink()
    await network.reload()
    assert not network.ready().ok
    await network.detach(pod)
    assert host.left_over() == []


async def test_collect_detaches_unknown_sandboxes(host: Host, start: Start) -> None:
    host.conflist(host.bridge(), PORTMAP)
    network = await start()
    one, two = (
        host.pod(name, port_mappings=(PortMapping(port, 80),)) for name, port in (("one", 81), ("two", 82))
    )
    await network.attach(one)
    await network.attach(two)
    await network.collect({two.sandbox_id})
    assert {element.comment for element in nft_elements()} == {f"{two.sandbox_id} eth0"}
    await network.detach(two)
    assert host.left_over() == []


async def test_what_a_power_failure_left_without_a_result_is_given_back(host: Host, start: Start) -> None:
    version = json.loads((EXAMPLES / "10-podwright-bridge.conflist").read_text())["cniVersion"]
    host.conflist(host.bridge(), PORTMAP, version=version)
    network = await start()
    await network.attach(host.pod("one"))
    for path in host.cache_dir.glob("results/*"):
        path.unlink()
    [veth] = [name for name in links() if name not in ("lo", "cni9")]
    for command in (["ip", "link", "delete", veth], ["nft", "flush", "ruleset"]):  # as a boot does
        process = await asyncio.create_subprocess_exec(*command)
        assert await process.wait() == 0
    assert {left.partition(" ")[0] for left in host.left_over()} == {"lease"}
    await network.collect([])
    assert host.left_over() == []


async def test_a_flushed_ruleset_is_made_again(host: Host, start: Start) -> None:
    host.conflist(host.bridge(), PORTMAP)
    network = await start()
    one = host.pod("one", port_mappings=(PortMapping(8080, 80),))
    await network.attach(one)
    process = await asyncio.create_subprocess_exec("nft", "flush", "ruleset")
    assert await process.wait() == 0
    two = host.pod("two", port_mappings=(PortMapping(8080, 80),))
    await network.attach(two)
    with Server(two.netns, socket.AF_INET, socket.SOCK_STREAM, 80):
        assert ask("127.0.0.1", 8080) == "10.77.0.1"
    await network.detach(one)
    await network.detach(two)
    assert host.left_over() == []


async def test_an_old_udp_flow_follows_the_host_port(host: Host, start: Start) -> None:
    host.conflist(host.bridge(), PORTMAP)
    network = await start()
    mappings = (PortMapping(5353, 53, "udp"),)
    one, two = host.pod("one", port_mappings=mappings), host.pod("two", port_mappings=mappings)
    await network.attach(one)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client:
        client.settimeout(5)
        client.connect(("10.77.0.1", 5353))
        with Server(one.netns, socket.AF_INET, socket.SOCK_DGRAM, 53):
            client.send(b"hello")
            assert client.recv(100) == b"10.77.0.1"
        await network.detach(one)
        await network.attach(two)
        with Server(two.netns, socket.AF_INET, socket.SOCK_DGRAM, 53):
            client.send(b"hello")
            assert client.recv(100) == b"10.77.0.1"
    await network.detach(two)


def tracked(port: int) -> list[str]:
    """The flows to a port of the host that the kernel has in mind."""
    lines = Path("/proc/thread-self/net/nf_conntrack").read_text().splitlines()
    return [line for line in lines if f"dport={port} " in line]


@pytest.mark.parametrize("plugins", [[PORTMAP], []], ids=["portmap", "own host ports"])
@pytest.mark.parametrize("kind", [socket.SOCK_STREAM, socket.SOCK_DGRAM], ids=["tcp", "udp"])
@pytest.mark.parametrize("how", ["detach", "detach again", "collect"])
async def test_no_flow_to_a_host_port_is_tracked_when_its_pod_is_gone(
    host: Host, start: Start, plugins: list[object], kind: int, how: str
) -> None:
    host.conflist(host.bridge(), *plugins, version="1.1.0")
    network = await start()
    protocol = "tcp" if kind == socket.SOCK_STREAM else "udp"
    pod = host.pod("one", port_mappings=(PortMapping(8080, 80, protocol),))
    await network.attach(pod)
    for family, address in ((socket.AF_INET, "10.77.0.1"), (socket.AF_INET6, "fd00:77::1")):
        with Server(pod.netns, family, kind, 80):
            ask(address, 8080, kind)
    assert len(tracked(8080)) == 2
    if how == "detach again":
        # As after a crash in the midst of it: the ports are closed, and nobody knows what was tracked.
        network._nat.remove(owner_of(pod.sandbox_id, "eth0"), HOSTPORT_SETS)
    await (network.collect([]) if how == "collect" else network.detach(pod))
    assert tracked(8080) == []
    assert host.left_over() == []


async def test_the_bridge_keeps_another_address_unless_forced(host: Host, start: Start) -> None:
    host.conflist(host.bridge())
    network = await start()
    await network.attach(host.pod("one"))
    other = {"type": "host-local", "dataDir": str(host.data_dir), "subnet": "10.99.0.0/24"}
    host.conflist(host.bridge(ipam=other), name="other")
    await network.reload()
    two = host.pod("two")
    with pytest.raises(PluginFailed, match=r"cni9 has the address 10\.77\.0\.1/24, not 10\.99\.0\.1/24"):
        await network.attach(two)
    host.conflist(host.bridge(ipam=other, forceAddress=True), name="other")
    await network.reload()
    assert (await network.attach(two)).ips == ("10.99.0.3",)


async def test_promiscuous_mode_and_mtu_reach_the_kernel(host: Host, start: Start) -> None:
    host.conflist(host.bridge(promiscMode=True, mtu=1400))
    network = await start()
    pod = host.pod("one")
    await network.attach(pod)

    def link(name: str) -> route.Link:
        with Netlink() as netlink:
            return route.parse_link(netlink.request(route.get_link(name))[0])

    assert link("cni9").kind == "bridge"
    assert link("cni9").flags & route.IFF_PROMISC
    assert link("cni9").mtu == 1400
    inside = in_namespace(pod.netns, lambda: link("eth0"))
    assert (inside.mtu, inside.mac) == (1400, "0a:58:0a:4d:00:02")


async def test_a_requested_hardware_address_is_used(host: Host, start: Start) -> None:
    host.conflist(host.bridge(args={"cni": {"mac": "02:00:00:00:00:09"}}))
    network = await start()
    attachment = await network.attach(host.pod("one"))
    assert "02:00:00:00:00:09" in json.dumps(attachment.result)


async def test_check_notices_a_lost_interface(host: Host, start: Start) -> None:
    host.conflist(host.bridge(), PORTMAP)
    network = await start()
    pod = host.pod("one", port_mappings=(PortMapping(8080, 80),))
    await network.attach(pod)
    await network.check(pod)

    def lose() -> None:
        with Netlink() as netlink:
            netlink.request(route.delete_link("eth0"))

    in_namespace(pod.netns, lose)
    with pytest.raises(PluginFailed, match="failed on CHECK: find eth0: No such device"):
        await network.check(pod)
    await network.detach(pod)
    assert host.left_over() == []


async def test_crio_s_own_bridge_network_works(host: Host, start: Start) -> None:
    # The keys of CRI-O's contrib/cni/11-crio-ipv4-bridge.conflist with its IPv6 range.
    ipam = {
        "type": "host-local",
        "dataDir": str(host.data_dir),
        "routes": [{"dst": "0.0.0.0/0"}, {"dst": "1100:200::1/24"}],
        "ranges": [[{"subnet": "10.85.0.0/16"}], [{"subnet": "1100:200::/24"}]],
    }
    host.conflist(host.bridge(ipam=ipam, hairpinMode=True), name="crio")
    network = await start()
    pod = host.pod("one", port_mappings=(PortMapping(12000, 80),))
    assert (await network.attach(pod)).ips == ("10.85.0.2", "1100:200::2")
    with Server(pod.netns, socket.AF_INET, socket.SOCK_STREAM, 80):
        assert ask("127.0.0.1", 12000) == "10.85.0.1"
    with Server(pod.netns, socket.AF_INET6, socket.SOCK_STREAM, 80):
        assert ask("1100:200::2", 80) == "1100:200::1"
    await network.detach(pod)
    assert host.left_over() == []


@pytest.mark.parametrize("plugins", [[PORTMAP], []], ids=["portmap", "own host ports"])
async def test_detach_needs_no_cache(host: Host, start: Start, plugins: list[object]) -> None:
    # What a crash leaves that came after the plugins and before the result was stored.
    host.conflist(host.bridge(), *plugins)
    network = await start()
    pod = host.pod("one", port_mappings=(PortMapping(8080, 80),))
    await network.attach(pod)
    for path in host.cache_dir.glob("results/*"):
        path.unlink()
    assert len(host.left_over()) > 5
    await network.detach(pod)
    assert host.left_over() == []


async def test_a_pod_that_was_given_up_is_undone(host: Host, start: Start) -> None:
    host.script("slow", '[ "$CNI_COMMAND" = ADD ] && exec sleep 60\nexit 0')
    host.conflist(host.bridge(), PORTMAP, {"type": "slow"})
    network = await start()
    pod = host.pod("one", port_mappings=(PortMapping(8080, 80),))
    attaching = asyncio.create_task(network.attach(pod))
    while not any(element.set == "hostports4" for element in nft_elements()):
        await asyncio.sleep(0.01)
    attaching.cancel()
    with pytest.raises(asyncio.CancelledError):
        await attaching
    assert host.left_over() == []
