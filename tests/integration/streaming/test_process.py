"""The streaming process: what it is, what strangers and token holders can do to it, and what its end does."""

import asyncio
import os
import resource
import signal
import socket
import ssl
import struct
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import suppress
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from cri.streaming.backend import ExecRequest, PortForwardRequest, Streams
from cri.streaming.process.confine import MEMORY_BYTES, identity
from cri.streaming.process.front import Front
from cri.streaming.server import StreamingServer
from cri.streaming.spdy import Connection
from cri.streaming.tls import TlsFiles
from tests.harness import processes
from tests.harness.processes import PROC
from tests.integration.streaming.clients import PATIENCE_S, RawWebSocket, SpdyClient, ask, connect, refusal
from tests.integration.streaming.local_backend import LocalBackend
from tests.integration.streaming.test_server import ECHO, SPDY, WEBSOCKET, run_echo
from tests.unit.cri.streaming.certificates import self_signed

CAT = ExecRequest.checked("c", ["cat"], Streams(stdin=True, stdout=True))
V4 = "v4.channel.k8s.io"
# Of the process, whatever strangers do: an interpreter and what 1024 of them may have said.
BOUND_MIB = 128


def peak_mib(pid: int) -> int:
    return int(processes.status(pid)["VmHWM"].split()[0]) // 1024


def resident_mib() -> int:
    return int(processes.status("self")["VmRSS"].split()[0]) // 1024


async def pid_of(server: StreamingServer) -> int:
    """Of the process, once it serves."""
    await run_echo(server.exec_url(ECHO))
    assert server.pid is not None
    return server.pid


@pytest.fixture
def many_descriptors() -> Iterator[None]:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    yield
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


# ---- what it is


async def test_the_process_can_do_next_to_nothing(server: StreamingServer) -> None:
    pid = await pid_of(server)
    found = processes.status(pid)
    uid, gid = identity()
    assert found["Uid"].split() == [str(uid)] * 4
    assert found["Gid"].split() == [str(gid)] * 4
    assert found["Groups"] == ""
    assert {found[name] for name in ("CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb")} == {"0" * 16}
    assert (found["NoNewPrivs"], found["Seccomp"], found["Threads"]) == ("1", "2", "1")
    # What is not dumpable belongs to root in /proc.
    assert (PROC / f"{pid}/environ").stat().st_uid == 0
    limits = processes.read(pid, "limits")
    assert any(
        line.startswith("Max core file size") and line.split()[4:6] == ["0", "0"]
        for line in limits.splitlines()
    )
    assert f"{MEMORY_BYTES}" in next(line for line in limits.splitlines() if line.startswith("Max data size"))
    own = int(processes.read("self", "oom_score_adj"))
    assert int(processes.read(pid, "oom_score_adj")) == min(1000, own + 100)
    assert processes.link(pid, "cwd") == "/"


async def test_the_process_has_no_descriptor_but_those_it_needs(server: StreamingServer) -> None:
    pid = await pid_of(server)
    kinds = processes.descriptors(pid).values()
    named = {each for each in kinds if not each.startswith(("socket:", "anon_inode:", "pipe:"))}
    assert named <= {"/dev/null", processes.link("self", "fd/2")}
    assert len(kinds) <= 9


# ---- strangers


async def test_an_exec_with_a_token_passes_thousands_that_say_nothing(
    server: StreamingServer, many_descriptors: None
) -> None:
    pid, before = await pid_of(server), resident_mib()
    at = urlsplit(server.base_url)
    idle: list[socket.socket] = []
    try:
        for number in range(5000):
            client = socket.create_connection((at.hostname, at.port))
            client.sendall(b"GET /exec/x HTTP/1.1\r\nHost: x\r\nX: " if number % 2 else b"")
            idle.append(client)
        for _ in range(5):
            assert await run_echo(server.exec_url(ECHO)) == b"hi\n"
        assert processes.descriptor_count(pid) < 1100
        assert peak_mib(pid) < BOUND_MIB
        assert resident_mib() - before < 16
    finally:
        for client in idle:
            client.close()


