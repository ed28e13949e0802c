"""Collects statistics and metrics every so many seconds; imported where [crio.stats] asks for it alone."""

import asyncio
from collections.abc import Awaitable, Callable, Iterator

from api.runtime.v1 import api_pb2 as pb
from conf.schema import StatsTable
from cri.containers.listing import matching as containers_matching
from cri.node import Node
from cri.sandboxes.listing import matching
from cri.stats import pods, scrape, verbs

Work = Callable[[Node], Awaitable[None]]


async def statistics(node: Node) -> None:
    """Of all containers and ready pods, once."""
    containers = await verbs.read(node, containers_matching(node, pb.ContainerFilter()))
    node.collected.containers = {one.attributes.id: one for one in containers}
    found = await pods.read(node, matching(node, scrape.READY))
    node.collected.pods = {one.attributes.id: one for one in found}


async def metrics(node: Node) -> None:
    """Of all ready pods, once."""
    node.collected.metrics = await scrape.scrape(node)


def jobs(table: StatsTable) -> Iterator[tuple[str, int, Work]]:
    """What is to be done, by name, and every how many seconds."""
    for name, period, work in (
        ("statistics", table.collection_period or table.stats_collection_period, statistics),
        ("pod metrics", table.collection_period or table.pod_sandbox_metrics_collection_period, metrics),
    ):
        if period:
            yield name, period, work


async def keep(node: Node, period_s: int, work: Work) -> None:
    """Do it for ever."""
    while True:
        await work(node)
        await asyncio.sleep(period_s)
