"""What a node is like after it went down with pods on it (test_reboot.py boots it twice)."""

import json
import os
from pathlib import Path

from api.runtime.v1 import api_pb2 as pb
from tests.harness.client import Client
from tests.harness.patience import patient
from tests.node.inside.pods import FAREWELL, IMAGE, LOGS, Pods
from tests.node.inside.service import Unit, run

ADDRESSES = Path("/var/lib/cni/networks/podwright")
STATE = Path("/var/lib/podwright")
MONITOR = "podwright-monitor.scope"  # of the present daemon


def test_the_service_has_come_up_with_the_machine(service: Unit, client: Client) -> None:
    assert (service["ActiveState"], service["NRestarts"]) == ("active", "0")
    assert client.not_ready() == ""


def test_nothing_of_the_pods_of_before_is_left(client: Client) -> None:
    assert (client.pods(), client.containers()) == ([], [])
    assert [line for line in Path("/proc/mounts").read_text().splitlines() if "podwright" in line] == []
    assert [path.name for path in ADDRESSES.glob("[0-9]*.*")] == []
    assert {path.name for path in Path("/sys/fs/cgroup").rglob("podwright-*.scope")} <= {MONITOR}
    # Writable layers, and the results of network plugins.
    assert [
        path for kept in ("containers", "cni") for path in (STATE / kept).rglob("*") if path.is_file()
    ] == []


def test_containers_were_asked_to_end_unless_the_power_failed() -> None:
    """And the monitor was still there to write down what they said to it."""
    log = LOGS / "polite/main/0.log"
    said = log.read_text() if log.exists() else ""  # a power failure may take that, too
    assert said.endswith(f" stdout F {FAREWELL}\n") == (os.environ["END"] == "ORDERLY")


def test_images_are_kept(client: Client) -> None:
    answer = client.image.ImageStatus(
        pb.ImageStatusRequest(image=pb.ImageSpec(image=IMAGE)), timeout=patient(10)
    )
    assert answer.HasField("image")


def test_pods_of_the_same_names_run_again(pods: Pods) -> None:
    pod = pods.run("before-0")
    pod.goes_on()
    assert pod.status.metadata.attempt == 0


def test_the_daemon_finds_nothing_to_complain_of() -> None:
    entries = run("journalctl", "--boot", "--unit=podwright", "--output=json", "--no-pager").splitlines()
    messages = [str(json.loads(entry).get("MESSAGE")) for entry in entries]
    assert [text for text in messages if " ERROR " in text] == []
