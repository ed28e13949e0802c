"""Statistics that are collected ahead: what is asked for, and that questions are answered by it."""

from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import pytest

from api.runtime.v1 import api_pb2 as pb
from conf.schema import StatsTable
from cri.node import Node
from cri.stats import collect, scrape, verbs
from tests.fakes.node import kernel, started
from tests.unit.cri.test_publish import live


@pytest.fixture
async def node(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Node]:
    for target, name, value in kernel(tmp_path):
        monkeypatch.setattr(target, name, value)
    async with started(tmp_path) as node:
        yield node


@pytest.mark.parametrize(
    ("table", "jobs"),
    [
        (StatsTable(), []),
        (StatsTable(collection_period=5), [("statistics", 5), ("pod metrics", 5)]),
        (StatsTable(stats_collection_period=7), [("statistics", 7)]),
        (StatsTable(pod_sandbox_metrics_collection_period=9), [("pod metrics", 9)]),
        (
            StatsTable(collection_period=5, stats_collection_period=7),
            [("statistics", 5), ("pod metrics", 5)],
        ),
    ],
)
def test_who_asks_for_what(table: StatsTable, jobs: list[tuple[str, int]]) -> None:
    assert [(name, period) for name, period, _ in collect.jobs(table)] == jobs
    assert table.collects == bool(jobs)


async def test_questions_are_answered_by_what_was_collected_and_the_newer_is_read(node: Node) -> None:
    _, old = await live(node)
    await collect.statistics(node)
    assert node.collected.containers is not None
    collected = node.collected.containers[old]
    _, new = await live(node, attempt=1, name="other")
    answer = await verbs.list_container_stats(node, pb.ListContainerStatsRequest())
    found = {one.attributes.id: one for one in answer.stats}
    assert found.keys() == {old, new}
    assert found[old] == collected
    wanted = pb.ContainerStatsFilter(id=new)
    (only,) = (await verbs.list_container_stats(node, pb.ListContainerStatsRequest(filter=wanted))).stats
    assert only.attributes.id == new


async def test_metrics_are_those_of_the_last_collection(node: Node) -> None:
    node.config = replace(node.config, stats=StatsTable(included_pod_metrics=("spec",)))
    pod, _ = await live(node)
    await collect.metrics(node)
    await live(node, attempt=1, name="other")
    answer = await scrape.list_pod_sandbox_metrics(node, pb.ListPodSandboxMetricsRequest())
    assert [one.pod_sandbox_id for one in answer.pod_metrics] == [pod]
    names = {one.name for one in answer.pod_metrics[0].container_metrics[0].metrics}
    assert "container_spec_cpu_shares" in names
    assert "container_memory_rss" not in names
