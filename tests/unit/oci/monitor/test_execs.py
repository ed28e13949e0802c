"""Execs that an earlier monitor started: killed at their deadline or on demand, with their group."""

import os
from collections.abc import Iterator

import pytest

from host.spawn import pidfd_exit_code
from oci.monitor.execs import AdoptedExec
from oci.monitor.kept import KeptExec
from oci.monitor.reactor import Reactor


@pytest.fixture
def reactor() -> Iterator[Reactor]:
    made = Reactor()
    yield made
    made.close()


@pytest.mark.parametrize(
    ("script", "left_s", "is_killed", "code"),
    [
        ("exec sleep 1000", 0.01, False, 137),
        ("exec sleep 1000", 0.0, True, 137),
        ("exit 3", 1000.0, False, 3),
        ("exit 3", 0.0, False, 3),
    ],
)
def test_an_adopted_exec_is_forgotten_once_it_has_ended(
    reactor: Reactor, script: str, left_s: float, code: int, *, is_killed: bool
) -> None:
    pid = os.posix_spawn("/bin/sh", ["sh", "-c", script], dict(os.environ), setpgroup=0)
    pidfd = os.pidfd_open(pid)
    ends: list[bool] = []
    adopted = AdoptedExec(reactor, KeptExec("e", pid, 0.0), os.dup(pidfd), lambda: ends.append(True))
    adopted.claim(None, left_s)
    if is_killed:
        adopted.kill()
    while not ends:
        reactor.turn()
    adopted.kill()  # too late, and harmless
    assert (ends, pidfd_exit_code(pidfd)) == ([True], code)
    os.close(pidfd)
