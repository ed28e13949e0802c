"""A client that stops reading stops the process in its container, not the memory of daemon and monitor."""

import asyncio
import hashlib
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.harness.client import Client
from tests.harness.processes import command_line, in_cgroup
from tests.harness.until import until
from tests.integration.streaming.clients import PATIENCE_S
from tests.integration.streaming.pods.conftest import Pods
from tests.integration.streaming.pods.observe import Served
from tests.integration.streaming.pods.remote import attach_url, exec_url
from tests.integration.streaming.test_backpressure import DigestingClient, until_still

pytestmark = pytest.mark.root

# 1 GiB shows the same and takes longer: STREAMING_TEST_BYTES=1073741824.
TOTAL_BYTES = int(os.environ.get("STREAMING_TEST_BYTES", str(128 << 20)))
LARGEST_GROWTH_BYTES = 16 << 20
BLOCK_BYTES = 1 << 20
SLOWEST_BYTES_PER_S = 8 << 20


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A large file in which no two MiB are the same."""
    path = tmp_path_factory.mktemp("data") / "data"
    block = os.urandom(BLOCK_BYTES)
    with path.open("wb") as file:
        for number in range(TOTAL_BYTES // BLOCK_BYTES):
            at = number * 7919 % BLOCK_BYTES
            file.write(block[at:] + block[:at])
    yield path
    path.unlink()  # pytest keeps its directories for a while


def digest_of(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


class OutputDigest(DigestingClient):
    """Digests one stream alone."""

    output = 0

    def _note(self, event: object) -> None:
        if getattr(event, "stream_id", None) == self.output:
            super()._note(event)


async def stalled(url: str, *more: str) -> tuple[OutputDigest, dict[str, int]]:
    """A client that has opened its streams and reads nothing; the ids of those."""
    client = await OutputDigest.upgrade(url, "v4.channel.k8s.io", receive_buffer=1 << 16, start=False)
    ids = await client.open_command("error", "stdout", "stderr", *more)
    client.output = ids["stdout"]
    return client, ids


async def writer_in(container: str, word: str) -> int:
    """The process id of the command with ``word`` in a container."""
    found: list[int] = []

    def look() -> bool:
        found[:] = [pid for pid in in_cgroup(container) if command_line(pid).startswith(word)]
        return bool(found)

    await until(look, f"{word} runs in the container")
    return found[0]


async def test_an_exec_waits_for_its_reader_and_every_byte_comes(
    pods: Pods, client: Client, served: Served, data: Path
) -> None:
    pod = pods.run(files={"/data": data})
    before = served.anonymous_bytes()
    reader, _ = await stalled(exec_url(client, pod.container, "cat", "/data"))
    await _reads_on(reader, await writer_in(pod.container, "cat"), before, served, data)


async def test_a_container_waits_for_its_attachment_and_every_byte_comes(
    pods: Pods, client: Client, served: Served, data: Path
) -> None:
    pod = pods.run("sh", "-c", "read line; exec cat /data", stdin=True, files={"/data": data})
    before = served.anonymous_bytes()
    reader, ids = await stalled(attach_url(client, pod.container, stdin=True), "stdin")
    await reader.send(ids["stdin"], b"go\n")  # only what is attached passes it on
    await _reads_on(reader, await writer_in(pod.container, "cat"), before, served, data)


async def _reads_on(
    reader: OutputDigest, writer: int, before: dict[str, int], served: Served, data: Path
) -> None:
    stuck_at = await until_still(writer)
    assert stuck_at < TOTAL_BYTES / 2
    grown = {name: now - before[name] for name, now in served.anonymous_bytes().items()}
    assert max(grown.values()) < LARGEST_GROWTH_BYTES, grown
    reader.start_reading()
    async with asyncio.timeout(PATIENCE_S + TOTAL_BYTES / SLOWEST_BYTES_PER_S):
        while not reader.closed:
            await asyncio.sleep(0.05)
    after = {name: now - before[name] for name, now in served.anonymous_bytes().items()}
    print(f"the writer stopped at {stuck_at} bytes; grown meanwhile {grown}, after {after}")
    assert max(after.values()) < LARGEST_GROWTH_BYTES, after
    assert reader.received_bytes == TOTAL_BYTES
    assert reader.digest.hexdigest() == digest_of(data)
    await reader.close()
