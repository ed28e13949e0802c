"""A runtime whose commands do not come back: what it made is ended, and the daemon starts all the same."""

import os
import shutil
import signal
from collections.abc import Iterator
from pathlib import Path

import grpc
import pytest

from api.runtime.v1 import api_pb2 as pb
from host.cgroups import Hierarchy
from tests.harness import processes
from tests.harness.client import container_config, eventually
from tests.harness.daemon import Daemon, Settings, Value
from tests.harness.patience import patient
from tests.harness.processes import PROC, is_there, those
from tests.integration.cri.conftest import CGROUP, IMAGE, import_busybox, left_over, pod_config, take_counts

pytestmark = pytest.mark.root

# The command named in the file SLOW does its work and does not come back.
SCRIPT = """#!/bin/sh
for word in "$@"; do
    if [ "$word" = "$(cat SLOW)" ]; then CRUN "$@"; exec sleep 1000; fi
done
exec CRUN "$@"
"""


@pytest.fixture
def slow(tmp_path: Path) -> Iterator[tuple[Daemon, Path]]:
    """A daemon with such a runtime, and the file."""
    program, command = tmp_path / "slow-runtime", tmp_path / "command"
    program.write_text(SCRIPT.replace("CRUN", shutil.which("crun") or "").replace("SLOW", str(command)))
    program.chmod(0o755)
    command.write_text("")
    tables: dict[str, dict[str, Value]] = {
        "crio.runtime.runtimes.slow": {"runtime_path": str(program)},
        "crio.runtime": {
            "runtime_command_timeout_s": round(patient(8)),
            "monitor_timeout_s": round(patient(4)),
        },
    }
    daemon = Daemon(Settings(bridge="pw-slow0", subnet="10.91.0.0/16", tables=tables))
    import_busybox(daemon)
    daemon.start()
    Hierarchy.detect().create(CGROUP)
    daemon.client.remove_pod(daemon.client.run_pod(pod_config("first")))
    yield daemon, command
    forced = daemon.teardown()
    Hierarchy.detect().remove(CGROUP)
    assert forced == []


def test_a_start_that_took_too_long_leaves_no_process(slow: tuple[Daemon, Path]) -> None:
    daemon, command = slow
    client, config = daemon.client, pod_config("slow")
    before = take_counts(daemon)
    pod = client.run_pod(config, "slow")
    container = client.create_container(pod, container_config("main", IMAGE, ["sleep", "1000000"]), config)
    pid = client.pid_of(container)
    command.write_text("start")
    with pytest.raises(grpc.RpcError) as caught:
        client.start_container(container)
    assert "start" in str(caught.value.details())
    status = client.container(container)
    assert (status.state, status.reason) == (pb.CONTAINER_EXITED, "StartError")
    eventually(lambda: is_there(pid), lambda there: not there, "its process is gone")
    client.remove_pod(pod)
    assert left_over(before, daemon) == [], daemon.log_tail()


def _hanging() -> list[int]:
    """The commands of this runtime that do not come back."""
    return those(lambda pid: processes.words(pid) == ["sleep", "1000"])


def test_a_daemon_starts_although_an_exec_of_before_hangs_and_that_ends(slow: tuple[Daemon, Path]) -> None:
    daemon, command = slow
    client, config = daemon.client, pod_config("slow")
    pod = client.run_pod(config, "slow")
    container = client.create_container(pod, container_config("main", IMAGE, ["sleep", "1000000"]), config)
    client.start_container(container)
    command.write_text("exec")
    request = pb.ExecSyncRequest(container_id=container, cmd=["touch", "/tmp/done"])
    executing = client.runtime.ExecSync.future(request)
    there = PROC / f"{client.pid_of(container)}/root/tmp/done"
    eventually(there.exists, bool, "the command has run")
    eventually(_hanging, bool, "the runtime hangs")
    daemon.restart(signal.SIGKILL)
    executing.cancel()  # type: ignore[no-untyped-call]
    eventually(_hanging, lambda found: not found, "nobody waits for it: it is ended")
    assert client.container(container).state == pb.CONTAINER_RUNNING
    command.write_text("")
    client.remove_pod(pod)
    assert client.pods() == []


def test_a_start_that_hangs_ends_with_its_container_although_the_monitor_died(
    slow: tuple[Daemon, Path],
) -> None:
    daemon, command = slow
    client, config = daemon.client, pod_config("slow")
    before = take_counts(daemon)
    pod = client.run_pod(config, "slow")
    container = client.create_container(pod, container_config("main", IMAGE, ["sleep", "1000000"]), config)
    command.write_text("start")
    request = pb.StartContainerRequest(container_id=container)
    starting = client.runtime.StartContainer.future(request, timeout=patient(60))
    eventually(_hanging, bool, "the runtime hangs")
    for pid in those(lambda pid: "oci.monitor.main" in processes.command_line(pid)):
        os.kill(pid, signal.SIGKILL)
    client.stop_container(container)
    with pytest.raises(grpc.RpcError) as caught:
        starting.result()
    assert caught.value.code() == grpc.StatusCode.FAILED_PRECONDITION, caught.value
    assert client.container(container).state == pb.CONTAINER_EXITED
    eventually(_hanging, lambda found: not found, "the command has been ended")
    command.write_text("")
    client.remove_pod(pod)
    assert left_over(before, daemon) == [], daemon.log_tail()
