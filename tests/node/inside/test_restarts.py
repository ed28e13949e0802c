"""`systemctl restart podwright` under twenty pods that write all the time."""

import time
from collections.abc import Iterator

import pytest

from api.runtime.v1 import api_pb2 as pb
from tests.harness.client import Client
from tests.node.inside.pods import Pods, Running, gaps
from tests.node.inside.service import Unit

PODS = 20
RESTARTS = 2


@pytest.fixture(scope="module")
def twenty(client: Client) -> Iterator[list[Running]]:
    pods = Pods(client)
    yield [pods.run(f"counting-{number}") for number in range(PODS)]
    pods.remove()


def test_no_container_of_twenty_is_restarted_and_no_line_is_lost(
    service: Unit, twenty: list[Running]
) -> None:
    before = [(pod.pid, pod.status.started_at) for pod in twenty]
    daemons = {service.pid}
    for _ in range(RESTARTS):
        service.do("restart")
        daemons.add(service.pid)
        for pod in twenty:
            pod.goes_on()
    assert len(daemons) == RESTARTS + 1
    assert [(pod.pid, pod.status.started_at) for pod in twenty] == before
    assert {pod.status.state for pod in twenty} == {pb.CONTAINER_RUNNING}
    assert [gaps(pod.lines()) for pod in twenty] == [[]] * PODS
    print(f"{PODS} pods, {RESTARTS} restarts, {sum(len(pod.lines()) for pod in twenty)} lines without a gap")


def test_containers_go_on_while_the_service_is_stopped(service: Unit, twenty: list[Running]) -> None:
    before = [pod.pid for pod in twenty]
    service.do("stop")
    time.sleep(2)
    for pod in twenty[:5]:
        pod.goes_on()
    service.do("start")
    assert [pod.pid for pod in twenty] == before
    assert [gaps(pod.lines()) for pod in twenty] == [[]] * PODS
