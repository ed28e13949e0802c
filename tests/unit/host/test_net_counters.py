import os
import socket
import subprocess
from pathlib import Path

from host.net_counters import InterfaceCounters, NetworkCounters, parse, read_by_process

DEV = """Inter-|   Receive                                        |  Transmit
 face |bytes packets errs drop fifo frame compressed multicast|bytes packets errs drop fifo colls carrier compressed
    lo:    9999 10 0 0 0 0 0 0     9999 10 0 0 0 0 0 0
  eth0:1000001   7 1 0 0 0 0 0      500  5 2 0 0 0 0 0
  net1:       3  1 0 0 0 0 0 0        4  1 0 0 0 0 0 0
"""  # noqa: E501
HEAD = "Iface\tDestination\tGateway \tFlags\tRefCnt\tUse\tMetric\tMask\t\tMTU\tWindow\tIRTT\n"
NET1_DEFAULT = "net1\t00000000\t0100580A\t0003\t0\t0\t0\t00000000\t0\t0\t0\n"
ETH0_LOCAL = "eth0\t0000580A\t00000000\t0001\t0\t0\t0\t0000FFFF\t0\t0\t0\n"

ETH0 = InterfaceCounters("eth0", 1000001, 1, 500, 2, rx_packets=7, tx_packets=5)
NET1 = InterfaceCounters("net1", 3, 0, 4, 0, rx_packets=1, tx_packets=1)


def test_the_interface_with_the_default_route_is_the_default_one() -> None:
    assert parse(DEV, HEAD + ETH0_LOCAL + NET1_DEFAULT) == NetworkCounters(NET1, (ETH0,))


def test_without_a_default_route_it_is_eth0() -> None:
    assert parse(DEV, HEAD + ETH0_LOCAL) == NetworkCounters(ETH0, (NET1,))


def test_a_pod_without_interfaces_has_no_counters() -> None:
    loopback_only = "\n".join(DEV.splitlines()[:3])
    assert parse(loopback_only, HEAD) == NetworkCounters(None, ())


def test_the_kernels_own_tables_parse() -> None:
    tables = Path("/proc/self/net")
    found = parse((tables / "dev").read_text(), (tables / "route").read_text())
    names = {one.name for one in (*found.others, *([found.default] if found.default else []))}
    assert names == {name for _, name in socket.if_nameindex()} - {"lo"}


def test_a_process_in_the_namespace_shows_its_counters() -> None:
    found = read_by_process("/proc/self/ns/net", os.getpid())
    assert found is not None
    names = {one.name for one in (*found.others, *([found.default] if found.default else []))}
    assert names == {name for _, name in socket.if_nameindex()} - {"lo"}


def test_a_process_elsewhere_or_gone_shows_nothing() -> None:
    assert read_by_process("/proc/self/ns/uts", os.getpid()) is None
    ended = subprocess.Popen(["true"])
    ended.wait()
    assert read_by_process("/proc/self/ns/net", ended.pid) is None
