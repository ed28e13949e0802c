"""Files of the node that a container shows: what is written to them is bounded, or refused."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from cri.sandboxes.files import FILES_SIZE_BYTES
from host.cgroups import Hierarchy
from tests.harness.client import Client, container_config
from tests.harness.daemon import Daemon, Settings
from tests.integration.cri.conftest import CGROUP, IMAGE, import_busybox, left_over, pod_config, take_counts

pytestmark = pytest.mark.root

FOREVER = ("sleep", "1000000")


@pytest.fixture(scope="module")
def daemon() -> Iterator[Daemon]:
    """One that gives its containers a time zone."""
    tables = {"crio.runtime": {"timezone": "UTC"}}
    daemon = Daemon(Settings(bridge="pw-files0", subnet="10.95.0.0/16", tables=tables))
    import_busybox(daemon)
    daemon.start()
    Hierarchy.detect().create(CGROUP)
    daemon.client.remove_pod(daemon.client.run_pod(pod_config("first")))
    yield daemon
    forced = daemon.teardown()
    Hierarchy.detect().remove(CGROUP)
    assert forced == []


@pytest.fixture(autouse=True)
def _nothing_left(daemon: Daemon) -> Iterator[None]:
    before = take_counts(daemon)
    yield
    daemon.client.remove_all()
    assert left_over(before, daemon) == [], daemon.log_tail()


@pytest.fixture(params=["crun", "runc"])
def container(client: Client, logs: Path, request: pytest.FixtureRequest) -> str:
    """Of root, and with a user that its image does not know."""
    config = pod_config("writer", log_directory=logs)
    wanted = container_config("main", IMAGE, FOREVER)
    wanted.linux.security_context.run_as_user.value = 12345
    wanted.linux.security_context.capabilities.add_capabilities.append("DAC_OVERRIDE")
    wanted.linux.security_context.capabilities.add_ambient_capabilities.append("DAC_OVERRIDE")
    made = client.create_container(client.run_pod(config, request.param), wanted, config)
    client.start_container(made)
    return made


@pytest.mark.parametrize("path", ["/etc/resolv.conf", "/etc/hostname"])
def test_no_container_fills_the_nodes_run_by_its_files(
    daemon: Daemon, client: Client, container: str, path: str
) -> None:
    before = os.statvfs(daemon.runroot)
    done = client.exec(container, "sh", "-c", f"echo mine >{path} && cat {path}; cat /dev/zero >>{path}")
    after = os.statvfs(daemon.runroot)
    assert done.stdout == b"mine\n"
    assert b"No space left" in done.stderr
    assert (before.f_bfree - after.f_bfree) * after.f_frsize < FILES_SIZE_BYTES


@pytest.mark.parametrize("path", ["/etc/localtime", "/etc/passwd"])
def test_nobody_writes_to_what_is_the_nodes(client: Client, container: str, path: str) -> None:
    done = client.exec(container, "sh", "-c", f": >>{path}")
    assert done.exit_code != 0
    assert b"Read-only file system" in done.stderr
