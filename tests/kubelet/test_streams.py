"""`kubectl exec`, `attach` and `port-forward`: through the kubelet's API to the streaming server."""

import asyncio
import json
from typing import Any

import pytest

from tests.integration.streaming.clients import PATIENCE_S, SpdyClient, TunnelClient
from tests.integration.streaming.pods.remote import SPDY, TRANSPORTS, Remote, SpdyRemote, join
from tests.integration.streaming.test_forward import forward
from tests.kubelet.manifests import WAIT, container, pod
from tests.kubelet.node import Node
from tests.kubelet.views import PodView

pytestmark = pytest.mark.root

PROTOCOL = "portforward.k8s.io"
# Says each line that comes, in capitals.
ECHO = "echo up; while read line; do echo $line | tr a-z A-Z; done; sleep 1000000"
WEB = f"mkdir /tmp/www; echo page >/tmp/www/index.html; httpd -p 127.0.0.1:8080 -h /tmp/www; {WAIT}"


@pytest.fixture(params=TRANSPORTS)
def transport(request: pytest.FixtureRequest) -> str:
    return str(request.param)


async def command(
    node: Node, seen: PodView, transport: str, *argv: str, stdin: bool = False, tty: bool = False
) -> Remote:
    """Exec ``argv``, or attach when there is none; after the kubelet's options of the same name."""
    wanted: dict[str, Any] = {"output": 1} | ({} if tty else {"error": 1})
    wanted |= ({"input": 1} if stdin else {}) | ({"tty": 1} if tty else {})
    verb = "exec" if argv else "attach"
    query = wanted | ({"command": argv} if argv else {})
    url = node.kubelet.url(f"/{verb}/default/{seen.name}/main", **query)
    return await join(url, transport, stdin=stdin, tty=tty, tls=node.kubelet.tls)


async def test_an_exec_gives_both_outputs_and_the_exit_code(node: Node, transport: str) -> None:
    seen = node.run(pod("exec"))
    remote = await command(node, seen, transport, "sh", "-c", "echo out; echo err >&2; exit 5")
    assert await remote.exit_code() == 5
    assert remote.got("stdout") == b"out\n"
    assert remote.got("stderr") == b"err\n"
    await remote.leave()


async def test_what_is_sent_to_an_exec_ends_where_the_client_ends_it(node: Node, transport: str) -> None:
    seen = node.run(pod("copy"))
    remote = await command(node, seen, transport, "cat", stdin=True)
    sent = bytes(range(256)) * 1000
    await remote.send(sent)
    await remote.end_input()
    assert await remote.exit_code() == 0
    assert remote.got("stdout") == sent
    await remote.leave()


async def test_an_exec_in_a_terminal_hears_of_its_size(node: Node) -> None:
    seen = node.run(pod("terminal"))
    script = "trap 'stty size; exit' WINCH; echo up; while :; do sleep 0.1; done"
    remote = await command(node, seen, SPDY, "sh", "-c", script, stdin=True, tty=True)
    assert isinstance(remote, SpdyRemote)
    await remote.until_got(b"up")
    await remote.client.send(remote._ids["resize"], json.dumps({"Width": 123, "Height": 45}).encode() + b"\n")
    await remote.until_got(b"45 123")
    assert await remote.exit_code() == 0
    await remote.leave()


async def test_an_attachment_speaks_with_the_main_process(node: Node, transport: str) -> None:
    seen = node.run(pod("attach", container("main", ECHO, stdin=True)))
    remote = await command(node, seen, transport, stdin=True)
    await remote.send(b"hello\n")
    await remote.until_got(b"HELLO\n")
    await remote.leave()
    assert node.kubelet.logs(seen.name, "main").splitlines() == ["up", "HELLO"]


async def test_a_port_is_forwarded(node: Node, transport: str) -> None:
    seen = node.run(pod("forward", container("main", WEB)))
    url = node.kubelet.url(f"/portForward/default/{seen.name}")
    tls = node.kubelet.tls
    if transport == SPDY:
        client: SpdyClient = await SpdyClient.upgrade(url, PROTOCOL, tls=tls)
    else:
        client = await TunnelClient.tunnel(url, f"SPDY/3.1+{PROTOCOL}", tls)
    for number in range(3):
        error, data = await forward(client, "8080", str(number))
        await client.send(data, b"GET /index.html HTTP/1.0\r\n\r\n")
        await client.until(lambda ids={error, data}: ids <= client.ended)  # type: ignore[misc]
        assert client.data[data].endswith(b"page\n")
        assert client.data[error] == b""
    await client.close()


async def test_many_execs_at_once(node: Node, transport: str) -> None:
    seen = node.run(pod("many"))

    async def one(number: int) -> bytes:
        remote = await command(node, seen, transport, "echo", str(number))
        assert await remote.exit_code() == 0
        await remote.leave()
        return remote.got("stdout")

    async with asyncio.timeout(PATIENCE_S * 2):
        said = await asyncio.gather(*(one(number) for number in range(20)))
    assert said == [f"{number}\n".encode() for number in range(20)]
