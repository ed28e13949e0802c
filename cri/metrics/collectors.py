"""What is counted, under CRI-O's names: its dashboards and alerts go on working.

Served are the metrics below and prometheus_client's own on the process. CRI-O's metrics on single layers,
seccomp notifiers and conmon are not.
"""

import logging
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from prometheus_client import CollectorRegistry, Counter, Gauge, ProcessCollector, Summary, generate_latest
from prometheus_client.metrics import MetricWrapperBase

logger = logging.getLogger(__name__)

PREFIX = "container_runtime_crio_"
OOM_NAMES = 1000  # containers that are named at once: each name is a time series


@dataclass(frozen=True, slots=True)
class Sources:
    """What is looked up when the metrics are read, instead of being counted."""

    default_runtime: Callable[[], str]
    events_dropped: Callable[[], int]
    processes_defunct: Callable[[], int]


class Metrics:
    """The counters of one daemon."""

    def __init__(self, sources: Sources, wanted: Sequence[str] = ()) -> None:
        """Count and serve the metrics named in ``wanted`` (with or without PREFIX); all when it is empty."""
        self._sources = sources
        self.registry = CollectorRegistry()
        self._runtime = ""
        self._operations = _counter("operations_total", "CRI calls.", "operation")
        self._errors = _counter("operations_errors_total", "CRI calls that failed.", "operation")
        self._last_latency = Gauge(
            PREFIX + "operations_latency_seconds",
            "Of the last call.",
            ["operation"],
            registry=None,
        )
        self._latency = Summary(
            PREFIX + "operations_latency_seconds_total", "Of all calls.", ["operation"], registry=None
        )
        self._pulls = _counter("image_pulls_success_total", "Image pulls.")
        self._failed_pulls = _counter("image_pulls_failure_total", "Image pulls that failed.", "error")
        self._ooms = _counter("containers_oom_total", "Containers that ended for want of memory.")
        self._ooms_by_name = _counter("containers_oom_count_total", "The same by container.", "name")
        self._names: list[str] = []
        self._dropped = _gauge("containers_events_dropped_total", "Events lost to slow listeners.")
        self._dropped.set_function(sources.events_dropped)
        self._defunct = _gauge("processes_defunct", "Ended children of the daemon that are not reaped yet.")
        self._defunct.set_function(sources.processes_defunct)
        self._default = Gauge(
            PREFIX + "default_runtime", "The default handler, as a label.", ["runtime"], registry=None
        )
        self._register(wanted)

    def _register(self, wanted: Sequence[str]) -> None:
        asked = {_short(name) for name in wanted}
        known = dict(self._named())
        for name in sorted(asked - known.keys()):
            logger.warning("metrics_collectors: %s is not among %s", name, ", ".join(sorted(known)))
        for name, metric in known.items():
            if not wanted or name in asked:
                self.registry.register(metric)
        ProcessCollector(registry=self.registry)

    def names(self) -> list[str]:
        """The names that metrics_collectors may hold, without PREFIX."""
        return [name for name, _ in self._named()]

    def _named(self) -> Iterator[tuple[str, MetricWrapperBase]]:
        yield "operations_total", self._operations
        yield "operations_errors_total", self._errors
        yield "operations_latency_seconds", self._last_latency
        yield "operations_latency_seconds_total", self._latency
        yield "image_pulls_success_total", self._pulls
        yield "image_pulls_failure_total", self._failed_pulls
        yield "containers_oom_total", self._ooms
        yield "containers_oom_count_total", self._ooms_by_name
        yield "containers_events_dropped_total", self._dropped
        yield "processes_defunct", self._defunct
        yield "default_runtime", self._default

    def called(self, operation: str, seconds: float, error: str = "") -> None:
        """Count a CRI call; ``error`` is the name of its gRPC status, "" when all went well."""
        self._operations.labels(operation).inc()
        self._last_latency.labels(operation).set(seconds)
        self._latency.labels(operation).observe(seconds)
        if error:
            self._errors.labels(operation).inc()
        if operation == "PullImage":
            (self._failed_pulls.labels(error) if error else self._pulls).inc()

    def out_of_memory(self, container: str) -> None:
        """Count a container that was ended for want of memory; the last OOM_NAMES keep their names."""
        self._ooms.inc()
        if container not in self._names:
            self._names.append(container)
        if len(self._names) > OOM_NAMES:
            self._ooms_by_name.remove(self._names.pop(0))
        self._ooms_by_name.labels(container).inc()

    def text(self) -> bytes:
        """Everything in Prometheus' text format 0.0.4."""
        runtime = self._sources.default_runtime()
        if runtime != self._runtime:
            self._default.clear()
            self._runtime = runtime
        if runtime:
            self._default.labels(runtime).set(1)
        return generate_latest(self.registry)


def unknown(wanted: Sequence[str]) -> list[str]:
    """The names in ``wanted`` that no metric has."""
    known = set(Metrics(Sources(str, int, int)).names())
    return sorted({_short(name) for name in wanted} - known)


def _short(name: str) -> str:
    return name.removeprefix(PREFIX).removeprefix("crio_")


def _counter(name: str, text: str, *labels: str) -> Counter:
    return Counter(PREFIX + name, text, labels, registry=None)


def _gauge(name: str, text: str) -> Gauge:
    return Gauge(PREFIX + name, text, registry=None)
