"""Ports for tests."""

import os
import socket
import subprocess

import pytest

from tests.harness.ports import EPHEMERAL, free_port, listening


def test_a_free_port_can_be_had_and_is_none_that_the_kernel_chooses() -> None:
    first, last = map(int, EPHEMERAL.read_text().split())
    port = free_port()
    assert not first <= port <= last
    with socket.create_server(("127.0.0.1", port)):
        pass


@pytest.mark.parametrize(("family", "address"), [(socket.AF_INET, "127.0.0.1"), (socket.AF_INET6, "::1")])
def test_what_a_process_listens_on_is_found(family: socket.AddressFamily, address: str) -> None:
    with socket.create_server((address, 0), family=family) as server:
        port = server.getsockname()[1]
        assert port in listening(os.getpid())
    assert port not in listening(os.getpid())


def test_one_that_is_gone_listens_on_nothing() -> None:
    with subprocess.Popen(["/bin/true"]) as child:
        child.wait()
        assert listening(child.pid) == set()
