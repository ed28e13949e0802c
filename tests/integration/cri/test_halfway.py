"""Verbs that meet, and daemons that die, halfway: a runtime and a network stop where they are told to."""

import json
import os
import shutil
import signal
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import grpc
import pytest

from api.runtime.v1 import api_pb2 as pb
from host.cgroups import Hierarchy
from tests.harness.client import Client, container_config, eventually
from tests.harness.daemon import Daemon, Settings, Value
from tests.integration.cri.conftest import CGROUP, IMAGE, import_busybox, left_over, pod_config, take_counts

pytestmark = pytest.mark.root

# The command named in the file "waits" waits before its work while that is there; while there is "dies", each
# container's process is killed as soon as it is created.
RUNTIME = """#!/bin/sh
create= previous= pid=
for word in "$@"; do
    [ "$word" = create ] && create=1
    [ "$previous" = --pid-file ] && pid=$word
    previous=$word
    if [ -e HERE/waits ] && [ "$word" = "$(cat HERE/waits)" ]; then
        touch HERE/waiting
        while [ -e HERE/waits ]; do sleep 0.05; done
    fi
done
[ -n "$create" ] && [ -e HERE/dies ] || exec CRUN "$@"
CRUN "$@" || exit $?
process=$(cat $pid)
( sleep 0.05; kill -9 $process ) </dev/null >/dev/null 2>&1 &
"""
PLUGIN = """#!/bin/sh
case "$CNI_COMMAND" in
    ADD) cat >HERE/config; exec PYTHON HERE/pass.py ;;
    DEL) [ -e HERE/hangs ] && { echo $$ >HERE/hanging; exec sleep 1000; }; exit 0 ;;
    VERSION) echo '{"cniVersion": "1.0.0", "supportedVersions": ["1.0.0"]}' ;;
esac
"""
# What the plugins before it have made passes through.
PASS = """import json
print(json.dumps(json.load(open("HERE/config")).get("prevResult", {"cniVersion": "1.0.0"})))
"""


@dataclass(frozen=True)
class Halting:
    """A daemon, and the files that make its runtime and network stop."""

    daemon: Daemon
    here: Path

    @property
    def client(self) -> Client:
        return self.daemon.client

    def created(self, name: str) -> tuple[str, str]:
        config = pod_config(name)
        pod = self.client.run_pod(config)
        wanted = container_config("main", IMAGE, ["sleep", "1000000"])
        return pod, self.client.create_container(pod, wanted, config)


@pytest.fixture(scope="module")
def halting(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Halting]:
    here = tmp_path_factory.mktemp("halting")
    tables: dict[str, dict[str, Value]] = {
        "crio.runtime.runtimes.crun": {
            "runtime_path": str(
                _program(here, "runtime", RUNTIME.replace("CRUN", shutil.which("crun") or ""))
            )
        },
        "crio.network": {"plugin_dirs": [str(here), "/usr/lib/cni"]},
        "crio.image": {"pause_image": IMAGE, "pause_command": "/bin/sleep 1000000"},
    }
    daemon = Daemon(Settings(bridge="pw-half0", subnet="10.94.0.0/16", tables=tables))
    _program(here, "pass.py", PASS)
    _program(here, "hangs-at-del", PLUGIN.replace("PYTHON", shutil.which("python3") or ""))
    conflist = daemon.state / "net.d/10-bridge.conflist"
    network = json.loads(conflist.read_text())
    # DEL goes the other way: when it hangs here, the pod has lost its network.
    network["plugins"].insert(0, {"type": "hangs-at-del"})
    conflist.write_text(json.dumps(network))
    import_busybox(daemon)
    daemon.start()
    Hierarchy.detect().create(CGROUP)
    daemon.client.remove_pod(daemon.client.run_pod(pod_config("first")))
    yield Halting(daemon, here)
    forced = daemon.teardown()
    Hierarchy.detect().remove(CGROUP)
    assert forced == []


