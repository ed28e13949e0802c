"""Who listens on a port of this host."""

import os
import socket
from pathlib import Path

import pytest

from host.listeners import listeners, owner, taker

TCP = """  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode
   0: 00000000:1F90 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 111 1
   1: 0100007F:0035 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 112 1
   2: 0100007F:1F91 0100007F:9999 01 00000000:00000000 00:00000000 00000000     0        0 113 1
   3: 3500007F:0015 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 116 1
   4: 010200C0:0016 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 117 1
"""
TCP6 = """  sl  local_address remote_address st tx_queue rx_queue tr tm->when retrnsmt uid timeout inode
   0: 00000000000000000000000000000000:01BB 00000000000000000000000000000000:0000 0A 0:0 00:0 0 0 0 114 1
   1: 0000000000000000FFFF00000100007F:0050 00000000000000000000000000000000:0000 0A 0:0 00:0 0 0 0 115 1
"""
# As the kernel prints it: numbers are decimal, addresses as people write them.
SCTP = """ ENDPT     SOCK   STY SST HBKT LPORT   UID INODE LADDRS
0000000012345678 0000000087654321 2   10  16   36412     0 221 0.0.0.0
0000000012345678 0000000087654321 0   10  17   5000      0 222 192.0.2.1 198.51.100.1
0000000012345678 0000000087654321 2   1   18   5001      0 223 0.0.0.0
0000000012345678 0000000087654321 2   7   19   5002      0 224 0.0.0.0
0000000012345678 0000000087654321 2   10  20   5003      0 225 0000:0000:0000:0000:0000:0000:0000:0000
0000000012345678 0000000087654321 2   10  21   5004      0 226 0000:0000:0000:0000:0000:ffff:c000:0201
0000000012345678 0000000087654321 2   10  22   5005      0 227
"""


@pytest.fixture
def proc(tmp_path: Path) -> Path:
    directory = tmp_path / "self/net"
    directory.mkdir(parents=True)
    (directory / "tcp").write_text(TCP)
    (directory / "tcp6").write_text(TCP6)
    (directory / "sctp").mkdir()
    (directory / "sctp/eps").write_text(SCTP)
    return tmp_path


def test_listening_sockets_of_both_families_are_read(proc: Path) -> None:
    assert [(str(each.address), each.port) for each in listeners("tcp", proc)] == [
        ("0.0.0.0", 8080),
        ("127.0.0.1", 53),
        ("127.0.0.53", 21),
        ("192.0.2.1", 22),
        ("::", 443),
        ("127.0.0.1", 80),
    ]
    assert list(listeners("udp", proc)) == []
    assert list(listeners("icmp", proc)) == []


def test_listening_endpoints_of_sctp_are_read_with_all_their_addresses(proc: Path) -> None:
    assert [(str(each.address), each.port, each.inode) for each in listeners("sctp", proc)] == [
        ("0.0.0.0", 36412, 221),
        ("192.0.2.1", 5000, 222),
        ("198.51.100.1", 5000, 222),
        ("::", 5003, 225),
        ("192.0.2.1", 5004, 226),
    ]


@pytest.mark.parametrize(
    ("host_ip", "port", "inode"),
    [("", 36412, 221), ("198.51.100.1", 5000, 222), ("192.0.2.2", 5000, None), ("", 5001, None)],
)
def test_a_port_of_sctp_is_taken_likewise(proc: Path, host_ip: str, port: int, inode: int | None) -> None:
    found = taker("sctp", host_ip, port, proc)
    assert (found.inode if found else None) == inode


def test_a_kernel_without_a_protocol_has_no_listeners(tmp_path: Path) -> None:
    assert [list(listeners(protocol, tmp_path)) for protocol in ("tcp", "udp", "sctp")] == [[], [], []]


@pytest.mark.parametrize(
    ("host_ip", "port", "inode"),
    [
        ("", 8080, 111),
        ("192.0.2.1", 8080, 111),
        ("", 53, 112),  # a host port of all addresses is one of 127.0.0.1 too
        ("0.0.0.0", 53, 112),
        ("::", 53, None),
        ("127.0.0.1", 53, 112),
        ("", 21, None),  # where a resolver may be, no host port leads away
        ("127.0.0.53", 21, 116),
        ("", 22, 117),
        ("192.0.2.2", 22, None),
        ("192.0.2.1", 53, None),
        ("", 443, 114),
        ("127.0.0.1", 80, 115),
        ("", 8081, None),  # a connection, not a listener
    ],
)
def test_a_port_is_taken_by_who_takes_what_comes_there(
    proc: Path, host_ip: str, port: int, inode: int | None
) -> None:
    found = taker("tcp", host_ip, port, proc)
    assert (found.inode if found else None) == inode


@pytest.mark.parametrize(("kind", "protocol"), [(socket.SOCK_STREAM, "tcp"), (socket.SOCK_DGRAM, "udp")])
@pytest.mark.parametrize("address", ["0.0.0.0", "::"])
def test_a_real_socket_and_its_process_are_found(kind: int, protocol: str, address: str) -> None:
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    with socket.socket(family, kind) as taken:
        taken.bind((address, 0))
        if kind == socket.SOCK_STREAM:
            taken.listen()
        found = taker(protocol, "", taken.getsockname()[1])
        assert found is not None
        assert owner(found).endswith(f"(pid {os.getpid()})")


def test_a_socket_of_nobody_to_be_seen_has_an_owner_in_words(proc: Path) -> None:
    found = taker("tcp", "", 8080, proc)
    assert found is not None
    assert owner(found, proc) == "a process of this host"
