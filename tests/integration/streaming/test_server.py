import asyncio
import socket
import ssl
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from api.errors import FailedPrecondition, ResourceExhausted
from cri.streaming.backend import AttachRequest, ExecRequest, PortForwardRequest, Streams
from cri.streaming.server import BadAddress, CannotListen, StreamingServer
from cri.streaming.timeouts import Timeouts
from cri.streaming.tls import BadTls, TlsFiles
from tests.integration.streaming.clients import PATIENCE_S, RawWebSocket, SpdyClient, connect, refusal
from tests.integration.streaming.local_backend import LocalBackend
from tests.unit.cri.streaming.certificates import Pair, self_signed

OUTPUT = Streams(stdout=True)
ECHO = ExecRequest.checked("c", ["echo", "hi"], OUTPUT)
SPDY = ("Connection: Upgrade", "Upgrade: SPDY/3.1", "X-Stream-Protocol-Version: v4.channel.k8s.io")
WEBSOCKET = (
    "Connection: Upgrade",
    "Upgrade: websocket",
    "Sec-WebSocket-Version: 13",
    "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==",
)


async def run_echo(url: str, tls: ssl.SSLContext | None = None) -> bytes:
    client = await SpdyClient.upgrade(url, "v4.channel.k8s.io", tls=tls)
    ids = await client.open_command("error", "stdout")
    await client.until(lambda: ids["error"] in client.ended)
    await client.close()
    return bytes(client.data[ids["stdout"]])


# ---- URLs and tokens


def test_urls_need_a_started_server() -> None:
    with pytest.raises(FailedPrecondition, match="not been started"):
        StreamingServer(LocalBackend.__new__(LocalBackend)).exec_url(ECHO)


async def test_urls_are_absolute_and_name_the_kind(server: StreamingServer) -> None:
    urls = [
        server.exec_url(ECHO),
        server.attach_url(AttachRequest.checked("c", OUTPUT)),
        server.port_forward_url(PortForwardRequest.checked("p")),
    ]
    for url, kind in zip(urls, ("exec", "attach", "portforward"), strict=True):
        parts = urlsplit(url)
        assert (parts.scheme, parts.hostname) == ("http", "127.0.0.1")
        assert parts.path.startswith(f"/{kind}/")
        assert len(parts.path.split("/")[2]) >= 8


async def test_a_token_works_once(server: StreamingServer) -> None:
    url = server.exec_url(ECHO)
    assert await run_echo(url) == b"hi\n"
    assert (await refusal(url, "POST", *SPDY))[0] == 404


async def test_unknown_tokens_and_paths_are_not_found(server: StreamingServer) -> None:
    for path in ("/exec/unknown", "/exec/", "/exec", "/", "/healthz", "/portforward/x/y"):
        status, text = await refusal(server.base_url + path, "POST", *SPDY)
        assert status == 404
        assert "unknown, used or expired" in text


async def test_a_token_is_good_on_its_own_path_only(server: StreamingServer) -> None:
    url = server.exec_url(ECHO)
    assert (await refusal(url.replace("/exec/", "/attach/"), "POST", *SPDY))[0] == 404
    assert (await refusal(url, "POST", *SPDY))[0] == 404


async def test_an_expired_token_is_not_found(backend: LocalBackend) -> None:
    now = [0.0]
    server = StreamingServer(backend, clock=lambda: now[0])
    await server.start()
    url = server.exec_url(ECHO)
    now[0] = 60.0
    assert (await refusal(url, "POST", *SPDY))[0] == 404
    await server.close()


async def test_the_thousand_and_first_waiting_request_is_refused(server: StreamingServer) -> None:
    for _ in range(1000):
        server.exec_url(ECHO)
    with pytest.raises(ResourceExhausted):
        server.exec_url(ECHO)


# ---- refusals


@pytest.mark.parametrize(
    ("method", "headers", "status", "text"),
    [
        ("GET", (), 400, "unable to upgrade"),
        ("DELETE", SPDY, 405, "GET or POST"),
        ("POST", (*SPDY[:2], "X-Stream-Protocol-Version: v9.channel.k8s.io"), 403, "v9.channel.k8s.io"),
        ("GET", (*WEBSOCKET, "Sec-WebSocket-Protocol: chat"), 403, "chat"),
        ("GET", WEBSOCKET[:3], 400, "Sec-WebSocket-Key"),
        ("POST", (*SPDY, "Content-Length: 4"), 400, "no body"),
    ],
)
async def test_other_requests_are_refused_with_a_reason(
    server: StreamingServer, method: str, headers: tuple[str, ...], status: int, text: str
) -> None:
    got, answer = await refusal(server.exec_url(ECHO), method, *headers)
    assert got == status
    assert text in answer