def _program(here: Path, name: str, text: str) -> Path:
    path = here / name
    path.write_text(text.replace("HERE", str(here)))
    path.chmod(0o755)
    return path


@pytest.fixture(autouse=True)
def nothing_left(halting: Halting) -> Iterator[None]:
    """Each test removes its pods."""
    before = take_counts(halting.daemon)
    yield
    for name in ("waits", "dies", "hangs", "waiting", "hanging"):
        (halting.here / name).unlink(missing_ok=True)
    assert left_over(before, halting.daemon) == [], halting.daemon.log_tail()


def test_a_pod_that_was_half_stopped_is_not_ready(halting: Halting) -> None:
    client, daemon = halting.client, halting.daemon
    pod, _ = halting.created("half-stopped")
    (halting.here / "hangs").touch()
    with ThreadPoolExecutor(1) as threads:
        stopping = threads.submit(client.stop_pod, pod)
        hanging = halting.here / "hanging"
        eventually(lambda: hanging.exists() and hanging.read_text(), bool, "the plugin hangs")
        daemon.kill()
        assert isinstance(stopping.exception(), grpc.RpcError)
    (halting.here / "hangs").unlink()
    os.kill(int(hanging.read_text()), signal.SIGKILL)
    daemon.start()
    assert client.pod(pod).state == pb.SANDBOX_NOTREADY
    with pytest.raises(grpc.RpcError) as refused:
        client.create_container(pod, container_config("more", IMAGE, ["true"]), pod_config("half-stopped"))
    assert refused.value.code() is grpc.StatusCode.FAILED_PRECONDITION
    assert "is stopping: containers need a ready one" in str(refused.value.details())
    client.stop_pod(pod)
    client.remove_pod(pod)


@pytest.mark.parametrize("of_pod", [False, True], ids=["RemoveContainer", "RemovePodSandbox"])
def test_a_container_that_is_removed_while_it_starts_does_not_come_back(
    halting: Halting, of_pod: bool
) -> None:
    client, waiting = halting.client, halting.here / "waiting"
    pod, container = halting.created("removed")
    (halting.here / "waits").write_text("start")
    with ThreadPoolExecutor(2) as threads:
        starting = threads.submit(client.start_container, container)
        eventually(waiting.exists, bool, "the start waits")
        remove, which = (client.remove_pod, pod) if of_pod else (client.remove_container, container)
        removing = threads.submit(remove, which)
        eventually(
            lambda: client.container(container).state,
            lambda state: state == pb.CONTAINER_EXITED,
            "it is ended",
        )
        (halting.here / "waits").unlink()
        removing.result()
        assert isinstance(starting.exception(), grpc.RpcError)
    assert client.containers() == []
    halting.daemon.restart()
    assert client.containers() == []
    client.remove_pod(pod)


def test_a_container_that_dies_as_soon_as_it_is_created_has_exited(halting: Halting) -> None:
    client = halting.client
    (halting.here / "dies").touch()
    try:
        pod, container = halting.created("dies")
    except grpc.RpcError:  # even sooner: then there is none
        client.remove_all()
        return
    status = client.wait_exited(container)
    assert (status.exit_code, status.reason) == (137, "Error")
    with pytest.raises(grpc.RpcError) as refused:
        client.start_container(container)
    assert refused.value.code() is grpc.StatusCode.FAILED_PRECONDITION
    (halting.here / "dies").unlink()
    client.remove_pod(pod)


def test_the_root_file_system_of_a_pause_process_outlives_the_daemon(halting: Halting) -> None:
    client, daemon = halting.client, halting.daemon
    config = pod_config("pause")
    config.linux.security_context.namespace_options.pid = pb.POD
    pod = client.run_pod(config)
    program = daemon.state / "root/containers" / pod / "merged/bin/busybox"
    assert program.exists()
    daemon.kill()
    daemon.start()
    assert program.exists()
    assert client.pod(pod).state == pb.SANDBOX_READY
    client.remove_pod(pod)
    assert not program.parents[2].exists()
