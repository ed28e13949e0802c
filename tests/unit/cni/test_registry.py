"""Which plugin does the work: built in or binary."""

from collections.abc import Iterator
from concurrent.futures import Executor, ThreadPoolExecutor
from pathlib import Path

import pytest

from cni.builtin.base import BuiltinPlugin
from cni.builtin.registry import Mode, Registry, builtins
from cni.errors import NetworkConfigInvalid, PluginMissing
from cni.fields import Json
from cni.nat import Nat
from cni.plugin import ExecutedPlugin, Timeouts

BRIDGE: Json = {"type": "bridge"}
VLAN: Json = {"type": "bridge", "vlan": 7}


@pytest.fixture
def executor() -> Iterator[Executor]:
    with ThreadPoolExecutor(1) as pool:
        yield pool


def registry(executor: Executor, directory: Path, mode: str, *binaries: str) -> Registry:
    for name in binaries:
        (directory / name).touch()
        (directory / name).chmod(0o755)
    return Registry(builtins(Nat()), Mode(mode), [directory], Timeouts(), executor)


@pytest.mark.parametrize(
    ("mode", "conf", "kind"),
    [
        ("auto", BRIDGE, BuiltinPlugin),
        ("always", BRIDGE, BuiltinPlugin),
        ("never", BRIDGE, ExecutedPlugin),
        ("auto", VLAN, ExecutedPlugin),
        ("never", VLAN, ExecutedPlugin),
        ("auto", {"type": "loopback"}, BuiltinPlugin),
        ("auto", {"type": "host-local"}, BuiltinPlugin),
        ("auto", {"type": "portmap"}, BuiltinPlugin),
        ("always", {"type": "tuning"}, ExecutedPlugin),
        ("auto", {"type": "portmap", "backend": "nftables", "snat": False}, BuiltinPlugin),
        ("auto", {"type": "portmap", "backend": "iptables"}, ExecutedPlugin),
        ("auto", {"type": "portmap", "conditionsV4": ["!", "-d", "192.0.2.0/24"]}, ExecutedPlugin),
        ("auto", {"type": "bridge", "ipam": {"type": "dhcp"}}, ExecutedPlugin),
    ],
)
def test_the_choice(tmp_path: Path, executor: Executor, mode: str, conf: Json, kind: type) -> None:
    one = registry(executor, tmp_path, mode, "bridge", "tuning", "portmap")
    assert isinstance(one.choose(conf), kind)


def test_a_refused_key_without_a_binary_is_a_configuration_error(tmp_path: Path, executor: Executor) -> None:
    with pytest.raises(
        NetworkConfigInvalid, match="vlan is not supported by the built-in plugin, and no binary"
    ):
        registry(executor, tmp_path, "auto").choose(VLAN)


def test_always_means_that_no_binary_replaces_a_built_in(tmp_path: Path, executor: Executor) -> None:
    with pytest.raises(NetworkConfigInvalid, match="builtin_plugins is always"):
        registry(executor, tmp_path, "always", "bridge").choose(VLAN)


@pytest.mark.parametrize(("mode", "kind"), [("auto", "calico"), ("never", "bridge")])
def test_a_missing_plugin_is_named_with_the_directories(
    tmp_path: Path, executor: Executor, mode: str, kind: str
) -> None:
    with pytest.raises(PluginMissing, match=f"CNI plugin {kind} is in none of {tmp_path}"):
        registry(executor, tmp_path, mode).choose({"type": kind})