async def test_a_client_without_protocol_gets_the_first_version(server: StreamingServer) -> None:
    reader, writer = await connect(server.base_url)
    path = urlsplit(server.exec_url(ECHO)).path
    writer.write(f"POST {path} HTTP/1.1\r\nHost: n\r\n{SPDY[0]}\r\n{SPDY[1]}\r\n\r\n".encode())
    head = await reader.readuntil(b"\r\n\r\n")
    assert b" 101 " in head
    assert b"x-stream-protocol-version" not in head.lower()
    writer.close()
    await writer.wait_closed()


async def test_a_session_too_many_is_told_to_come_back_and_keeps_its_token(backend: LocalBackend) -> None:
    server = StreamingServer(backend, max_sessions=1)
    await server.start()
    url = server.exec_url(ExecRequest.checked("c", ["cat"], Streams(stdin=True, stdout=True)))
    first = await SpdyClient.upgrade(url, "v4.channel.k8s.io")
    second = server.exec_url(ECHO)
    status, answer = await refusal(second, "POST", *SPDY)
    assert status == 429
    assert "Retry-After: 1" in answer
    await first.close()
    while server.connections:
        await asyncio.sleep(0.01)
    assert await run_echo(second) == b"hi\n"
    await server.close()


async def test_garbage_endless_heads_and_silence_close_that_connection_alone(backend: LocalBackend) -> None:
    server = StreamingServer(backend, timeouts=Timeouts(head_s=0.1, linger_s=0.5))
    await server.start()
    for said in (
        b"\x16\x03\x01 TLS where none is spoken\r\n\r\n",
        b"GET / HTTP/1.1\r\n" + b"X: y\r\n" * 20_000,
    ):
        reader, writer = await connect(server.base_url)
        writer.write(said)
        assert (await reader.read()).startswith(b"HTTP/1.1 4")
        writer.close()
        await writer.wait_closed()
    reader, writer = await connect(server.base_url)
    assert await reader.read() == b""
    writer.close()
    await writer.wait_closed()
    assert await run_echo(server.exec_url(ECHO)) == b"hi\n"
    await server.close()


# ---- time


async def test_streams_that_do_not_come_end_the_connection(
    server: StreamingServer, backend: LocalBackend
) -> None:
    client = await SpdyClient.upgrade(server.exec_url(ECHO), "v4.channel.k8s.io")
    await client.open(streamType="error")
    await client.until(lambda: client.closed)
    assert backend.sessions == []
    await client.close()


async def test_an_idle_session_is_closed_and_its_process_let_go(backend: LocalBackend) -> None:
    server = StreamingServer(backend, timeouts=Timeouts(idle_s=0.2))
    await server.start()
    url = server.exec_url(ExecRequest.checked("c", ["cat"], Streams(stdin=True, stdout=True)))
    client = await SpdyClient.upgrade(url, "v4.channel.k8s.io")
    await client.open_command("error", "stdin", "stdout")
    await client.until(lambda: client.closed)
    assert await backend.sessions[0].wait() == 0  # cat has read the end of its input
    await client.close()
    await server.close()


async def test_closing_the_server_ends_sessions_and_frees_the_port(backend: LocalBackend) -> None:
    server = StreamingServer(backend)
    await server.start()
    port = urlsplit(server.base_url).port
    assert port is not None
    url = server.exec_url(ExecRequest.checked("c", ["cat"], Streams(stdin=True, stdout=True)))
    client = await SpdyClient.upgrade(url, "v4.channel.k8s.io")
    ids = await client.open_command("error", "stdin", "stdout")
    await client.send(ids["stdin"], b"x")
    await client.until(lambda: bool(client.data[ids["stdout"]]))
    await server.close()
    await client.until(lambda: client.closed)
    assert await backend.sessions[0].wait() == 0
    await client.close()
    again = StreamingServer(backend, port=port)
    await again.start()
    await again.close()


# ---- address and port


@pytest.mark.parametrize(
    ("address", "scheme"), [("127.0.0.1", "http://127.0.0.1:"), ("", "http://127.0.0.1:")]
)
async def test_the_url_can_be_reached_from_this_host(
    backend: LocalBackend, address: str, scheme: str
) -> None:
    server = StreamingServer(backend, address=address)
    await server.start()
    assert server.base_url.startswith(scheme)
    assert await run_echo(server.exec_url(ECHO)) == b"hi\n"
    await server.close()


async def test_a_busy_port_names_its_option(backend: LocalBackend) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(CannotListen, match=rf"stream_port: cannot listen on 127.0.0.1 port {port}"):
            await StreamingServer(backend, port=port).start()


