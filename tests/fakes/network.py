"""A pod network without links: a lease, a link and a cached result for each pod, as files."""

import asyncio
from collections.abc import Collection, Mapping

from cni.chain import Step, untimed
from cni.errors import PluginFailed
from cni.network import Readiness
from cni.pod import Attachment, PodNetwork
from tests.fakes.world import World


class FakeNetwork:
    """See cri.parts.Network; ``collect`` is what the daemon does at its start."""

    def __init__(self, world: World) -> None:
        self._world = world

    def ready(self) -> Readiness:
        return Readiness(True)

    async def attach(self, pod: PodNetwork, step: Step = untimed) -> Attachment:
        await asyncio.sleep(0)
        if not pod.netns.exists():
            raise PluginFailed(f"the network namespace {pod.netns} does not exist")
        taken = {self._world.file("leases", name).read_text() for name in self._world.names("leases")}
        address = next(text for number in range(2, 255) if (text := f"10.0.0.{number}") not in taken)
        self._world.make("leases", pod.sandbox_id, address)
        self._world.make("links", pod.sandbox_id)
        self._world.make("attachments", pod.sandbox_id)
        return Attachment((address,), ("eth0",), {})

    async def detach(self, pod: PodNetwork) -> None:
        await self._detach(pod.sandbox_id)

    async def _detach(self, sandbox_id: str) -> None:
        await asyncio.sleep(0)
        for kind in ("links", "leases", "attachments"):
            self._world.take(kind, sandbox_id)

    async def result(self, sandbox_id: str) -> Mapping[str, object] | None:
        await asyncio.sleep(0)
        return {} if sandbox_id in self._world.names("attachments") else None

    async def collect(self, sandbox_ids: Collection[str]) -> None:
        """Detach what is attached for others than these."""
        for name in self._world.names("attachments"):
            if name not in sandbox_ids:
                await self._detach(name)
