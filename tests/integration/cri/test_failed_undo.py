"""What fails, and whose undo fails too: listed, or removed with its sandbox, as soon as that works again."""

import json
import shutil
import stat
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import grpc
import pytest

from api.runtime.v1 import api_pb2 as pb
from tests.harness.client import Client, container_config, eventually
from tests.harness.daemon import Daemon, Settings
from tests.integration.cri.conftest import IMAGE, import_busybox, left_over, pod_config, take_counts

pytestmark = pytest.mark.root

PLUGIN = """#!/bin/sh
if [ -e {begun}.wanted ] && [ "$CNI_COMMAND" = ADD ]; then
    touch {begun}
    while [ -e {begun} ]; do sleep 0.1; done
fi
if [ -e {switch} ] && [ "$CNI_COMMAND" != VERSION ]; then
    echo '{{"cniVersion": "1.0.0", "code": 100, "msg": "the switch is down"}}'
    exit 1
fi
case "$CNI_COMMAND" in
    ADD) echo '{{"cniVersion": "1.0.0", "interfaces": [], "ips": [{{"address": "10.9.9.9/24"}}]}}' ;;
    VERSION) echo '{{"cniVersion": "1.0.0", "supportedVersions": ["1.0.0"]}}' ;;
esac
"""

RUNTIME = """#!/bin/sh
for word in "$@"; do
    case "$word" in create|delete)
        if [ -e {switch} ]; then echo "$word: the switch is down" >&2; exit 1; fi ;;
    esac
done
exec {crun} "$@"
"""


@pytest.fixture
def broken(tmp_path: Path) -> Iterator[tuple[Daemon, Path]]:
    """A daemon whose only network fails while the file exists.

    While there is begun.wanted beside it, an ADD makes begun and waits until that is gone.
    """
    switch = tmp_path / "down"
    plugin = tmp_path / "bin" / "switchable"
    plugin.parent.mkdir()
    plugin.write_text(PLUGIN.format(switch=switch, begun=tmp_path / "begun"))
    plugin.chmod(plugin.stat().st_mode | stat.S_IXUSR)
    daemon = Daemon(Settings(tables={"crio.network": {"plugin_dirs": [str(plugin.parent)]}}))
    conflist = {"cniVersion": "1.0.0", "name": "switchable", "plugins": [{"type": "switchable"}]}
    (daemon.state / "net.d/10-bridge.conflist").write_text(json.dumps(conflist))
    daemon.start()
    yield daemon, switch
    assert daemon.teardown() == []


@pytest.fixture
def broken_runtime(tmp_path: Path) -> Iterator[tuple[Daemon, Path]]:
    """A daemon whose runtime neither creates nor deletes while the file exists."""
    switch = tmp_path / "down"
    program = tmp_path / "switchable"
    program.write_text(RUNTIME.format(switch=switch, crun=shutil.which("crun")))
    program.chmod(0o755)
    tables = {"crio.runtime.runtimes.crun": {"runtime_path": str(program)}}
    daemon = Daemon(Settings(tables=tables))
    import_busybox(daemon)
    daemon.start()
    yield daemon, switch
    assert daemon.teardown() == []


def _refused(client: Client, config: pb.PodSandboxConfig) -> str:
    with pytest.raises(grpc.RpcError) as caught:
        client.run_pod(config)
    return str(caught.value.details())


def test_the_next_attempt_undoes_what_the_first_could_not(broken: tuple[Daemon, Path]) -> None:
    daemon, switch = broken
    client, config = daemon.client, pod_config("switch")
    client.remove_pod(client.run_pod(config))
    before = take_counts(daemon)
    switch.touch()
    for _ in range(2):
        _refused(client, config)
        assert [pod.state for pod in client.pods()] == [pb.SANDBOX_NOTREADY]
    switch.unlink()
    pod = client.run_pod(config)
    assert [pod.state for pod in client.pods()] == [pb.SANDBOX_READY]
    assert client.pod(pod).network.ip == "10.9.9.9"
    client.remove_pod(pod)
    assert left_over(before, daemon) == [], daemon.log_tail()


