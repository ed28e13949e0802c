"""Stopping a container: what a process that ends by itself, or never, makes of it."""

import asyncio
from types import SimpleNamespace
from typing import cast

import pytest

from api.ids import ContainerId, ImageId, SandboxId
from api.runtime.v1 import api_pb2 as pb
from conf.schema import Config, RuntimeTable
from conf.values import Seconds
from cri.containers.record import Container, Phase
from cri.containers.stop import WillNotDie, stop
from cri.node import Node
from cri.operations import Operations
from cri.sandboxes.record import Sandbox
from cri.store import Store
from oci.monitor.types import NotLive


class EndedMonitor:
    """Knows already that the process has ended; the daemon hears of it a moment later, if at all."""

    def __init__(self, container: Container, *, tells: bool) -> None:
        self._container = container
        self._tells = tells

    async def signal(self, _identifier: ContainerId, _signo: int) -> None:
        if self._tells:
            asyncio.get_running_loop().call_soon(self._container.exited.set)
        raise NotLive("it has ended")


def made(*, tells: bool) -> tuple[Node, Container]:
    container = Container(
        id=ContainerId("2" * 64),
        name="name",
        sandbox_id=SandboxId("1" * 64),
        config=pb.ContainerConfig(),
        handler="",
        image_id=ImageId("sha256:9"),
        image_ref="",
        created_ns=0,
        phase=Phase.RUNNING,
        pid=4321,
    )
    node = SimpleNamespace(
        monitor=EndedMonitor(container, tells=tells),
        operations=Operations(slow_seconds=60),
        sandboxes=Store[Sandbox]("sandbox"),
        config=Config(runtime=RuntimeTable(ctr_stop_timeout=Seconds(0.01))),
    )
    return cast(Node, node), container


@pytest.mark.parametrize("grace_s", [0, 60])
async def test_a_process_that_ended_just_before_the_signal_is_stopped(grace_s: int) -> None:
    node, container = made(tells=True)
    await stop(node, container, grace_s)
    assert container.exited.is_set()


async def test_a_process_that_outlives_sigkill_is_named_after_the_configured_time() -> None:
    node, container = made(tells=False)
    with pytest.raises(WillNotDie, match=r"not ended 0\.01 s after SIGKILL.*/proc/4321/stack"):
        await stop(node, container, 0)
