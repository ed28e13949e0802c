"""What is counted, under CRI-O's names (its dashboards and alerts go on working), and Podwright's own.

CRI-O's 18 collectors begin with PREFIX and are what ``metrics_collectors`` chooses from; what Podwright has
beside them begins with OWN (own.py) and is always there, as are prometheus_client's on the process.
"""

import logging
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, ProcessCollector, generate_latest
from prometheus_client.metrics_core import CounterMetricFamily, Metric
from prometheus_client.registry import Collector

from cri.metrics.latency import Latency
from cri.metrics.names import Labels, size_label, step_label
from cri.metrics.own import Own
from cri.operations import Operation, Step
from storage.progress import LayerState

logger = logging.getLogger(__name__)

PREFIX = "container_runtime_crio_"
OOM_NAMES = 1000  # containers that are named at once: each name is a time series
REUSED_NAMES = 1000
_LAYER_SIZES = (1e3, 1e6, 1e7, 5e7, 1e8, 2e8, 3e8, 4e8, 5e8, 1e9, 1e10)
# What CRI-O times of the network beside the calls, and our step for it.
_NETWORK_STEPS = {"network": ("network_setup_pod", "network_setup_overall")}


@dataclass(frozen=True, slots=True)
class Sources:
    """What is looked up when the metrics are read, instead of being counted."""

    default_runtime: Callable[[], str]
    events_dropped: Callable[[], int]
    processes_defunct: Callable[[], int]
    monitors_lost: Callable[[], int]
    running: Callable[[], Iterable[Operation]]


class Metrics:
    """The counters of one daemon; an observer of calls (cri/server.py) and operations (cri/operations.py)."""

    def __init__(self, sources: Sources, own: Own, wanted: Sequence[str] = ()) -> None:
        """Count and serve the metrics named in ``wanted`` (with or without PREFIX); all when it is empty."""
        self._sources, self._own = sources, own
        self.registry = CollectorRegistry()
        self._runtime = ""
        self._operations = _counter("operations_total", "CRI calls.", "operation")
        self._errors = _counter("operations_errors_total", "CRI calls that failed.", "operation")
        self._last_latency = _gauge("operations_latency_seconds", "Of the last call.", "operation")
        self._latency = Latency(PREFIX + "operations_latency_seconds_total", "Of all calls.", "operation")
        self._layers = Histogram(
            PREFIX + "image_pulls_layer_size",
            "Sizes of layers that were pulled, in bytes.",
            buckets=_LAYER_SIZES,
            registry=None,
        )
        self._pulled = _counter("image_pulls_bytes_total", "Bytes pulled.", "mediatype", "size")
        self._skipped = _counter("image_pulls_skipped_bytes_total", "Bytes that were here.", "size")
        self._pulls = _counter("image_pulls_success_total", "Image pulls.")
        self._failed_pulls = _counter("image_pulls_failure_total", "Image pulls that failed.", "error")
        self._reused = Named(
            _counter("image_layer_reuse_total", "Layers of a pull that were here.", "name"), REUSED_NAMES
        )
        self._ooms = _counter("containers_oom_total", "Containers that ended for want of memory.")
        self._ooms_by_name = Named(
            _counter("containers_oom_count_total", "The same by container.", "name"), OOM_NAMES
        )
        self._killed: dict[str, str] = {}  # names by id
        self._dropped = Looked("containers_events_dropped", "Events lost.", sources.events_dropped)
        self._seccomp = _counter(
            "containers_seccomp_notifier_count_total",
            "System calls that seccomp told of; Podwright has no notifier.",
            "name",
            "syscall",
        )
        self._monitors = _gauge("containers_stopped_monitor_count", "Monitors that were lost.", "name")
        self._monitors.labels("podwright-monitor").set_function(sources.monitors_lost)
        self._defunct = _gauge("processes_defunct", "Ended children of the daemon that are not reaped yet.")
        self._defunct.set_function(sources.processes_defunct)
        self._stalled = Stalled(sources.running)
        self._default = _gauge("default_runtime", "The default handler, as a label.", "runtime")
        self._register(wanted)

    def _register(self, wanted: Sequence[str]) -> None:
        asked = {_short(name) for name in wanted}
        known = dict(self._named())
        for name in sorted(asked - known.keys()):
            logger.warning("metrics_collectors: %s is not among %s", name, ", ".join(sorted(known)))
        for name, metric in known.items():
            if not wanted or name in asked:
                self.registry.register(metric)
        self._own.register(self.registry)
        ProcessCollector(registry=self.registry)

    def names(self) -> list[str]:
        """The names that metrics_collectors may hold, without PREFIX."""
        return [name for name, _ in self._named()]

    def _named(self) -> Iterator[tuple[str, Collector]]:
        yield "operations_total", self._operations
        yield "operations_errors_total", self._errors
        yield "operations_latency_seconds", self._last_latency
        yield "operations_latency_seconds_total", self._latency
        yield "image_pulls_layer_size", self._layers
        yield "image_pulls_bytes_total", self._pulled
        yield "image_pulls_skipped_bytes_total", self._skipped
        yield "image_pulls_success_total", self._pulls
        yield "image_pulls_failure_total", self._failed_pulls
        yield "image_layer_reuse_total", self._reused.counter
        yield "containers_oom_total", self._ooms
        yield "containers_oom_count_total", self._ooms_by_name.counter
        yield "containers_events_dropped_total", self._dropped
        yield "containers_seccomp_notifier_count_total", self._seccomp
        yield "containers_stopped_monitor_count", self._monitors
        yield "processes_defunct", self._defunct
        yield "resources_stalled_at_stage", self._stalled
        yield "default_runtime", self._default

    def called(self, operation: str, seconds: float, error: str = "") -> None:
        """Count a CRI call; ``error`` is the name of its gRPC status, "" when all went well."""
        self._operations.labels(operation).inc()
        self._last_latency.labels(operation).set(seconds)
        self._latency.observe(operation, seconds)
        if error:
            self._errors.labels(operation).inc()
        if operation == "PullImage":
            (self._failed_pulls.labels(error) if error else self._pulls).inc()

    def started(self, operation: Operation) -> None:
        """Nothing is counted at the beginning: ``running`` is looked up."""

    def step_ended(self, operation: Operation, step: Step) -> None:
        seconds = (step.ended or step.started) - step.started
        name = step_label(step.name)
        self._own.step(operation.verb, name, seconds, failed=step.failed)
        for of in _NETWORK_STEPS.get(name, ()):
            self._last_latency.labels(of).set(seconds)
            self._latency.observe(of, seconds)

    def ended(self, operation: Operation, error: BaseException | None) -> None:
        self._own.operation(operation.verb, operation.seconds(), failed=error is not None)
        if not operation.waiting:
            self._stalled.ended(operation)
        if operation.verb == "RemoveContainer" and operation.subject in self._killed:
            self._ooms_by_name.forget(self._killed.pop(operation.subject))
        if operation.progress is not None and operation.verb == "PullImage":
            self._pull_ended(operation)

    def _pull_ended(self, operation: Operation) -> None:
        for layer in operation.progress.layers if operation.progress is not None else ():
            if layer.state is LayerState.HERE:
                self._reused.inc(layer.name)
                self._skipped.labels(size_label(layer.size_bytes)).inc(layer.size_bytes)
            elif layer.done_bytes:
                self._layers.observe(layer.done_bytes)
                self._pulled.labels("layer", size_label(layer.size_bytes)).inc(layer.done_bytes)

    def out_of_memory(self, container: str, identifier: str = "") -> None:
        """Count a container that was ended for want of memory.

        The last OOM_NAMES keep their names, and none longer than until its container is removed.
        """
        self._ooms.inc()
        self._ooms_by_name.inc(container)
        self._killed[identifier] = container
        if len(self._killed) > OOM_NAMES:
            del self._killed[next(iter(self._killed))]

    def text(self) -> bytes:
        """Everything in Prometheus' text format 0.0.4."""
        runtime = self._sources.default_runtime()
        if runtime != self._runtime:
            self._default.clear()
            self._runtime = runtime
        if runtime:
            self._default.labels(runtime).set(1)
        return generate_latest(self.registry)


