import os
from pathlib import Path

import pytest

from oci.monitor.complaints import Complaints


def test_messages_that_a_full_disk_refuses_are_counted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "log"
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    complaints = Complaints(descriptor)
    complaints.write("one\n")

    def refuse(_: int, __: bytes) -> int:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as full:
        full.setattr("oci.monitor.complaints.os.write", refuse)
        complaints.write("two\n")
        complaints.write("three\n")
    complaints.write("four\n")
    complaints.write("five\n")
    os.close(descriptor)
    assert path.read_text() == "one\n2 messages were lost here\nfour\nfive\n"


def test_a_pipe_will_do() -> None:
    reading, writing = os.pipe()
    Complaints(writing).write("well \ud800\n")
    assert os.read(reading, 100) == b"well \\ud800\n"
    os.close(reading)
    os.close(writing)