async def test_a_free_port_is_none_that_leads_to_a_pod(backend: LocalBackend) -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    server = StreamingServer(backend)
    await server.start(set(range(65536)) - {port})
    assert urlsplit(server.base_url).port == port
    await server.close()
    with pytest.raises(CannotListen, match="stream_port: no port is free"):
        await StreamingServer(backend).start(range(65536))


async def test_an_address_that_is_not_ours_names_its_option(backend: LocalBackend) -> None:
    with pytest.raises(CannotListen, match="stream_address"):
        await StreamingServer(backend, address="203.0.113.1").start()


async def test_what_is_no_address_or_port_names_its_option(backend: LocalBackend) -> None:
    with pytest.raises(BadAddress, match="stream_address: 'localhost'"):
        await StreamingServer(backend, address="localhost").start()
    with pytest.raises(BadAddress, match="stream_port: 65536"):
        await StreamingServer(backend, port=65536).start()


# ---- TLS


@pytest.fixture
def pair(tmp_path: Path) -> Pair:
    return self_signed(tmp_path, "server")


async def trusted(server: StreamingServer, context: ssl.SSLContext) -> bool:
    try:
        _, writer = await connect(server.base_url, context)
    except ssl.SSLError:
        return False
    writer.close()
    await writer.wait_closed()
    return True


def trusting(pair: Pair) -> ssl.SSLContext:
    return ssl.create_default_context(cafile=pair.certificate)


async def test_tls_carries_a_command(backend: LocalBackend, pair: Pair) -> None:
    server = StreamingServer(backend, tls=TlsFiles(pair.certificate, pair.key))
    await server.start()
    assert server.base_url.startswith("https://")
    url = server.exec_url(ExecRequest.checked("c", ["head", "-c", "3000000", "/dev/zero"], OUTPUT))
    assert await run_echo(url, trusting(pair)) == bytes(3_000_000)
    client = await RawWebSocket.upgrade(server.exec_url(ECHO), "v5.channel.k8s.io", trusting(pair))
    assert b"\1hi\n" in await client.messages()
    await client.close()
    await server.close()


async def test_changed_files_serve_the_next_client(backend: LocalBackend, pair: Pair, tmp_path: Path) -> None:
    files = TlsFiles(pair.certificate, pair.key)
    server = StreamingServer(backend, tls=files, timeouts=Timeouts(tls_check_s=0.05))
    await server.start()
    assert await run_echo(server.exec_url(ECHO), trusting(pair)) == b"hi\n"
    renewed = self_signed(tmp_path, "renewed")
    trust_renewed = trusting(renewed)
    with pytest.raises(ssl.SSLError):
        await run_echo(server.exec_url(ECHO), trust_renewed)
    renewed.certificate.replace(pair.certificate)
    renewed.key.replace(pair.key)
    async with asyncio.timeout(PATIENCE_S):
        while not await trusted(server, trust_renewed):
            await asyncio.sleep(0.02)
    assert await run_echo(server.exec_url(ECHO), trust_renewed) == b"hi\n"
    await server.close()


async def test_a_client_ca_lets_only_its_clients_in(
    backend: LocalBackend, pair: Pair, tmp_path: Path
) -> None:
    known = self_signed(tmp_path, "client")
    server = StreamingServer(backend, tls=TlsFiles(pair.certificate, pair.key, client_ca=known.certificate))
    await server.start()
    context = trusting(pair)
    context.load_cert_chain(known.certificate, known.key)
    assert await run_echo(server.exec_url(ECHO), context) == b"hi\n"
    with pytest.raises((ssl.SSLError, ConnectionError, asyncio.IncompleteReadError)):
        await run_echo(server.exec_url(ECHO), trusting(pair))
    await server.close()


async def test_plain_http_to_a_tls_port_harms_nobody(backend: LocalBackend, pair: Pair) -> None:
    server = StreamingServer(backend, tls=TlsFiles(pair.certificate, pair.key))
    await server.start()
    reader, writer = await connect(server.base_url)
    writer.write(b"GET / HTTP/1.1\r\n\r\n")
    await reader.read()
    writer.close()
    await writer.wait_closed()
    assert await run_echo(server.exec_url(ECHO), trusting(pair)) == b"hi\n"
    await server.close()


async def test_a_bad_certificate_stops_the_start_and_names_its_option(
    backend: LocalBackend, pair: Pair, tmp_path: Path
) -> None:
    with pytest.raises(BadTls, match=r"^stream_tls_cert: cannot read"):
        await StreamingServer(backend, tls=TlsFiles(tmp_path / "absent", pair.key)).start()
