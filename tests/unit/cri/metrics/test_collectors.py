"""cri/metrics/collectors: CRI-O's names, and what is counted under them."""

import logging

import pytest
from prometheus_client.parser import text_string_to_metric_families

from cri.metrics.collectors import OOM_NAMES, PREFIX, Metrics, Sources
from cri.metrics.own import Own, Reading
from cri.operations import Operation, Step
from storage.progress import Layer, LayerState, Progress

CRIO_COLLECTORS = {
    "operations_total",
    "operations_latency_seconds",
    "operations_latency_seconds_total",
    "operations_errors_total",
    "image_pulls_layer_size",
    "image_pulls_bytes_total",
    "image_pulls_skipped_bytes_total",
    "image_pulls_failure_total",
    "image_pulls_success_total",
    "image_layer_reuse_total",
    "containers_oom_total",
    "containers_oom_count_total",
    "containers_events_dropped_total",
    "containers_seccomp_notifier_count_total",
    "containers_stopped_monitor_count",
    "processes_defunct",
    "resources_stalled_at_stage",
    "default_runtime",
}


def make(
    *wanted: str, runtimes: tuple[str, ...] = ("crun",), running: list[Operation] | None = None
) -> Metrics:
    left = list(runtimes)
    sources = Sources(
        default_runtime=lambda: left.pop(0) if len(left) > 1 else left[0],
        events_dropped=lambda: 3,
        processes_defunct=lambda: 2,
        monitors_lost=lambda: 1,
        running=lambda: running or [],
    )
    return Metrics(sources, Own(list), wanted)


def operation(verb: str, *steps: Step, subject: str = "x", waiting: int = 1) -> Operation:
    made = Operation(verb, subject, started=0.0, ended=5.0, steps=list(steps))
    made.waiting = waiting
    return made


def everything() -> Metrics:
    """Every metric has a series."""
    metrics = make()
    for name in ("RunPodSandbox", "PullImage"):
        metrics.called(name, 0.25)
        metrics.called(name, 0.25, "INTERNAL")
    failed = Step("network", 0.0, 2.0, failed=True)
    run = operation("RunPodSandbox", failed, waiting=0)
    metrics.step_ended(run, failed)
    metrics.ended(run, OSError())
    pull = operation("PullImage")
    here, fetched = Layer("sha256:1", 2000), Layer("sha256:2", 3000)
    here.state = LayerState.HERE
    fetched.came(3000)
    pull.progress = Progress([here, fetched])
    metrics.ended(pull, None)
    metrics.out_of_memory("main")
    readings = [
        Reading("build_info", "", 1, (("version", "1"),)),
        Reading("operations_running", "", 1, (("operation", "x"),)),
        Reading("operations_oldest_seconds", "", 1),
        Reading("queue_depth", "", 1, (("queue", "x"),)),
        Reading("containers", "", 1, (("phase", "x"),)),
        Reading("sandboxes", "", 1, (("phase", "x"),)),
        *(
            Reading(name, "", 1)
            for name in (
                "quarantined",
                "troubles",
                "monitor_up",
                "stuck_logs",
                "images",
                "store_bytes",
                "store_inodes",
                "network_ready",
            )
        ),
    ]
    metrics._own._look = lambda: readings
    return metrics


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
        metrics = make("operations_total", PREFIX + "containers_oom_total", "image_layer_puse_total")
    metrics.called("Status", 0)
    metrics.out_of_memory("c")
    assert set(samples(metrics)) == {"operations_total Status", "containers_oom_total"}
    (record,) = caplog.records
    assert "image_layer_puse_total is not among" in record.getMessage()


def test_all_collectors_of_crio_are_there() -> None:
    assert set(make().names()) == CRIO_COLLECTORS


def test_a_step_is_timed_by_its_name_and_the_network_by_crios() -> None:
    found = samples(everything())
    assert found["operations_latency_seconds network_setup_pod"] == 2
    assert found["operations_latency_seconds_total_count network_setup_overall"] == 1
    text = everything().text().decode()
    assert 'podwright_step_seconds_sum{operation="RunPodSandbox",step="network"} 2.0' in text
    assert 'podwright_step_failures_total{operation="RunPodSandbox",step="network"} 1.0' in text
    assert 'podwright_operation_seconds_count{operation="RunPodSandbox"} 1.0' in text


def test_layers_of_a_pull_are_counted_by_what_became_of_them() -> None:
    found = samples(everything())
    assert found["image_layer_reuse_total sha256:1"] == 1
    assert found["image_pulls_skipped_bytes_total >1 KiB"] == 2000
    assert found["image_pulls_bytes_total layer >1 KiB"] == 3000
    assert found["image_pulls_layer_size_count"] == 1


def test_what_every_caller_gave_up_on_is_stalled_at_its_step() -> None:
    alone = operation("CreateContainer", Step("rootfs", 0.0), waiting=0)
    metrics = make(running=[alone, operation("StartContainer", Step("start", 0.0))])
    metrics.ended(operation("RunPodSandbox", Step("network", 0.0), waiting=0), None)
    found = samples(metrics)
    assert found["resources_stalled_at_stage rootfs"] == 1
    assert found["resources_stalled_at_stage network"] == 1
    assert "resources_stalled_at_stage start" not in found


def test_a_removed_container_loses_its_series() -> None:
    metrics = make()
    metrics.out_of_memory("main", "c" * 64)
    metrics.ended(operation("RemoveContainer", subject="c" * 64), None)
    found = samples(metrics)
    assert "containers_oom_count_total main" not in found
    assert found["containers_oom_total"] == 1
