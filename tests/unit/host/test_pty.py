import os
import socket
from pathlib import Path

import pytest

from host.fds import send_message
from host.pty import ConsoleSocket, set_window_size, window_size


def test_window_size_reads_back() -> None:
    master, slave = os.openpty()
    set_window_size(master, 132, 43)
    assert window_size(slave) == (132, 43)
    os.close(master)
    os.close(slave)


def test_console_socket_takes_over_a_master(tmp_path: Path) -> None:
    master, slave = os.openpty()
    with ConsoleSocket(str(tmp_path / "console")) as console:
        with socket.socket(socket.AF_UNIX) as runtime:
            runtime.connect(console.path)
            send_message(runtime, b"/dev/pts/0", [master])
        received = console.receive()
    os.write(slave, b"hi")
    assert os.read(received, 10) == b"hi"
    assert list(tmp_path.iterdir()) == []
    for descriptor in (master, slave, received):
        os.close(descriptor)


def test_console_socket_without_a_caller_blocks_nobody(tmp_path: Path) -> None:
    with ConsoleSocket(str(tmp_path / "console")) as console, pytest.raises(BlockingIOError):
        console.receive()


def test_runtime_that_sends_no_descriptor_is_an_error(tmp_path: Path) -> None:
    with ConsoleSocket(str(tmp_path / "console")) as console:
        with socket.socket(socket.AF_UNIX) as runtime:
            runtime.connect(console.path)
            runtime.send(b"nothing")
        with pytest.raises(OSError, match="0 descriptors"):
            console.receive()
