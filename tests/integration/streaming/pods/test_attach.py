"""Attaching to containers: input, several clients, floods, and clients that leave."""

import asyncio
import fcntl
import os
import struct
import termios
from pathlib import Path

import pytest

from api.runtime.v1 import api_pb2 as pb
from tests.harness.client import Client, eventually
from tests.harness.patience import patient
from tests.harness.processes import PROC
from tests.integration.streaming.pods.conftest import Pods
from tests.integration.streaming.pods.observe import inside
from tests.integration.streaming.pods.remote import SPDY, TRANSPORTS, Remote, attach, run

pytestmark = pytest.mark.root
PIPE_BYTES = 65536  # what a pipe holds, pipe(7)


@pytest.fixture(params=TRANSPORTS)
def transport(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def log_of(client: Client, container: str) -> bytes:
    """What the container's log holds, without stamps."""
    lines = Path(client.container(container).log_path).read_bytes().splitlines()
    return b"".join(line.split(b" ", 3)[3] + b"\n" for line in lines)


async def test_stdin_once_ends_with_its_first_client(pods: Pods, client: Client, transport: str) -> None:
    pod = pods.run("cat", stdin=True, stdin_once=True)
    remote = await attach(client, transport, pod.container, stdin=True)
    await remote.send(b"one\n")
    await remote.until_got(b"one\n")
    await remote.send(b"two\n")
    await remote.end_input()
    assert await remote.exit_code() == 0
    assert remote.got("stdout") == b"one\ntwo\n"
    await remote.leave()
    assert client.wait_exited(pod.container).exit_code == 0
    assert log_of(client, pod.container) == b"one\ntwo\n"


async def test_stdin_once_ends_when_its_client_vanishes(pods: Pods, client: Client, transport: str) -> None:
    pod = pods.run("cat", stdin=True, stdin_once=True)
    remote = await attach(client, transport, pod.container, stdin=True)
    await remote.send(b"said\n")
    await remote.until_got(b"said\n")
    await remote.leave()
    assert client.wait_exited(pod.container).exit_code == 0


async def test_other_stdin_outlives_its_clients(pods: Pods, client: Client, transport: str) -> None:
    pod = pods.run("cat", stdin=True)
    first = await attach(client, transport, pod.container, stdin=True)
    await first.send(b"one\n")
    await first.until_got(b"one\n")
    await first.end_input()
    assert await first.exit_code() == 0  # it has detached
    await first.leave()
    second = await attach(client, transport, pod.container, stdin=True)
    await second.send(b"two\n")
    await second.until_got(b"two\n")
    assert second.got("stdout") == b"two\n"
    await second.leave()
    assert client.container(pod.container).state == pb.CONTAINER_RUNNING


async def test_input_that_nobody_reads_keeps_the_daemon_from_nothing(
    pods: Pods, client: Client, transport: str
) -> None:
    script = "until [ -e /tmp/go ]; do sleep 0.02; done; busybox head -c 200000 | busybox wc -c"
    pod = pods.run("sh", "-c", script, stdin=True)
    remote = await attach(client, transport, pod.container, stdin=True)
    sending = asyncio.create_task(remote.send(bytes(200_000)))
    stdin = os.open(PROC / f"{client.pid_of(pod.container)}/fd/0", os.O_RDONLY | os.O_NONBLOCK)
    try:
        async with asyncio.timeout(patient(30)):
            while _unread(stdin) < PIPE_BYTES:
                await asyncio.sleep(0.02)
    finally:
        os.close(stdin)
    assert client.exec(pod.container, "touch", "/tmp/go").exit_code == 0
    await sending
    await remote.until_got(b"200000\n")
    await remote.leave()


def _unread(pipe: int) -> int:
    return int(struct.unpack("i", fcntl.ioctl(pipe, termios.FIONREAD, bytes(4)))[0])


async def test_every_client_sees_what_any_of_them_causes(pods: Pods, client: Client) -> None:
    pod = pods.run("sh", "-c", "while read line; do echo out $line; echo err $line >&2; done", stdin=True)
    remotes = [await attach(client, name, pod.container, stdin=True) for name in TRANSPORTS * 2]
    for number, remote in enumerate(remotes):  # whose input has passed is attached
        await remote.send(b"hello %d\n" % number)
        await remote.until_got(b"out hello %d\n" % number)
    for number, remote in enumerate(remotes):
        await remote.send(b"%d\n" % number)
        for each in remotes:
            await each.until_got(b"out %d\n" % number)
            await each.until_got(b"err %d\n" % number, "stderr")
    await remotes[0].leave()
    await remotes[1].send(b"still\n")
    for each in remotes[1:]:
        await each.until_got(b"out still\n")
    client.stop_container(pod.container)
    for each in remotes[1:]:
        await each.exit_code()
        await each.leave()


async def test_an_attachment_to_a_flood_gets_it_in_order(pods: Pods, client: Client, transport: str) -> None:
    pod = pods.run("sh", "-c", "n=0; while :; do echo $n; n=$((n+1)); done")
    remote = await attach(client, transport, pod.container)
    await _until_longer(remote, 1 << 20)
    numbers = [int(line) for line in remote.got("stdout").split(b"\n")[1:-1]]  # the first may be cut
    assert numbers == list(range(numbers[0], numbers[0] + len(numbers)))
    await remote.leave()
    assert client.container(pod.container).state == pb.CONTAINER_RUNNING


async def _until_longer(remote: Remote, length: int) -> None:
    async with asyncio.timeout(30):
        while len(remote.got("stdout")) < length:
            await asyncio.sleep(0.05)


async def test_an_attached_client_gets_the_last_words(pods: Pods, client: Client, transport: str) -> None:
    pod = pods.run("sh", "-c", "read x; busybox seq 100000; echo last >&2; exit 3", stdin=True)
    remote = await attach(client, transport, pod.container, stdin=True)
    await remote.send(b"go\n")
    await remote.exit_code()
    assert remote.got("stdout") == b"".join(b"%d\n" % n for n in range(1, 100001))
    assert remote.got("stderr") == b"last\n"
    await remote.leave()
    assert client.wait_exited(pod.container).exit_code == 3


async def test_the_command_of_a_client_that_leaves_reads_the_end_of_its_input(
    pods: Pods, client: Client, transport: str
) -> None:
    pod = pods.run()
    remote = await run(client, transport, pod.container, "cat", stdin=True)
    await remote.send(b"x")
    await remote.until_got(b"x")
    assert "cat" in inside(pod.container)
    await remote.leave()
    eventually(lambda: inside(pod.container), lambda found: len(found) == 1, "cat has ended")


async def test_the_command_of_a_client_that_leaves_is_told_when_it_writes(
    pods: Pods, client: Client, transport: str
) -> None:
    pod = pods.run()
    remote = await run(client, transport, pod.container, "sh", "-c", "while :; do echo chatter; done")
    await remote.until_got(b"chatter")
    await remote.leave()
    eventually(lambda: inside(pod.container), lambda found: len(found) == 1, "the writer ended")


async def test_a_silent_command_outlives_its_client(pods: Pods, client: Client) -> None:
    pod = pods.run()
    remote = await run(client, SPDY, pod.container, "sh", "-c", "echo here; exec sleep 12345")
    await remote.until_got(b"here")
    await remote.leave()
    await asyncio.sleep(0.5)
    eventually(lambda: inside(pod.container), lambda found: "sleep 12345" in found, "the command goes on")
