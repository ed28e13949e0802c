"""cri/metrics/collectors: CRI-O's names, and what is counted under them."""

import logging

import pytest
from prometheus_client.parser import text_string_to_metric_families

from cri.metrics.collectors import OOM_NAMES, PREFIX, Metrics, Sources


def make(*wanted: str, runtimes: tuple[str, ...] = ("crun",)) -> Metrics:
    left = list(runtimes)
    return Metrics(Sources(lambda: left.pop(0) if len(left) > 1 else left[0], lambda: 3, lambda: 2), wanted)


def samples(metrics: Metrics) -> dict[str, float]:
    """Every sample of ours as a scraper sees it: ``name label`` without the prefix."""
    return {
        " ".join((sample.name.removeprefix(PREFIX), *sample.labels.values())): sample.value
        for family in text_string_to_metric_families(metrics.text().decode())
        for sample in family.samples
        if sample.name.startswith(PREFIX) and not sample.name.endswith("_created")
    }


def test_a_call_is_counted_and_timed() -> None:
    metrics = make()
    metrics.called("CreateContainer", 0.25)
    metrics.called("CreateContainer", 0.5, "INTERNAL")
    found = samples(metrics)
    assert found["operations_total CreateContainer"] == 2
    assert found["operations_errors_total CreateContainer"] == 1
    assert found["operations_latency_seconds CreateContainer"] == 0.5
    assert found["operations_latency_seconds_total_sum CreateContainer"] == 0.75
    assert found["operations_latency_seconds_total_count CreateContainer"] == 2


def test_pulls_are_counted_by_their_outcome() -> None:
    metrics = make()
    metrics.called("PullImage", 1)
    metrics.called("PullImage", 1, "NOT_FOUND")
    found = samples(metrics)
    assert found["image_pulls_success_total"] == 1
    assert found["image_pulls_failure_total NOT_FOUND"] == 1


def test_only_the_last_containers_out_of_memory_keep_their_names() -> None:
    metrics = make()
    for number in range(OOM_NAMES + 1):
        metrics.out_of_memory(f"c{number}")
    metrics.out_of_memory("c1")
    found = samples(metrics)
    assert found["containers_oom_total"] == OOM_NAMES + 2
    assert "containers_oom_count_total c0" not in found
    assert found["containers_oom_count_total c1"] == 2


def test_what_is_looked_up_is_as_it_is_now() -> None:
    metrics = make(runtimes=("crun", "runc"))
    found = samples(metrics)
    assert (found["containers_events_dropped_total"], found["processes_defunct"]) == (3, 2)
    assert found["default_runtime crun"] == 1
    found = samples(metrics)
    assert found["default_runtime runc"] == 1
    assert "default_runtime crun" not in found


def test_only_the_wanted_metrics_are_served_and_an_unknown_one_is_named(
    caplog: pytest.LogCaptureFixture,
) -> None:
    with caplog.at_level(logging.WARNING):
        metrics = make("operations_total", PREFIX + "containers_oom_total", "image_layer_reuse_total")
    metrics.called("Status", 0)
    metrics.out_of_memory("c")
    assert set(samples(metrics)) == {"operations_total Status", "containers_oom_total"}
    (record,) = caplog.records
    assert "image_layer_reuse_total is not among" in record.getMessage()
