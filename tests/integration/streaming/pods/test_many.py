"""Many sessions at once; the ``pods`` fixture counts descriptors, processes and files afterwards."""

import asyncio

import pytest

from tests.harness.client import Client, eventually
from tests.integration.streaming.pods.conftest import Pods
from tests.integration.streaming.pods.observe import Served, inside
from tests.integration.streaming.pods.remote import TRANSPORTS, Remote, exec_url, join

pytestmark = pytest.mark.root

NUMBER = 100


async def _echo(remote: Remote, text: bytes) -> tuple[bytes, int]:
    await remote.send(text)
    await remote.end_input()
    code = await remote.exit_code()
    await remote.leave()
    return remote.got("stdout"), code


@pytest.mark.parametrize("transport", TRANSPORTS)
@pytest.mark.parametrize("handler", ["crun", "runc"])
async def test_a_hundred_execs_at_once_each_get_their_own_bytes(
    pods: Pods, client: Client, served: Served, transport: str, handler: str
) -> None:
    pod = pods.run(handler=handler)
    before = served.descriptors()
    urls = [exec_url(client, pod.container, "sh", "-c", f"cat; exit {n}", stdin=True) for n in range(NUMBER)]
    remotes = await asyncio.gather(*(join(url, transport, stdin=True) for url in urls))
    texts = [b"%d\n" % n * 1000 for n in range(NUMBER)]
    results = await asyncio.gather(*map(_echo, remotes, texts))
    assert results == [(text, n) for n, text in enumerate(texts)]
    served.until_no_more_than(before)
    assert len(inside(pod.container)) == 1


async def test_a_hundred_clients_that_vanish_leave_nothing(
    pods: Pods, client: Client, served: Served
) -> None:
    pod = pods.run()
    before = served.descriptors()
    urls = [exec_url(client, pod.container, "cat", stdin=True) for _ in range(NUMBER)]
    remotes = await asyncio.gather(*(join(url, TRANSPORTS[n % 2], stdin=True) for n, url in enumerate(urls)))
    for remote in remotes[::2]:  # the others leave while their command is being started
        await remote.send(b"x")
        await remote.until_got(b"x")
    await asyncio.gather(*(remote.leave() for remote in remotes))
    served.until_no_more_than(before)
    eventually(lambda: inside(pod.container), lambda found: len(found) == 1, "every cat has ended")
