"""A kubelet that takes metrics of pods from the runtime serves what it serves with cAdvisor."""

import json
import re
from collections.abc import Mapping
from typing import Any

import pytest

from tests.harness.client import eventually
from tests.harness.patience import patient
from tests.kubelet.manifests import container, pod
from tests.kubelet.node import Node

pytestmark = pytest.mark.root

POLL_S = patient(0.5)  # each look is a scrape
GATES: Mapping[str, object] = {
    "featureGates": {"KubeletCrashLoopBackOffMax": True, "PodAndContainerStatsFromCRI": True}
}
SERIES = re.compile(r'^(container_\w+)\{[^}]*container="(main|POD|)"[^}]*\}', re.MULTILINE)
# Of cAdvisor alone: what KEP-2371 does not name.
CADVISORS = {
    "container_cpu_load_average_10s",
    "container_cpu_load_d_average_10s",
    "container_fs_io_current",
    "container_fs_io_time_seconds_total",
    "container_fs_io_time_weighted_seconds_total",
    "container_fs_read_seconds_total",
    "container_fs_reads_merged_total",
    "container_fs_sector_reads_total",
    "container_fs_sector_writes_total",
    "container_fs_write_seconds_total",
    "container_fs_writes_merged_total",
    "container_memory_migrate",
    "container_memory_numa_pages",
    "container_memory_total_active_file_bytes",
    "container_memory_total_inactive_file_bytes",
    "container_tasks_state",
    "container_health_state",
}


def scraped(node: Node, name: str) -> set[str]:
    """The families of the pod's containers and network."""
    lines = [line for line in node.kubelet.get("/metrics/cadvisor").splitlines() if f'pod="{name}"' in line]
    return {found[0] for found in SERIES.findall("\n".join(lines))}


def summary(node: Node, name: str) -> dict[str, Any]:
    """What /stats/summary says of the pod; nothing while it does not know it."""
    found = json.loads(node.kubelet.get("/stats/summary"))["pods"]
    return next((one for one in found if one["podRef"]["name"] == name), {})


def shape(found: object, prefix: str = "") -> set[str]:
    """The paths of all values; what is in lists, once."""
    if isinstance(found, dict):
        return {path for key, value in found.items() for path in shape(value, f"{prefix}.{key}")}
    if isinstance(found, list):
        return {path for value in found for path in shape(value, f"{prefix}[]")}
    return {prefix}


def test_the_families_are_those_of_cadvisor(node: Node) -> None:
    script = "head -c 100000 /dev/zero > /written; while :; do sleep 0.1; done"
    first = node.run(pod("measured", container("main", script)))
    by_cadvisor = eventually(
        lambda: scraped(node, first.name),
        lambda found: "container_cpu_usage_seconds_total" in found,
        "cAdvisor has looked",
        poll_s=POLL_S,
    )
    before = eventually(
        lambda: summary(node, first.name),
        lambda one: bool(one.get("containers")),
        "it is summed up",
        poll_s=POLL_S,
    )
    node.kubelet.stop()
    node.kubelet.start(GATES)
    try:
        by_runtime = eventually(
            lambda: scraped(node, first.name),
            lambda found: "container_cpu_usage_seconds_total" in found,
            "the runtime was asked",
            poll_s=POLL_S,
        )
        missing = by_cadvisor - by_runtime - CADVISORS
        print("of cAdvisor alone:", sorted(by_cadvisor - by_runtime))
        print("of the runtime alone:", sorted(by_runtime - by_cadvisor))
        assert missing == set()
        assert len(by_runtime) > 40
        after = eventually(
            lambda: summary(node, first.name),
            lambda one: "usageNanoCores" in one.get("cpu", {}),
            "the runtime's numbers are summed up",
            poll_s=POLL_S,
        )
        print("of the summary without it:", sorted(shape(before) - shape(after)))
        assert {"cpu", "memory", "network", "containers", "process_stats"} <= after.keys()
        (own,) = after["containers"]
        assert own["memory"]["workingSetBytes"] > 0
        assert own["rootfs"]["usedBytes"] >= 100_000
    finally:
        node.kubelet.stop()
        node.kubelet.start()
