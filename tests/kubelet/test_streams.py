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
WEB = f"mkdir /tmp/www; echo page >/tmp/www/index.html; httpd -p 127.0.0.1:8080 -h /tmp/www; >/tmp/up; {WAIT}"
SERVES = {"exec": {"command": ["test", "-e", "/tmp/up"]}, "periodSeconds": 1}


@pytest.fixture(params=TRANSPORTS)
def transport(request: pytest.FixtureRequest) -> str:
    return str(request.param)


async def command(
    node: Node,
    seen: PodView,
    transport: str,
    *argv: str,
    stdin: bool = False,
    tty: bool = False,
    container: str = "main",
) -> Remote:
    """Exec ``argv``, or attach when there is none; after the kubelet's options of the same name."""
    wanted: dict[str, Any] = {"output": 1} | ({} if tty else {"error": 1})
    wanted |= ({"input": 1} if stdin else {}) | ({"tty": 1} if tty else {})
    verb = "exec" if argv else "attach"
    query = wanted | ({"command": argv} if argv else {})
    url = node.kubelet.url(f"/{verb}/default/{seen.name}/{container}", **query)
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


async def test_an_exec_of_what_is_not_there_says_so(node: Node, transport: str) -> None:
    seen = node.run(pod("missing"))
    remote = await command(node, seen, transport, "/no/such/program")
    with pytest.raises(AssertionError, match="/no/such/program"):
        await remote.exit_code()
    await remote.leave()


async def test_an_exec_goes_into_the_container_that_is_named(node: Node, transport: str) -> None:
    helper = container("helper", f"touch /tmp/helper; {WAIT}", restartPolicy="Always")
    seen = node.run(pod("several", container("main"), container("other"), init=[helper]))
    remote = await command(node, seen, transport, "ls", "/tmp", container="helper")
    assert await remote.exit_code() == 0
    assert remote.got("stdout") == b"helper\n"
    await remote.leave()


def test_a_command_run_by_one_request_answers_with_its_output(node: Node) -> None:
    seen = node.run(pod("run"))
    said = node.kubelet.request("POST", f"/run/default/{seen.name}/main", cmd="echo out")
    assert said == "out\n"


async def test_an_attachment_to_a_terminal_types_and_sees(node: Node) -> None:
    script = "trap 'stty size' WINCH; while :; do read line && echo got $line; done"  # a signal ends read
    seen = node.run(pod("typed", container("main", script, stdin=True, tty=True)))
    remote = await command(node, seen, SPDY, stdin=True, tty=True)
    assert isinstance(remote, SpdyRemote)
    await remote.send(b"hello\n")
    await remote.until_got(b"got hello\r\n")  # from here on the trap is set
    await remote.client.send(remote._ids["resize"], json.dumps({"Width": 99, "Height": 33}).encode() + b"\n")
    await remote.until_got(b"33 99\r\n")
    await remote.leave()
    assert node.kubelet.pods()[seen.name]["main"].restarts == 0


async def test_input_that_is_given_once_ends_with_its_giver(node: Node, transport: str) -> None:
    main = container("main", "cat; echo end", stdin=True, stdinOnce=True)
    seen = node.run(pod("once", main, restartPolicy="Never"))
    remote = await command(node, seen, transport, stdin=True)
    await remote.send(b"all there is\n")
    await remote.until_got(b"all there is\n")
    await remote.end_input()
    done = node.until(seen.name, lambda view: view.phase == "Succeeded", "it has succeeded")
    assert node.kubelet.logs(done.name, "main") == "all there is\nend\n"
    await remote.leave()


async def test_an_attachment_speaks_with_the_main_process(node: Node, transport: str) -> None:
    seen = node.run(pod("attach", container("main", ECHO, stdin=True)))
    remote = await command(node, seen, transport, stdin=True)
    await remote.send(b"hello\n")
    await remote.until_got(b"HELLO\n")
    await remote.leave()
    assert node.kubelet.logs(seen.name, "main").splitlines() == ["up", "HELLO"]


async def forwarding(node: Node, seen: PodView, transport: str) -> SpdyClient:
    url = node.kubelet.url(f"/portForward/default/{seen.name}")
    if transport == SPDY:
        return await SpdyClient.upgrade(url, PROTOCOL, tls=node.kubelet.tls)
    return await TunnelClient.tunnel(url, f"SPDY/3.1+{PROTOCOL}", node.kubelet.tls)


@pytest.mark.parametrize("on_host", [False, True], ids=["own network", "host network"])
async def test_a_port_is_forwarded(node: Node, transport: str, on_host: bool) -> None:
    seen = node.run(pod("forward", container("main", WEB, readinessProbe=SERVES), hostNetwork=on_host))
    client = await forwarding(node, seen, transport)
    for number in range(3):
        error, data = await forward(client, "8080", str(number))
        await client.send(data, b"GET /index.html HTTP/1.0\r\n\r\n")
        await client.until(lambda ids={error, data}: ids <= client.ended)  # type: ignore[misc]
        assert client.data[data].endswith(b"page\n")
        assert client.data[error] == b""
    await client.close()


async def test_a_port_that_nobody_serves_is_told_and_the_next_is_forwarded(
    node: Node, transport: str
) -> None:
    seen = node.run(pod("closed", container("main", WEB, readinessProbe=SERVES)))
    client = await forwarding(node, seen, transport)
    error, _ = await forward(client, "8089", "0")
    await client.until(lambda: error in client.ended)
    assert b"8089" in client.data[error]
    if transport == SPDY:  # kubectl, too, lets a tunnel go after an error
        error, data = await forward(client, "8080", "1")
        await client.send(data, b"GET /index.html HTTP/1.0\r\n\r\n")
        await client.until(lambda: {error, data} <= client.ended)
        assert client.data[data].endswith(b"page\n")
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