class Named:
    """A counter by names that come and go: the last ``most`` keep theirs."""

    def __init__(self, counter: Counter, most: int) -> None:
        self.counter = counter
        self._most = most
        self._names: dict[str, None] = {}

    def inc(self, name: str) -> None:
        if name not in self._names:
            self._names[name] = None
            if len(self._names) > self._most:
                self.forget(next(iter(self._names)))
        self.counter.labels(name).inc()

    def forget(self, name: str) -> None:
        if name in self._names:
            del self._names[name]
            self.counter.remove(name)


class Looked(Collector):
    """A counter that somebody else keeps."""

    def __init__(self, name: str, text: str, source: Callable[[], int]) -> None:
        self._name, self._text, self._source = PREFIX + name, text, source

    def describe(self) -> Iterator[Metric]:
        yield CounterMetricFamily(self._name, self._text)

    def collect(self) -> Iterator[Metric]:
        yield CounterMetricFamily(self._name, self._text, value=self._source())


class Stalled(Collector):
    """Operations that every caller has given up on, by the step that they were at: those that ended so, and
    those that still run."""

    def __init__(self, running: Callable[[], Iterable[Operation]]) -> None:
        self._running = running
        self._ended: dict[str, int] = {}
        self._labels = Labels()

    def ended(self, operation: Operation) -> None:
        stage = self._stage(operation)
        self._ended[stage] = self._ended.get(stage, 0) + 1

    def describe(self) -> Iterator[Metric]:
        yield self._family()

    def collect(self) -> Iterator[Metric]:
        found = dict(self._ended)
        for operation in self._running():
            if not operation.waiting:
                stage = self._stage(operation)
                found[stage] = found.get(stage, 0) + 1
        family = self._family()
        for stage, count in found.items():
            family.add_sample(PREFIX + "resources_stalled_at_stage", {"stage": stage}, count)
        yield family

    def _stage(self, operation: Operation) -> str:
        name = operation.steps[-1].name if operation.steps else operation.verb
        return self._labels.bounded(step_label(name))

    def _family(self) -> Metric:
        text = "Operations that every caller has given up on."
        return Metric(PREFIX + "resources_stalled_at_stage", text, "gauge")


def unknown(wanted: Sequence[str]) -> list[str]:
    """The names in ``wanted`` that no metric has."""
    known = set(Metrics(Sources(str, int, int, int, list), Own(list)).names())
    return sorted({_short(name) for name in wanted} - known)


def _short(name: str) -> str:
    return name.removeprefix(PREFIX).removeprefix("crio_")


def _counter(name: str, text: str, *labels: str) -> Counter:
    return Counter(PREFIX + name, text, labels, registry=None)


def _gauge(name: str, text: str, *labels: str) -> Gauge:
    return Gauge(PREFIX + name, text, labels, registry=None)
