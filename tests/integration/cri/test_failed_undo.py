"""A network plugin that fails to attach and then to detach: the sandbox's name is not reserved for ever."""

import json
import stat
from collections.abc import Iterator
from pathlib import Path

import grpc
import pytest

from api.runtime.v1 import api_pb2 as pb
from tests.harness.client import Client
from tests.harness.daemon import Daemon, Settings
from tests.integration.cri.conftest import left_over, pod_config, take_counts

pytestmark = pytest.mark.root

PLUGIN = """#!/bin/sh
if [ -e {switch} ] && [ "$CNI_COMMAND" != VERSION ]; then
    echo '{{"cniVersion": "1.0.0", "code": 100, "msg": "the switch is down"}}'
    exit 1
fi
case "$CNI_COMMAND" in
    ADD) echo '{{"cniVersion": "1.0.0", "interfaces": [], "ips": [{{"address": "10.9.9.9/24"}}]}}' ;;
    VERSION) echo '{{"cniVersion": "1.0.0", "supportedVersions": ["1.0.0"]}}' ;;
esac
"""


@pytest.fixture
def broken(tmp_path: Path) -> Iterator[tuple[Daemon, Path]]:
    """A daemon whose only network fails while the file exists."""
    switch = tmp_path / "down"
    plugin = tmp_path / "bin" / "switchable"
    plugin.parent.mkdir()
    plugin.write_text(PLUGIN.format(switch=switch))
    plugin.chmod(plugin.stat().st_mode | stat.S_IXUSR)
    daemon = Daemon(Settings(tables={"crio.network": {"plugin_dirs": [str(plugin.parent)]}}))
    conflist = {"cniVersion": "1.0.0", "name": "switchable", "plugins": [{"type": "switchable"}]}
    (daemon.state / "net.d/10-bridge.conflist").write_text(json.dumps(conflist))
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
        text = _refused(client, config)
        assert "the switch is down" in text
        assert "network" in text
    assert client.pods() == []
    switch.unlink()
    pod = client.run_pod(config)
    assert client.pod(pod).network.ip == "10.9.9.9"
    client.remove_pod(pod)
    assert left_over(before, daemon) == [], daemon.log_tail()


def test_a_restart_undoes_it_too(broken: tuple[Daemon, Path]) -> None:
    daemon, switch = broken
    client, config = daemon.client, pod_config("switch")
    client.remove_pod(client.run_pod(config))
    before = take_counts(daemon)
    switch.touch()
    _refused(client, config)
    switch.unlink()
    daemon.restart()
    assert client.pods() == []
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
