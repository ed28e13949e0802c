"""A client that stops reading stops the process; the server's memory stays as it was."""

import asyncio
import hashlib
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from cri.streaming.backend import ExecRequest, Streams
from cri.streaming.server import StreamingServer
from cri.streaming.spdy_events import DataReceived
from tests.harness import processes
from tests.integration.streaming.clients import PATIENCE_S, SpdyClient
from tests.integration.streaming.local_backend import LocalBackend

# 1 GiB shows the same and takes longer: STREAMING_TEST_BYTES=1073741824.
TOTAL_BYTES = int(os.environ.get("STREAMING_TEST_BYTES", str(192 << 20)))
LARGEST_GROWTH_BYTES = 16 << 20


def resident_bytes() -> int:
    pages = int(processes.read("self", "statm").split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE")


def written_bytes(pid: int) -> int:
    lines = processes.read(pid, "io").splitlines()
    return int(next(line.split()[1] for line in lines if line.startswith("wchar")))


async def until_still(pid: int) -> int:
    """Wait until a process has stopped writing; how much it had written."""
    async with asyncio.timeout(PATIENCE_S):
        before = -1
        while (now := written_bytes(pid)) != before:
            before = now
            await asyncio.sleep(0.25)
    return before


class DigestingClient(SpdyClient):
    """Keeps a digest of what comes, not the bytes."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        super().__init__(reader, writer)
        self.keep = False
        self.digest = hashlib.sha256()

    def _note(self, event: object) -> None:
        super()._note(event)
        if isinstance(event, DataReceived):
            self.digest.update(event.data)


@pytest.fixture
def data(tmp_path: Path) -> Iterator[Path]:
    """A large file that repeats one random MiB."""
    path = tmp_path / "data"
    block = os.urandom(1 << 20)
    with path.open("wb") as file:
        for _ in range(TOTAL_BYTES >> 20):
            file.write(block)
    yield path
    path.unlink()  # pytest keeps its directories for a while


async def test_a_stopped_reader_stops_the_process_and_then_gets_every_byte(
    server: StreamingServer, backend: LocalBackend, data: Path
) -> None:
    url = server.exec_url(ExecRequest.checked("c", ["cat", str(data)], Streams(stdout=True)))
    client = await DigestingClient.upgrade(url, "v4.channel.k8s.io", receive_buffer=1 << 16, start=False)
    before = resident_bytes()
    # No reply is read: the client writes its streams and then is silent.
    ids = await client.open_command("error", "stdout")
    while not backend.sessions:
        await asyncio.sleep(0.01)
    stuck_at = await until_still(backend.sessions[0].pid)
    assert stuck_at < TOTAL_BYTES
    assert resident_bytes() - before < LARGEST_GROWTH_BYTES
    client.start_reading()
    await client.until(lambda: ids["error"] in client.ended)
    with data.open("rb") as file:
        expected = hashlib.file_digest(file, "sha256")
    status = b'{"metadata":{},"status":"Success"}'
    expected.update(status)
    assert client.received_bytes == TOTAL_BYTES + len(status)
    assert client.digest.hexdigest() == expected.hexdigest()
    await client.close()


async def test_a_process_that_does_not_read_stops_the_client(
    server: StreamingServer, backend: LocalBackend
) -> None:
    url = server.exec_url(ExecRequest.checked("c", ["sleep", "60"], Streams(stdin=True)))
    client = await SpdyClient.upgrade(url, "v4.channel.k8s.io")
    ids = await client.open_command("error", "stdin")
    before = resident_bytes()
    block = bytes(1 << 20)
    sent = 0
    stalled = False
    while not stalled and sent < 256:
        sending = asyncio.ensure_future(client.send(ids["stdin"], block))
        done, _ = await asyncio.wait([sending], timeout=1.0)
        stalled = not done
        sent += len(done)
        sending.cancel()
    assert stalled
    assert resident_bytes() - before < LARGEST_GROWTH_BYTES
    await client.vanish()
