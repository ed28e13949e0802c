"""Sockets by path."""

import os
from pathlib import Path

import pytest

from host.local_sockets import dial, listen, peer_of


def test_a_path_may_be_longer_than_a_socket_address(tmp_path: Path) -> None:
    directory = tmp_path / ("d" * 200) / ("e" * 200)
    directory.mkdir(parents=True)
    path = str(directory / "s")
    with listen(path) as listener, dial(path) as client:
        ours, _ = listener.accept()
        with ours:
            client.send(b"words")
            assert ours.recv(100) == b"words"
            assert peer_of(ours) == (os.getpid(), os.getuid())
            assert peer_of(client) == (os.getpid(), os.getuid())


def test_a_dead_listeners_socket_is_replaced(tmp_path: Path) -> None:
    path = str(tmp_path / "s")
    listen(path).close()
    with pytest.raises(ConnectionRefusedError):
        dial(path)
    with listen(path), dial(path):
        assert Path(path).stat().st_mode & 0o777 == 0o600


def test_nobody_listens(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        dial(str(tmp_path / "s"))