def test_the_client_reads_why_it_failed_and_that_the_undo_did_too(broken: tuple[Daemon, Path]) -> None:
    daemon, switch = broken
    switch.touch()
    text = _refused(daemon.client, pod_config("switch"))
    switch.unlink()
    assert text.startswith("CNI plugin switchable failed on ADD: the switch is down [")
    assert "its undo failed too (CNI plugin switchable failed on DEL: the switch is down" in text


def test_stop_and_remove_undo_it_when_the_pod_is_never_asked_for_again(broken: tuple[Daemon, Path]) -> None:
    daemon, switch = broken
    client, config = daemon.client, pod_config("switch")
    client.remove_pod(client.run_pod(config))
    before = take_counts(daemon)
    switch.touch()
    _refused(client, config)
    [pod] = client.pods()
    assert client.pod(pod.id).state == pb.SANDBOX_NOTREADY
    for call in (client.stop_pod, client.remove_pod):
        with pytest.raises(grpc.RpcError, match="the switch is down"):
            call(pod.id)
    assert [one.id for one in client.pods()] == [pod.id]
    switch.unlink()
    client.stop_pod(pod.id)
    client.remove_pod(pod.id)
    assert client.pods() == []
    assert left_over(before, daemon) == [], daemon.log_tail()


def test_a_daemon_started_anew_knows_that_it_never_was_ready(broken: tuple[Daemon, Path]) -> None:
    daemon, switch = broken
    client, config = daemon.client, pod_config("switch")
    client.remove_pod(client.run_pod(config))
    before = take_counts(daemon)
    switch.touch()
    _refused(client, config)
    daemon.restart()
    assert [pod.state for pod in client.pods()] == [pb.SANDBOX_NOTREADY]
    switch.unlink()
    client.remove_pod(client.run_pod(config))
    assert client.pods() == []
    assert left_over(before, daemon) == [], daemon.log_tail()


def test_what_a_killed_daemon_was_making_and_the_next_cannot_undo_is_listed(
    broken: tuple[Daemon, Path],
) -> None:
    daemon, switch = broken
    client, config = daemon.client, pod_config("switch")
    client.remove_pod(client.run_pod(config))
    before = take_counts(daemon)
    begun = switch.with_name("begun")
    wanted = begun.with_name("begun.wanted")
    wanted.touch()
    with ThreadPoolExecutor(1) as threads:
        asking = threads.submit(client.run_pod, config)
        eventually(begun.exists, bool, "the plugin attaches")
        daemon.kill()
        assert isinstance(asking.exception(), grpc.RpcError)
    wanted.unlink()
    begun.unlink()
    switch.touch()
    daemon.start()
    [pod] = client.pods()
    assert pod.state == pb.SANDBOX_NOTREADY
    switch.unlink()
    client.stop_pod(pod.id)
    client.remove_pod(pod.id)
    assert left_over(before, daemon) == [], daemon.log_tail()


def test_a_stop_whose_network_fails_can_be_repeated(broken: tuple[Daemon, Path]) -> None:
    daemon, switch = broken
    client, config = daemon.client, pod_config("switch")
    pod = client.run_pod(config)
    switch.touch()
    with pytest.raises(grpc.RpcError) as caught:
        client.stop_pod(pod)
    assert "the switch is down" in str(caught.value.details())
    switch.unlink()
    client.stop_pod(pod)
    assert client.pod(pod).state == pb.SANDBOX_NOTREADY
    client.remove_pod(pod)
    assert client.pods() == []


def test_a_container_that_can_neither_be_made_nor_undone_goes_with_its_sandbox(
    broken_runtime: tuple[Daemon, Path],
) -> None:
    daemon, switch = broken_runtime
    client, config = daemon.client, pod_config("switch")
    client.remove_pod(client.run_pod(config))
    before = take_counts(daemon)
    pod = client.run_pod(config)
    switch.touch()
    with pytest.raises(grpc.RpcError) as caught:
        client.create_container(pod, container_config("main", IMAGE, ["true"]), config)
    text = str(caught.value.details())
    assert "create: the switch is down" in text.partition("[")[0]
    assert "its undo failed too" in text.partition("[")[2]
    assert client.containers() == []
    client.stop_pod(pod)
    with pytest.raises(grpc.RpcError, match="delete: the switch is down"):
        client.remove_pod(pod)
    switch.unlink()
    client.remove_pod(pod)
    assert left_over(before, daemon) == [], daemon.log_tail()
