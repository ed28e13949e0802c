"""Containers that are created and not started yet take commands and attachments, as in CRI-O."""

import pytest

from tests.harness.client import Client
from tests.integration.streaming.pods.conftest import Pods
from tests.integration.streaming.pods.remote import TRANSPORTS, attach, run

pytestmark = pytest.mark.root
HANDLERS = ("crun", "runc")


@pytest.mark.parametrize("handler", HANDLERS)
def test_a_command_runs_to_its_end(pods: Pods, client: Client, handler: str) -> None:
    pod = pods.create(handler=handler)
    done = client.exec(pod.container, "sh", "-c", "echo out; echo err >&2; exit 3")
    assert (done.exit_code, done.stdout, done.stderr) == (3, b"out\n", b"err\n")


@pytest.mark.parametrize("handler", HANDLERS)
@pytest.mark.parametrize("transport", TRANSPORTS)
async def test_a_command_streams(pods: Pods, client: Client, transport: str, handler: str) -> None:
    pod = pods.create(handler=handler)
    remote = await run(client, transport, pod.container, "sh", "-c", "cat; exit 4", stdin=True)
    await remote.send(b"said\n")
    await remote.until_got(b"said\n")
    await remote.end_input()
    assert await remote.exit_code() == 4
    await remote.leave()


@pytest.mark.parametrize("transport", TRANSPORTS)
async def test_who_attaches_before_the_start_misses_nothing(
    pods: Pods, client: Client, transport: str
) -> None:
    pod = pods.create("sh", "-c", "echo first; cat", stdin=True, stdin_once=True)
    remote = await attach(client, transport, pod.container, stdin=True)
    await remote.send(b"early\n")
    client.start_container(pod.container)
    await remote.until_got(b"first\nearly\n")
    await remote.end_input()
    assert await remote.exit_code() == 0
    assert remote.got("stdout") == b"first\nearly\n"
    await remote.leave()
