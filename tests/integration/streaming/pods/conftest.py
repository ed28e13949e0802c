"""Containers of a real daemon to stream with; neither it nor its monitor may hold more afterwards."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import pytest

from api.runtime.v1 import api_pb2 as pb
from tests.harness.client import Client, container_config
from tests.harness.daemon import Daemon
from tests.integration.cri.conftest import IMAGE, client, daemon, logs, nothing_left, pod_config
from tests.integration.streaming.pods.observe import Served

__all__ = ["client", "daemon", "logs", "nothing_left"]

FOREVER = ("sleep", "1000000")


@dataclass(frozen=True, slots=True)
class Pod:
    """A pod with one container."""

    id: str
    container: str


class Pods:
    """Runs pods of one container; the fixture removes them."""

    def __init__(self, client: Client, logs: Path) -> None:
        self._client = client
        self._logs = logs

    def run(
        self,
        *command: str,
        handler: str = "",
        stdin: bool = False,
        stdin_once: bool = False,
        tty: bool = False,
        host_network: bool = False,
        pid: pb.NamespaceMode.ValueType = pb.CONTAINER,
        files: Mapping[str, Path] | None = None,
    ) -> Pod:
        """Start ``command``, by default one that waits; ``files``, by path inside, are mounted read-only."""
        pod = self.create(
            *command,
            handler=handler,
            stdin=stdin,
            stdin_once=stdin_once,
            tty=tty,
            host_network=host_network,
            pid=pid,
            files=files,
        )
        self._client.start_container(pod.container)
        return pod

    def create(
        self,
        *command: str,
        handler: str = "",
        stdin: bool = False,
        stdin_once: bool = False,
        tty: bool = False,
        host_network: bool = False,
        pid: pb.NamespaceMode.ValueType = pb.CONTAINER,
        files: Mapping[str, Path] | None = None,
    ) -> Pod:
        """As :meth:`run`, and not started."""
        pod = pod_config("streaming", log_directory=self._logs, host_network=host_network)
        pod.linux.security_context.namespace_options.pid = pid
        config = container_config("main", IMAGE, command or FOREVER)
        config.linux.security_context.namespace_options.pid = pid
        config.stdin, config.stdin_once, config.tty = stdin, stdin_once, tty
        for inside, outside in (files or {}).items():
            config.mounts.append(pb.Mount(container_path=inside, host_path=str(outside), readonly=True))
        pod_id = self._client.run_pod(pod, handler)
        return Pod(pod_id, self._client.create_container(pod_id, config, pod))


@pytest.fixture(scope="module")
def served(daemon: Daemon, tmp_path_factory: pytest.TempPathFactory) -> Served:
    """Once there was a container with a log, and a pause process without: their log writers stay."""
    Pods(daemon.client, tmp_path_factory.mktemp("logs")).run("true", pid=pb.POD)
    daemon.client.remove_all()
    return Served.by(daemon)


@pytest.fixture
def pods(daemon: Daemon, client: Client, logs: Path, nothing_left: None, served: Served) -> Iterator[Pods]:
    before = served.descriptors()
    yield Pods(client, logs)
    client.remove_all()
    served.until_no_more_than(before)
