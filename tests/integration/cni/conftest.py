"""Each test gets a network namespace that plays the host; pods are namespaces pinned beside it."""

import asyncio
import contextlib
import json
import os
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from pathlib import Path

import pytest

from cni.network import Network
from cni.pod import PodNetwork
from host.namespaces import Kind, pin, set_namespace, unpin, unshare
from host.netlink import nftables, route
from host.netlink.connection import NETLINK_NETFILTER, Netlink

REFERENCE_PLUGINS = Path("/usr/lib/cni")

Start = Callable[..., Awaitable[Network]]


@pytest.fixture(autouse=True)
def host_namespace() -> Iterator[None]:
    """This thread, and so the threads that it starts, in a new network namespace with ``lo`` up."""
    before = os.open("/proc/thread-self/ns/net", os.O_RDONLY | os.O_CLOEXEC)
    unshare((Kind.NET,))
    try:
        with Netlink() as netlink:
            lo = route.parse_link(netlink.request(route.get_link("lo"))[0])
            netlink.request(route.set_up(lo.index, "lo"))
        yield
    finally:
        set_namespace(before)
        os.close(before)


class Host:
    """Directories of a node, pods to attach, and what is left."""

    def __init__(self, base: Path) -> None:
        self.base = base
        self.conf_dir = base / "net.d"
        self.plugin_dir = base / "bin"
        self.cache_dir = base / "cache"
        self.data_dir = base / "leases"
        self.pins = base / "pins"
        for directory in (self.conf_dir, self.plugin_dir, self.pins):
            directory.mkdir()
        self._pods: list[Path] = []

    def write(self, name: str, document: object) -> Path:
        """Write a configuration file."""
        path = self.conf_dir / name
        path.write_text(json.dumps(document))
        return path

    def bridge(self, **keys: object) -> dict[str, object]:
        """A bridge plugin's configuration for 10.77.0.0/24 and fd00:77::/64."""
        return {
            "type": "bridge",
            "bridge": "cni9",
            "isGateway": True,
            "ipMasq": True,
            "ipam": {
                "type": "host-local",
                "dataDir": str(self.data_dir),
                "ranges": [[{"subnet": "10.77.0.0/24"}], [{"subnet": "fd00:77::/64"}]],
                "routes": [{"dst": "0.0.0.0/0"}, {"dst": "::/0"}],
            },
            **keys,
        }

    def conflist(self, *plugins: object, version: str = "1.0.0", name: str = "pods") -> None:
        """Write the one configuration list."""
        self.write("10-pods.conflist", {"cniVersion": version, "name": name, "plugins": list(plugins)})

    def pod(self, name: str, **fields: object) -> PodNetwork:
        """A pod with a network namespace of its own."""
        directory = self.pins / name
        netns = pin((Kind.NET,), directory)[Kind.NET]
        self._pods.append(netns)
        return PodNetwork(f"sandbox-{name}", netns, "default", name, f"uid-{name}", **fields)  # type: ignore[arg-type]

    def script(self, name: str, body: str) -> None:
        """A fake plugin: a shell script."""
        path = self.plugin_dir / name
        path.write_text(f"#!/bin/sh\n{body}\n")
        path.chmod(0o755)

    def left_over(self) -> list[str]:
        """Veth ends, leases, nft elements and cache files: what detaching must remove."""
        found = [f"link {name}" for name in links() if name not in ("lo", "cni9")]
        for lease in self.data_dir.glob("*/*"):
            if lease.name != "lock" and not lease.name.startswith("last_reserved_ip."):
                found.append(f"lease {lease.name}")
        found += [f"nft {element}" for element in nft_elements()]
        found += [f"cache {path.name}" for path in self.cache_dir.glob("results/*")]
        return found

    def close(self) -> None:
        """Unpin every pod."""
        for netns in self._pods:
            unpin(netns)


def links() -> list[str]:
    """Names of this namespace's interfaces."""
    with Netlink() as netlink:
        return [route.parse_link(reply).name for reply in netlink.dump(route.get_links())]


def nft_elements() -> list[nftables.Element]:
    """Every element of Podwright's table."""
    from cni import ruleset

    with Netlink(NETLINK_NETFILTER) as netlink:
        return [
            element
            for name in (*ruleset.HOSTPORT_SETS, *ruleset.MASQUERADE_SETS)
            for element in nftables.list_elements(netlink, ruleset.TABLE, name)
        ]


@pytest.fixture
def host(tmp_path: Path) -> Iterator[Host]:
    """A node's directories; pods are unpinned at the end."""
    node = Host(tmp_path)
    try:
        yield node
    finally:
        node.close()


@pytest.fixture
async def start(host: Host) -> AsyncIterator[Start]:
    """Start a Network over the host's directories; closed at the end."""
    async with contextlib.AsyncExitStack() as stack:

        async def begin(builtin: str = "auto", plugins: Path | None = None, default: str = "") -> Network:
            network = Network(host.conf_dir, [plugins or host.plugin_dir], host.cache_dir, default, builtin)
            await network.start()
            stack.push_async_callback(network.close)
            return network

        yield begin
    await asyncio.sleep(0)
