"""sd_notify, against a real datagram socket."""

import socket
from pathlib import Path

import pytest

from host.notify import notify


@pytest.mark.parametrize("abstract", [False, True])
def test_the_state_arrives(tmp_path: Path, abstract: bool) -> None:
    name = f"@podwright-test-{tmp_path.name}" if abstract else str(tmp_path / "notify.sock")
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as server:
        server.bind("\0" + name[1:] if abstract else name)
        assert notify("READY=1", {"NOTIFY_SOCKET": name})
        assert server.recv(64) == b"READY=1"


def test_without_a_socket_nothing_is_sent() -> None:
    assert not notify("READY=1", {})


def test_a_socket_that_is_gone_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        notify("READY=1", {"NOTIFY_SOCKET": str(tmp_path / "gone")})
