"""The gauges of a node, as they are at a scrape: read from memory, but for the store's size."""

import platform
import time
from collections import Counter
from collections.abc import Iterator

from cri.containers.record import Phase
from cri.metrics.own import Reading
from cri.node import Node
from cri.version import VERSION


def readings(node: Node) -> Iterator[Reading]:
    """See own.py; of parts that cannot be asked there are none."""
    build = (("version", VERSION), ("python", platform.python_version()))
    yield Reading("build_info", "The version that runs, as a label.", 1, build)
    yield from _operations(node)
    yield from _queues(node)
    yield from _objects(node)
    yield from _monitor(node)
    yield from _store(node)
    text = "Whether pods can be attached to the network."
    yield Reading("network_ready", text, float(node.network.ready().ok))


def _operations(node: Node) -> Iterator[Reading]:
    running = node.operations.running()
    for verb, count in Counter(one.verb for one in running).items():
        yield Reading("operations_running", "Operations in progress.", count, (("operation", verb),))
    oldest = min((one.started for one in running), default=time.monotonic())
    text = "Age of the operation that has run longest."
    yield Reading("operations_oldest_seconds", text, max(0.0, time.monotonic() - oldest))


def _queues(node: Node) -> Iterator[Reading]:
    waiting = sum(
        step.ended is None and step.name.startswith("wait for ")
        for operation in node.operations.running()
        for step in operation.steps[-1:]
    )
    text = "What waits, by queue."
    for name, depth in (
        ("objects", waiting),
        ("events", node.events.waiting),
        ("volumes", node.volume_threads.waiting),
        ("background", len(node.background)),
    ):
        yield Reading("queue_depth", text, depth, (("queue", name),))


def _objects(node: Node) -> Iterator[Reading]:
    phases = Counter(one.phase for one in node.containers)
    for phase in Phase:
        yield Reading("containers", "Containers, by phase.", phases[phase], (("phase", phase.value),))
    sandboxes = Counter(one.phase.value for one in node.sandboxes)
    for name in ("creating", "ready", "stopping", "stopped"):
        yield Reading("sandboxes", "Pod sandboxes, by phase.", sandboxes[name], (("phase", name),))
    text = "Objects that are left out of what is served, since they cannot be read."
    yield Reading("quarantined", text, sum(1 for _ in node.quarantine))
    yield Reading("troubles", "Work of the daemon's own that fails.", len(node.background.troubles()))


def _monitor(node: Node) -> Iterator[Reading]:
    text = "Whether the monitor answered when it was asked last."
    yield Reading("monitor_up", text, float(not node.stuck_logs.monitor_problem))
    yield Reading("stuck_logs", "Logs that their file system does not take.", len(node.stuck_logs.logs))


def _store(node: Node) -> Iterator[Reading]:
    yield Reading("images", "Images on this node.", len(node.images.list()))
    usage = node.images.fs_info()
    yield Reading("store_bytes", "What images take, in bytes.", usage.used_bytes)
    yield Reading("store_inodes", "Inodes that images take.", usage.inodes_used)
