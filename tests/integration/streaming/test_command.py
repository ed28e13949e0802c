import asyncio
import json
import os
import time

import pytest

from cri.streaming.backend import AttachRequest, ExecRequest, Streams
from cri.streaming.remotecommand import SPDY_PROTOCOLS, WEBSOCKET_PROTOCOLS
from cri.streaming.server import StreamingServer
from tests.harness.processes import descriptor_count
from tests.harness.until import until
from tests.integration.streaming.clients import PATIENCE_S, RawWebSocket, SpdyClient
from tests.integration.streaming.local_backend import LocalBackend

ALL = Streams(stdin=True, stdout=True, stderr=True)
OUTPUTS = Streams(stdout=True, stderr=True)
TERMINAL = Streams(stdin=True, stdout=True, tty=True)
SUCCESS = {"metadata": {}, "status": "Success"}
V4, V5 = "v4.channel.k8s.io", "v5.channel.k8s.io"


def shell(script: str, streams: Streams = ALL) -> ExecRequest:
    return ExecRequest.checked("c", ["sh", "-c", script], streams)


async def run_spdy(url: str, streams: Streams, stdin: bytes = b"", protocol: str = V4) -> dict[str, bytes]:
    """One whole command; what came on each stream."""
    client = await SpdyClient.upgrade(url, protocol)
    names = ["error", *(name for name in ("stdin", "stdout", "stderr") if getattr(streams, name))]
    ids = await client.open_command(*names)
    if streams.stdin:
        await client.send(ids["stdin"], stdin, end=True)
    await client.until(lambda: ids["error"] in client.ended)
    assert {ids[name] for name in names if name != "stdin"} <= client.ended
    await client.close()
    return {name: bytes(client.data[stream_id]) for name, stream_id in ids.items() if name != "stdin"}


@pytest.mark.parametrize("protocol", SPDY_PROTOCOLS)
async def test_spdy_carries_all_streams_and_the_exit_code(server: StreamingServer, protocol: str) -> None:
    got = await run_spdy(server.exec_url(shell("cat; echo bad >&2; exit 3")), ALL, b"in", protocol)
    assert (got["stdout"], got["stderr"]) == (b"in", b"bad\n")
    if protocol in (V4, V5):
        assert json.loads(got["error"])["details"]["causes"] == [{"reason": "ExitCode", "message": "3"}]
    else:
        assert b"exit status 3" in got["error"]


@pytest.mark.parametrize("protocol", [None, *(name for name in WEBSOCKET_PROTOCOLS if "base64" not in name)])
async def test_websocket_carries_all_streams_and_the_exit_code(
    server: StreamingServer, protocol: str | None
) -> None:
    url = server.exec_url(shell("read line; echo $line; echo bad >&2; exit 3"))
    client = await RawWebSocket.upgrade(url, protocol)
    await client.send(b"\0in\n")
    messages = await client.messages()
    assert messages[0] == b"\1"  # the greeting
    assert sorted(messages[1:-1]) == [b"\1in\n", b"\2bad\n"]
    assert messages[-1][:1] == b"\3"
    assert (b'"ExitCode"' if protocol in (V4, V5) else b"exit status 3") in messages[-1]
    assert client.close_code == 1000
    await client.close()


async def test_websocket_version_5_closes_stdin(server: StreamingServer) -> None:
    client = await RawWebSocket.upgrade(server.exec_url(shell("cat; echo over")), V5)
    await client.send(b"\0in ")
    await client.send(b"\xff\0")
    messages = await client.messages()
    assert b"".join(message[1:] for message in messages if message[:1] == b"\1") == b"in over\n"
    assert json.loads(messages[-1][1:]) == SUCCESS
    await client.close()


@pytest.mark.parametrize("streams", [OUTPUTS, Streams(stdout=True), Streams(stderr=True)])
async def test_streams_that_were_not_asked_for_are_absent(server: StreamingServer, streams: Streams) -> None:
    got = await run_spdy(server.exec_url(shell("cat; echo out; echo err >&2", streams)), streams)
    assert got.pop("error") == json.dumps(SUCCESS, separators=(",", ":")).encode()
    assert got == {
        name: text for name, text in (("stdout", b"out\n"), ("stderr", b"err\n")) if getattr(streams, name)
    }


async def test_a_command_that_cannot_start_is_told_in_the_status(server: StreamingServer) -> None:
    url = server.exec_url(ExecRequest.checked("missing", ["sh"], OUTPUTS))
    status = json.loads((await run_spdy(url, OUTPUTS))["error"])
    assert status["reason"] == "InternalError"
    assert "container missing is not there" in status["message"]


