"""crictl's commands for statistics, metrics and events, on a live pod."""

import json
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from cri.stats.families import FAMILIES
from host.cgroups import Hierarchy
from tests.critest.toolchain import ensure_tool
from tests.harness.client import container_config, eventually
from tests.harness.daemon import Daemon, Settings, Value
from tests.harness.patience import patient
from tests.integration.cri.conftest import CGROUP, IMAGE, import_busybox, pod_config

pytestmark = pytest.mark.root


@pytest.fixture(scope="module")
def daemon() -> Iterator[Daemon]:
    tables: dict[str, dict[str, Value]] = {
        "crio.stats": {"included_pod_metrics": ["all"]},
        "crio.runtime": {"enable_pod_events": True, "cgroup_prefix": "crio"},
    }
    daemon = Daemon(Settings(bridge="pw-test8", subnet="10.84.0.0/24", tables=tables))
    import_busybox(daemon)
    daemon.start()
    Hierarchy.detect().create(CGROUP)
    yield daemon
    forced = daemon.teardown()
    Hierarchy.detect().remove(CGROUP)
    assert forced == []


@pytest.fixture(scope="module")
def live(daemon: Daemon) -> tuple[str, str]:
    """A pod and its container."""
    config = pod_config("live")
    pod = daemon.client.run_pod(config)
    asked = container_config("main", IMAGE, ["sh", "-c", "while :; do sleep 0.1; done"])
    container = daemon.client.create_container(pod, asked, config)
    daemon.client.start_container(container)
    return pod, container


def line(daemon: Daemon, *arguments: str) -> list[str]:
    crictl = [str(ensure_tool("crictl")), "--runtime-endpoint", daemon.endpoint]
    return [*crictl, "--image-endpoint", daemon.endpoint, "--timeout", f"{patient(10):.0f}s", *arguments]


def crictl(daemon: Daemon, *arguments: str) -> Any:
    done = subprocess.run(
        line(daemon, *arguments), capture_output=True, text=True, timeout=patient(60), check=False
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def test_stats_of_containers_and_pods(daemon: Daemon, live: tuple[str, str]) -> None:
    pod, container = live
    (found,) = crictl(daemon, "stats", "-o", "json", "--id", container)["stats"]
    assert found["attributes"]["id"] == container
    assert int(found["memory"]["workingSetBytes"]["value"]) > 0
    (found,) = crictl(daemon, "statsp", "-o", "json", "--id", pod)["stats"]
    assert found["attributes"]["id"] == pod
    assert found["linux"]["network"]["defaultInterface"]["name"] == "eth0"


def test_metrics_and_their_descriptors(daemon: Daemon, live: tuple[str, str]) -> None:
    pod, container = live
    described = {one["name"] for one in crictl(daemon, "metricdescs")["descriptors"]}
    assert described == {family.name for family in FAMILIES}
    (found,) = crictl(daemon, "metricsp")["podMetrics"]
    assert found["podSandboxId"] == pod
    (own,) = found["containerMetrics"]
    assert own["containerId"] == container
    assert {one["name"] for one in own["metrics"]} <= described


def test_events(daemon: Daemon, live: tuple[str, str], tmp_path: Path) -> None:
    """It listens from some moment on: pods come and go until it has heard of one's whole life."""
    with (tmp_path / "events").open("wb") as out:
        listening = subprocess.Popen(line(daemon, "events", "-o", "json"), stdout=out)
    try:

        def heard() -> str:
            daemon.client.remove_pod(daemon.client.run_pod(pod_config("short")))
            return (tmp_path / "events").read_text()

        text = eventually(heard, lambda text: text.count("CONTAINER_DELETED_EVENT") > 1, "it hears of pods")
    finally:
        listening.kill()
        listening.wait()
    for kind in ("CREATED", "STARTED", "STOPPED", "DELETED"):
        assert f"CONTAINER_{kind}_EVENT" in text


def test_the_cgroup_has_the_name_that_tools_know(live: tuple[str, str]) -> None:
    assert Hierarchy.detect().exists(f"{CGROUP}/crio-{live[1]}")
