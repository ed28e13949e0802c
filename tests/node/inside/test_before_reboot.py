"""Pods that are left running when the node goes down."""

import os

from tests.harness.client import Client
from tests.node.inside.pods import POLITE, Pods
from tests.node.inside.service import Unit


def test_pods_run_when_the_node_goes_down(service: Unit, client: Client) -> None:
    pods = [Pods(client).run(f"before-{number}") for number in range(3)]
    pods.append(Pods(client).run("polite", POLITE))
    for pod in pods:
        pod.goes_on()
    if os.environ["BEFORE"] == "stopped":
        service.do("stop")
        assert service["ActiveState"] == "inactive"
    for pod in pods:
        pod.goes_on()