async def test_a_defect_of_the_backend_is_told_in_the_status_too(
    server: StreamingServer, caplog: pytest.LogCaptureFixture
) -> None:
    url = server.exec_url(ExecRequest.checked("broken", ["sh"], OUTPUTS))
    status = json.loads((await run_spdy(url, OUTPUTS))["error"])
    assert status["reason"] == "InternalError"
    assert "could not be started" in status["message"]
    assert "a defect of the backend" in caplog.text


async def test_all_output_comes_before_the_status(server: StreamingServer) -> None:
    url = server.exec_url(shell("head -c 3000000 /dev/zero; head -c 2000000 /dev/zero >&2; exit 1", OUTPUTS))
    got = await run_spdy(url, OUTPUTS)
    assert (len(got["stdout"]), len(got["stderr"])) == (3_000_000, 2_000_000)
    assert b"NonZeroExitCode" in got["error"]


async def test_large_input_arrives_whole(server: StreamingServer) -> None:
    data = os.urandom(5_000_000)
    got = await run_spdy(server.exec_url(shell("cat")), ALL, data)
    assert got["stdout"] == data


async def test_input_that_nobody_reads_does_not_keep_the_command(server: StreamingServer) -> None:
    got = await run_spdy(server.exec_url(shell("exit 0")), ALL, bytes(4_000_000))
    assert json.loads(got["error"]) == SUCCESS


async def test_a_grandchild_that_holds_the_output_is_not_waited_for(
    server: StreamingServer, backend: LocalBackend
) -> None:
    got = await run_spdy(server.exec_url(shell("echo first; sleep 60 & exit 0", OUTPUTS)), OUTPUTS)
    assert got["stdout"] == b"first\n"
    assert json.loads(got["error"]) == SUCCESS


# ---- terminals


async def test_a_terminal_follows_the_clients_size_and_hears_control_c(server: StreamingServer) -> None:
    script = "trap 'echo interrupted; exit 5' INT; stty size; echo ready; while :; do sleep 0.05; done"
    client = await SpdyClient.upgrade(server.exec_url(shell(script, TERMINAL)), V4)
    ids = await client.open_command("error", "stdin", "stdout")
    await client.send(await client.open(streamType="resize"), b'{"Width":97,"Height":31}')
    await client.until(lambda: b"ready" in client.data[ids["stdout"]])
    await client.send(ids["stdin"], b"\x03")
    await client.until(lambda: ids["error"] in client.ended)
    assert b"interrupted" in client.data[ids["stdout"]]
    assert b'"message":"5"' in client.data[ids["error"]]
    await client.close()


async def test_a_running_terminal_changes_its_size(server: StreamingServer) -> None:
    script = "trap 'stty size; exit 0' WINCH; echo ready; while :; do sleep 0.05; done"
    client = await RawWebSocket.upgrade(server.exec_url(shell(script, TERMINAL)), V5)
    while b"ready" not in (await client.message() or b"ready"):
        pass
    await client.send(b'\4{"Width":97,"Height":31}')
    messages = await client.messages()
    assert b"\x0131 97\r\n" in messages
    assert json.loads(messages[-1][1:]) == SUCCESS
    await client.close()


async def test_control_d_ends_a_terminals_input(server: StreamingServer) -> None:
    client = await RawWebSocket.upgrade(server.exec_url(shell("cat; echo over", TERMINAL)), V4)
    await client.send(b"\0hi\n\x04")
    text = b"".join(message[1:] for message in await client.messages() if message[:1] == b"\1")
    assert text.endswith(b"over\r\n")
    await client.close()


# ---- clients that leave


async def gone(pid: int) -> bool:
    """Whether a process ends by itself within a while (our child: it is a zombie until reaped)."""
    deadline = time.monotonic() + PATIENCE_S
    while time.monotonic() < deadline:
        try:
            os.kill(pid, 0)
        except ProcessLookupError:
            return True
        await asyncio.sleep(0.02)
    return False


@pytest.mark.parametrize("script", ["cat", "while :; do echo x; sleep 0.02; done"])
@pytest.mark.parametrize("streams", [ALL, TERMINAL])
async def test_a_client_that_leaves_closes_the_streams_and_the_process_ends_by_that(
    server: StreamingServer, backend: LocalBackend, script: str, streams: Streams
) -> None:
    before = descriptor_count()
    client = await SpdyClient.upgrade(server.exec_url(shell(script, streams)), V4)
    names = ("error", "stdin", "stdout", "resize" if streams.tty else "stderr")
    ids = await client.open_command(*names)
    await client.send(ids["stdin"], b"echo\n")
    await client.until(lambda: bool(client.data[ids["stdout"]]))
    await client.close()
    async with asyncio.timeout(PATIENCE_S):
        await backend.sessions[0].closed.wait()
    assert await gone(backend.sessions[0].pid)
    await until(lambda: not server.connections and descriptor_count() <= before)


