"""Exec'd processes and their container: who outlives whom."""

import pytest

from api.runtime.v1 import api_pb2 as pb
from tests.harness.client import Client
from tests.integration.streaming.pods.conftest import Pods
from tests.integration.streaming.pods.observe import inside
from tests.integration.streaming.pods.remote import TRANSPORTS, attach, run

pytestmark = pytest.mark.root


@pytest.mark.parametrize("handler", ["crun", "runc"])
@pytest.mark.parametrize(
    "pid", [pb.CONTAINER, pb.POD, pb.NODE], ids=["own pids", "the pod's pids", "the node's pids"]
)
async def test_execs_end_with_their_container(
    pods: Pods, client: Client, handler: str, pid: pb.NamespaceMode.ValueType
) -> None:
    pod = pods.run(handler=handler, pid=pid)
    script = "trap '' TERM HUP; echo here; while :; do sleep 1000; done"
    remotes = [await run(client, name, pod.container, "sh", "-c", script) for name in TRANSPORTS]
    for remote in remotes:
        await remote.until_got(b"here")
    assert sum("trap" in line for line in inside(pod.container)) >= len(remotes)
    client.stop_container(pod.container, grace_s=1)
    for remote in remotes:
        assert await remote.exit_code() == 137
        await remote.leave()
    assert inside(pod.container) == []


async def test_execs_end_when_their_container_ends_by_itself(pods: Pods, client: Client) -> None:
    pod = pods.run("sh", "-c", "read line", stdin=True, pid=pb.POD)
    script = "echo here; exec sleep 12345"
    remotes = [await run(client, name, pod.container, "sh", "-c", script) for name in TRANSPORTS]
    for remote in remotes:
        await remote.until_got(b"here")
    attached = await attach(client, TRANSPORTS[0], pod.container, stdin=True)
    await attached.send(b"end\n")
    await attached.exit_code()
    for remote in [*remotes, attached]:
        await remote.exit_code()
        await remote.leave()
    assert inside(pod.container) == []
