"""A daemon that the host or its configuration keeps from starting leaves no process behind."""

import contextlib
from pathlib import Path

import pytest

from cri.cgroups.choose import is_systemd
from host.cgroups import Hierarchy
from tests.harness.daemon import Daemon, DaemonFailed, Settings

pytestmark = pytest.mark.root


def _command_lines() -> str:
    """Of every process."""
    seen = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        with contextlib.suppress(OSError):
            seen.append(path.read_text(errors="replace"))
    return "\n".join(seen)


@pytest.mark.skipif(
    is_systemd("auto", Hierarchy.detect()), reason="this host has what the configuration asks for"
)
def test_a_cgroup_driver_that_the_host_lacks_is_refused_before_there_is_a_monitor() -> None:
    daemon = Daemon(Settings(tables={"crio.runtime": {"cgroup_manager": "systemd"}}))
    try:
        with pytest.raises(DaemonFailed, match=r'cgroup_manager is "systemd", but'):
            daemon.start()
        assert str(daemon.runroot) not in _command_lines()
    finally:
        assert daemon.teardown() == []
