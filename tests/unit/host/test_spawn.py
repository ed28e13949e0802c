"""Whose child a process is, and what the kernel tells of others'."""

import os
import signal

import pytest

from host.spawn import is_child, tells_exit_codes


def test_a_child_is_ours_until_it_is_reaped() -> None:
    pid = os.posix_spawn("/bin/sleep", ["sleep", "1000"], {})
    assert is_child(pid)
    os.kill(pid, signal.SIGKILL)
    os.waitid(os.P_PID, pid, os.WEXITED | os.WNOWAIT)
    assert is_child(pid)
    os.waitpid(pid, 0)
    assert not is_child(pid)


def test_others_are_not_ours() -> None:
    assert not is_child(1)
    assert not is_child(os.getpid())


@pytest.mark.parametrize(
    ("release", "tells"),
    [
        ("5.15.0-91-generic", False),
        ("6.1.0", False),
        ("6.14.2", False),
        ("6.15-rc1", True),
        ("6.18.44", True),
        ("7.0", True),
    ],
)
def test_kernels_since_6_15_tell_exit_codes(
    release: str, monkeypatch: pytest.MonkeyPatch, *, tells: bool
) -> None:
    name = os.uname()
    monkeypatch.setattr(os, "uname", lambda: os.uname_result((name[0], name[1], release, name[3], name[4])))
    assert tells_exit_codes() is tells
