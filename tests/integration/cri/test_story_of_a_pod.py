"""The log tells a pod's life: a line each, as text and as JSON, with the names and ids that people know."""

import json
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.harness.client import container_config
from tests.harness.daemon import Daemon, Settings
from tests.integration.cri.conftest import IMAGE, import_busybox, pod_config

pytestmark = pytest.mark.root

EVENTS = [
    "pod started",
    "container created",
    "container started",
    "container exited",
    "container stopped",
    "container removed",
    "pod stopped",
    "pod removed",
]


@pytest.fixture(params=["text", "json"])
def told(request: pytest.FixtureRequest) -> Iterator[Daemon]:
    daemon = Daemon(Settings(tables={"crio.runtime": {"log_format": request.param}}))
    import_busybox(daemon)
    with daemon:
        yield daemon


def live(daemon: Daemon, logs: Path) -> tuple[str, str]:
    """One pod with one container, from its start to its removal; their ids."""
    client = daemon.client
    config = pod_config("web", log_directory=logs)
    pod = client.run_pod(config)
    container = client.create_container(pod, container_config("main", IMAGE, ("sleep", "1000000")), config)
    client.start_container(container)
    client.stop_container(container)
    client.remove_container(container)
    client.stop_pod(pod)
    client.remove_pod(pod)
    return pod, container


def entries(log: str) -> list[dict[str, str]]:
    """Message and fields of the lines of either form."""
    found = []
    for line in log.splitlines():
        if line.startswith("{"):
            found.append({name: str(value) for name, value in json.loads(line).items()})
        else:
            message = line.split(": ", 1)[1]
            pairs = re.findall(r' (\w+)=("[^"]*"|\S+)', message)
            found.append(
                {"message": re.sub(r" \w+=.*", "", message), "level": line.split()[1].lower()} | dict(pairs)
            )
    return found


def test_every_event_of_a_pod_is_one_line(told: Daemon, tmp_path: Path) -> None:
    begin = len(told.log())
    pod, container = live(told, tmp_path)
    written = "\n".join(told.told(pod, number=len(EVENTS), since=begin))
    lines = [entry for entry in entries(written) if entry.get("sandbox_id") == pod]
    assert sorted(entry["message"] for entry in lines) == sorted(EVENTS)
    for entry in lines:
        assert entry["level"] == "info"
        assert (entry["namespace"], entry["pod"]) == ("tests", "web")
        if entry["message"].startswith("container"):
            assert (entry["container"], entry["container_id"], entry["image"]) == ("main", container, IMAGE)
        if entry["message"] != "container exited":
            assert float(entry["ms"]) >= 0
    (end,) = [entry for entry in lines if entry["message"] == "container exited"]
    assert (end["exit_code"], end["reason"]) == ("137", "Error")


def test_the_first_line_says_what_starts_and_what_it_has_read(told: Daemon) -> None:
    first = entries(told.told("")[0])[0]["message"]
    assert re.match(rf"Podwright \S+ starts; it has read {re.escape(str(told.config))}", first)