async def test_a_client_that_leaves_with_its_input_unread_is_noticed(
    server: StreamingServer, backend: LocalBackend
) -> None:
    client = await SpdyClient.upgrade(server.exec_url(shell("sleep 60")), V4)
    ids = await client.open_command("error", "stdin", "stdout", "stderr")
    sending = asyncio.ensure_future(client.send(ids["stdin"], bytes(16_000_000)))
    await asyncio.wait([sending], timeout=0.5)
    assert not sending.done()
    sending.cancel()
    await client.vanish()
    async with asyncio.timeout(PATIENCE_S):
        await backend.sessions[0].closed.wait()


async def test_a_process_that_starts_after_its_client_has_left_is_let_go(
    server: StreamingServer, backend: LocalBackend
) -> None:
    backend.start_gate.clear()
    client = await SpdyClient.upgrade(server.exec_url(shell("cat")), V4)
    ids = await client.open_command("error", "stdin", "stdout", "stderr")
    await client.until(lambda: set(ids.values()) <= client.accepted)
    await client.close()
    await asyncio.sleep(0.05)
    backend.start_gate.set()
    while not backend.sessions:
        await asyncio.sleep(0.01)
    async with asyncio.timeout(PATIENCE_S):
        await backend.sessions[0].closed.wait()
    assert await gone(backend.sessions[0].pid)


async def test_a_client_may_refuse_one_output(server: StreamingServer) -> None:
    url = server.exec_url(shell("while echo x; do sleep 0.01; done 2>/dev/null; echo done >&2", OUTPUTS))
    client = await SpdyClient.upgrade(url, V4)
    ids = await client.open_command("error", "stdout", "stderr")
    await client.until(lambda: bool(client.data[ids["stdout"]]))
    await client.reset_stream(ids["stdout"])
    await client.until(lambda: ids["error"] in client.ended)
    await client.close()


# ---- attach


async def test_attach_ends_with_success_when_its_input_ends_the_process(server: StreamingServer) -> None:
    got = await run_spdy(server.attach_url(AttachRequest.checked("c", ALL)), ALL, b"hello")
    assert got["stdout"] == b"hello"
    assert json.loads(got["error"]) == SUCCESS


async def test_attach_tells_no_exit_code() -> None:
    backend = LocalBackend(["sh"])
    server = StreamingServer(backend)
    await server.start()
    got = await run_spdy(server.attach_url(AttachRequest.checked("c", ALL)), ALL, b"exit 9")
    assert json.loads(got["error"]) == SUCCESS
    await server.close()
    await backend.aclose()


async def test_attach_with_input_only_ends_with_the_input() -> None:
    backend = LocalBackend(["sh", "-c", "cat; sleep 60"])
    server = StreamingServer(backend)
    await server.start()
    streams = Streams(stdin=True)
    got = await run_spdy(server.attach_url(AttachRequest.checked("c", streams)), streams, b"hello")
    assert json.loads(got["error"]) == SUCCESS
    await server.close()
    await backend.aclose()


async def test_two_clients_may_attach_at_once(server: StreamingServer) -> None:
    urls = [server.attach_url(AttachRequest.checked("c", ALL)) for _ in range(2)]
    results = await asyncio.gather(*(run_spdy(url, ALL, b"%d" % n) for n, url in enumerate(urls)))
    assert [result["stdout"] for result in results] == [b"0", b"1"]


# ---- many


async def test_a_hundred_commands_at_once_leave_nothing(
    server: StreamingServer, backend: LocalBackend
) -> None:
    before = descriptor_count()
    urls = [server.exec_url(shell(f"cat; exit {n}")) for n in range(100)]
    results = await asyncio.gather(*(run_spdy(url, ALL, b"%d" % n) for n, url in enumerate(urls)))
    for number, result in enumerate(results):
        assert result["stdout"] == b"%d" % number
        assert (b'"message":"%d"' % number if number else b"Success") in result["error"]
    await until(lambda: not server.connections and descriptor_count() <= before)
    assert all(session.closed.is_set() for session in backend.sessions)


async def test_pings_are_answered_during_a_command(server: StreamingServer) -> None:
    client = await SpdyClient.upgrade(server.exec_url(shell("cat")), V4)
    ids = await client.open_command("error", "stdin", "stdout", "stderr")
    ping = await client.ping()
    await client.until(lambda: client.pongs == [ping])
    await client.send(ids["stdin"], b"", end=True)
    await client.until(lambda: ids["error"] in client.ended)
    await client.close()