async def test_strangers_heads_hold_no_more_than_their_share(
    server: StreamingServer, many_descriptors: None
) -> None:
    pid = await pid_of(server)
    at = urlsplit(server.base_url)
    head = b"GET /exec/x HTTP/1.1\r\nHost: x\r\nX: " + b"a" * 30_000
    clients = [socket.create_connection((at.hostname, at.port)) for _ in range(1500)]
    for client in clients:
        with suppress(OSError):  # put out by a later one
            client.sendall(head)
    assert await run_echo(server.exec_url(ECHO)) == b"hi\n"
    assert peak_mib(pid) < BOUND_MIB
    for client in clients:
        client.close()


async def test_guesses_never_reach_the_daemon(
    server: StreamingServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[str] = []
    monkeypatch.setattr(server._tokens, "take", lambda token: asked.append(token))
    await asyncio.sleep(0)
    url = server.exec_url(ECHO)
    for guess in ("/exec/guess", "/exec/" + "A" * 44, urlsplit(url).path[:-1] + "_"):
        assert (await refusal(server.base_url + guess, "POST", *SPDY))[0] == 404
    assert await run_echo(url) == b"hi\n"


@pytest.mark.parametrize(
    ("origin", "code"), [("http://evil.example", 403), ("http://node", 403), ("null", 403)]
)
async def test_pages_of_browsers_are_refused_and_use_no_token_up(
    server: StreamingServer, origin: str, code: int
) -> None:
    url = server.exec_url(ECHO)
    assert (await refusal(url, "GET", *WEBSOCKET, f"Origin: {origin}"))[0] == code
    assert await run_echo(url) == b"hi\n"


async def test_with_names_configured_other_hosts_are_refused(backend: LocalBackend) -> None:
    server = StreamingServer(backend, host_names=("Node",))
    await server.start()
    assert await run_echo(server.exec_url(ECHO)) == b"hi\n"  # these clients say: Host: node
    reader, writer = await connect(server.base_url)
    writer.write(f"POST {urlsplit(server.exec_url(ECHO)).path} HTTP/1.1\r\nHost: other\r\n\r\n".encode())
    assert (await reader.read()).startswith(b"HTTP/1.1 421 ")
    writer.close()
    await writer.wait_closed()
    await server.close()


async def test_a_client_of_an_old_tls_is_told_so_by_an_alert(backend: LocalBackend, tmp_path: Path) -> None:
    pair = self_signed(tmp_path, "server")
    files = TlsFiles(pair.certificate, pair.key, minimum_version="VersionTLS13")
    server = StreamingServer(backend, tls=files)
    await server.start()
    old = ssl.create_default_context(cafile=pair.certificate)
    old.maximum_version = ssl.TLSVersion.TLSv1_2
    with pytest.raises(ssl.SSLError, match="ALERT_PROTOCOL_VERSION"):
        await connect(server.base_url, old)
    await server.close()


# ---- token holders

MASK = bytes(4)
EMPTY = b"\x00\x80" + MASK
PING = b"\x89\x80" + MASK
SETTINGS = b"\x80\x03\x00\x04\x00\x00\x00\x00"


async def flood(streams: tuple[asyncio.StreamReader, asyncio.StreamWriter], data: bytes) -> bytes:
    """Send without end until the server has enough; what it said."""
    reader, writer = streams
    said = b""

    async def listen() -> None:
        nonlocal said
        with suppress(OSError):
            while more := await reader.read(1 << 16):
                said = (said + more)[-4096:]

    async with asyncio.timeout(PATIENCE_S):
        listening = asyncio.ensure_future(listen())
        with suppress(OSError):
            while not listening.done():
                writer.write(data)
                await writer.drain()
        await listening
    writer.close()
    with suppress(OSError):
        await writer.wait_closed()
    return said


Ends = tuple[asyncio.StreamReader, asyncio.StreamWriter]


async def upgraded(url: str, method: str, *headers: str) -> Ends:
    streams = await connect(url)
    code, head = await ask(streams, url, method, *headers)
    assert code == 101, head
    return streams


async def last_words(connected: Callable[[], Awaitable[Ends]], data: bytes, words: bytes) -> bytes:
    """What is said last to a flood, which ends: so it was refused. The reset that follows may overtake the
    ``words``, and then our kernel drops them unread: it is tried again."""
    said = b""
    for _ in range(20):
        said = await flood(await connected(), data)
        if words in said:
            break
    return said


POLICY_VIOLATION = struct.pack("!H", 1008) + b"too many frames"
GO_AWAY = b"\x80\x03\x00\x07\x00\x00\x00\x08" + struct.pack("!II", 0, 1)


@pytest.mark.parametrize("frame", [EMPTY, PING])
async def test_a_flood_of_frames_that_carry_nothing_is_a_policy_violation(
    server: StreamingServer, frame: bytes
) -> None:
    pid = await pid_of(server)
    data = b"\x02\x80" + MASK + frame * 40_000 if frame is EMPTY else frame * 40_000
    headers = (*WEBSOCKET, f"Sec-WebSocket-Protocol: {V4}")
    said = await last_words(lambda: upgraded(server.exec_url(CAT), "GET", *headers), data, POLICY_VIOLATION)
    assert POLICY_VIOLATION in said
    assert peak_mib(pid) < BOUND_MIB
    assert await run_echo(server.exec_url(ECHO)) == b"hi\n"


async def test_a_flood_of_settings_is_a_protocol_error(server: StreamingServer) -> None:
    url = server.port_forward_url(PortForwardRequest.checked("p"))
    headers = (*SPDY[:2], "X-Stream-Protocol-Version: portforward.k8s.io")
    said = await last_words(lambda: upgraded(url, "POST", *headers), SETTINGS * 40_000, GO_AWAY)
    assert said.endswith(GO_AWAY)
    assert await run_echo(server.exec_url(ECHO)) == b"hi\n"


@pytest.mark.parametrize("length", [65_300, 15_000, 100])
async def test_headers_hold_next_to_nothing_however_many(server: StreamingServer, length: int) -> None:
    pid, before = await pid_of(server), resident_mib()
    url = server.port_forward_url(PortForwardRequest.checked("p"))
    headers = (*SPDY[:2], "X-Stream-Protocol-Version: portforward.k8s.io")
    _, writer = await upgraded(url, "POST", *headers)
    client = Connection(client=True)
    for number in range(4090):
        _, data = client.open_stream(
            {"streamtype": ("error",), "port": ("80",), "requestid": (f"{number}\U0001f600" + "a" * length,)}
        )
        writer.write(data)
    with suppress(OSError):
        await writer.drain()
    assert await run_echo(server.exec_url(ECHO)) == b"hi\n"
    assert peak_mib(pid) < BOUND_MIB
    assert resident_mib() - before < 16
    writer.close()
    with suppress(OSError):
        await writer.wait_closed()


async def test_messages_without_an_end_hold_no_more_than_a_buffer(server: StreamingServer) -> None:
    pid = await pid_of(server)
    sleeping = ExecRequest.checked("c", ["sleep", "60"], Streams(stdin=True, stdout=True))
    writers = []
    for _ in range(12):
        _, writer = await upgraded(
            server.exec_url(sleeping), "GET", *WEBSOCKET, f"Sec-WebSocket-Protocol: {V4}"
        )
        writer.write(b"\x82\xff" + (32 << 20).to_bytes(8) + MASK + bytes((32 << 20) - 10))
        writers.append(writer)
    await asyncio.sleep(1.0)
    assert await run_echo(server.exec_url(ECHO)) == b"hi\n"
    assert peak_mib(pid) < BOUND_MIB
    for writer in writers:
        writer.transport.abort()
        with suppress(OSError):
            await writer.wait_closed()


# ---- its end


async def test_a_process_that_is_killed_is_replaced_and_its_urls_are_still_good(
    server: StreamingServer, backend: LocalBackend
) -> None:
    first = await pid_of(server)
    url = server.exec_url(ECHO)
    client = await SpdyClient.upgrade(server.exec_url(CAT), V4)
    ids = await client.open_command("error", "stdin", "stdout")
    await client.send(ids["stdin"], b"x")
    await client.until(lambda: bool(client.data[ids["stdout"]]))
    os.kill(first, signal.SIGKILL)
    await client.until(lambda: client.closed)
    async with asyncio.timeout(PATIENCE_S):
        await backend.sessions[-1].closed.wait()
    assert await run_echo(url) == b"hi\n"
    assert server.pid not in (None, first)
    await client.close()


async def test_a_process_that_keeps_dying_is_started_again_and_again(server: StreamingServer) -> None:
    seen = set()
    for _ in range(4):
        pid = await pid_of(server)
        seen.add(pid)
        os.kill(pid, signal.SIGKILL)
        async with asyncio.timeout(PATIENCE_S):
            while server.pid == pid:
                await asyncio.sleep(0.01)
    assert len(seen) == 4
    assert await run_echo(server.exec_url(ECHO)) == b"hi\n"


async def test_the_end_of_the_server_leaves_no_process(backend: LocalBackend) -> None:
    server = StreamingServer(backend)
    await server.start()
    pid = await pid_of(server)
    await server.close()
    assert not processes.is_there(pid)


# ---- descriptors


Counts = tuple[int, int]


def counts(pid: int) -> Counts:
    """Descriptors of ours and of the process."""
    return processes.descriptor_count(), processes.descriptor_count(pid)


@pytest.fixture
async def counted(server: StreamingServer) -> AsyncIterator[StreamingServer]:
    """A server that has as many descriptors on both sides afterwards as before."""
    pid = await pid_of(server)
    before = counts(pid)
    async with asyncio.timeout(PATIENCE_S):
        for _ in range(10):  # until the client of before is quite gone
            await asyncio.sleep(0.05)
            before = min(before, counts(pid))
    yield server
    async with asyncio.timeout(PATIENCE_S):
        while server.connections or any(now > then for now, then in zip(counts(pid), before, strict=True)):
            await asyncio.sleep(0.02)
    assert server.pid == pid


async def test_two_hundred_sessions_leave_no_descriptor_on_either_side(counted: StreamingServer) -> None:
    for _ in range(20):
        outputs = await asyncio.gather(*(run_echo(counted.exec_url(ECHO)) for _ in range(10)))
        assert outputs == [b"hi\n"] * 10


@pytest.mark.parametrize("protocol", ["spdy", "websocket"])
@pytest.mark.parametrize(
    "stage", ["connected", "half a head", "upgraded", "one stream", "started", "input under way"]
)
async def test_a_session_that_is_cut_at_any_stage_leaves_no_descriptor_on_either_side(
    counted: StreamingServer, stage: str, protocol: str
) -> None:
    for _ in range(5):
        await cut(counted, stage, protocol)


async def cut(server: StreamingServer, stage: str, protocol: str) -> None:
    url = server.exec_url(CAT)
    if stage in ("connected", "half a head"):
        _, writer = await connect(url)
        writer.write(b"" if stage == "connected" else b"GET /exec")
        await writer.drain()
        writer.transport.abort()
        with suppress(OSError):
            await writer.wait_closed()
        return
    if protocol == "websocket":
        socket_client = await RawWebSocket.upgrade(url, V4)
        if stage == "input under way":
            await socket_client.send(b"\0" + bytes(1_000_000))
        socket_client._writer.transport.abort()
        await socket_client.close()
        return
    client = await SpdyClient.upgrade(url, V4)
    if stage == "one stream":
        await client.open(streamType="error")
    elif stage != "upgraded":
        ids = await client.open_command("error", "stdin", "stdout")
        if stage == "input under way":
            await client.send(ids["stdin"], bytes(1_000_000))
    await client.vanish()


def test_a_session_has_its_share_of_what_all_may_hold() -> None:
    """Eight pieces of each of the sessions stay within the bound, for however many there are."""
    front = Front.__new__(Front)
    for sessions in (0, 1, 64, 65, 512, 1024):
        front._sessions = sessions
        assert front.piece_bytes() * 8 * sessions <= 128 << 20
        assert 16 << 10 <= front.piece_bytes() <= 256 << 10
