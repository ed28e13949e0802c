import asyncio
import json
import os
import socket
from collections.abc import Callable

import pytest

from host.fds import receive_message, send_message
from oci.monitor.connection import Connection
from oci.monitor.protocol import CloseStdin, Json, List, encode_error, encode_event, encode_reply
from oci.monitor.types import MonitorFailed, MonitorUnavailable, NotLive, UnknownContainer


def connect(
    on_event: Callable[[Json], None] = lambda _: None, on_lost: Callable[[], None] = lambda: None
) -> tuple[Connection, socket.socket]:
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    theirs.settimeout(10)
    return Connection(ours, on_event, on_lost), theirs


async def ask(connection: Connection, theirs: socket.socket) -> tuple[asyncio.Task[Json], int]:
    async def request() -> Json:
        return (await connection.request(List(""))).result

    task = asyncio.create_task(request())
    data, _ = await asyncio.to_thread(receive_message, theirs, 1000)
    return task, json.loads(data)["rid"]


async def test_replies_find_their_requests_in_any_order() -> None:
    connection, theirs = connect()
    first, first_id = await ask(connection, theirs)
    second, second_id = await ask(connection, theirs)
    theirs.send(encode_reply(second_id, {"n": 2}))
    theirs.send(encode_reply(first_id, {"n": 1}))
    assert [await first, await second] == [{"n": 1}, {"n": 2}]
    connection.close()
    theirs.close()


@pytest.mark.parametrize(
    ("kind", "error"),
    [
        ("not_found", UnknownContainer),
        ("not_live", NotLive),
        ("failed", MonitorFailed),
        ("else", MonitorFailed),
    ],
)
async def test_errors_become_exceptions(kind: str, error: type[Exception]) -> None:
    connection, theirs = connect()
    task, rid = await ask(connection, theirs)
    theirs.send(encode_error(rid, kind, "the reason"))
    with pytest.raises(error, match="the reason"):
        await task
    connection.close()
    theirs.close()


async def test_a_lost_connection_fails_what_waits_and_is_told_once() -> None:
    losses: list[int] = []
    connection, theirs = connect(on_lost=lambda: losses.append(1))
    task, _ = await ask(connection, theirs)
    theirs.close()
    with pytest.raises(MonitorUnavailable):
        await task
    with pytest.raises(MonitorUnavailable):
        connection.post(List(""))
    connection.close()
    assert losses == [1]


@pytest.mark.parametrize("when", ["before", "after"])
async def test_descriptors_of_a_reply_that_nobody_takes_are_closed(when: str) -> None:
    connection, theirs = connect()
    task, rid = await ask(connection, theirs)
    reading, writing = os.pipe()
    if when == "before":
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
    send_message(theirs, encode_reply(rid, {}), [writing])
    os.close(writing)
    if when == "after":
        connection._readable()  # the reply has come, its taker has not run yet
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
    assert await asyncio.to_thread(os.read, reading, 1) == b""
    os.close(reading)
    connection.close()
    theirs.close()


async def test_events_are_handed_on_and_nonsense_is_survived() -> None:
    events: list[Json] = []
    connection, theirs = connect(on_event=events.append)
    for data in (b"nonsense", b"{}", b'{"rid": 99, "ok": {}}', encode_event("exited", {"n": 1})):
        theirs.send(data)
    while not events:
        await asyncio.sleep(0.001)
    assert events == [{"event": "exited", "n": 1}]
    connection.close()
    theirs.close()


async def test_more_requests_than_the_socket_holds_are_sent_in_order() -> None:
    connection, theirs = connect()
    for number in range(3000):
        connection.post(CloseStdin(str(number)))
    received: list[str] = []
    while len(received) < 3000:
        data, _ = await asyncio.to_thread(receive_message, theirs, 1000)
        received.append(json.loads(data)["id"])
    assert received == [str(number) for number in range(3000)]
    connection.close()
    theirs.close()


async def test_the_process_that_works_on_a_request_is_told() -> None:
    connection, theirs = connect()
    begun: list[tuple[int, int]] = []
    asked = asyncio.create_task(connection.request(List(""), on_begun=lambda *one: begun.append(one)))
    data, _ = await asyncio.to_thread(receive_message, theirs, 1000)
    rid = json.loads(data)["rid"]
    reading, writing = os.pipe()
    for which in (rid, 99):  # nobody asked for the second
        send_message(theirs, encode_event("begun", {"rid": which, "pid": 7}), [writing])
    os.close(writing)
    theirs.send(encode_reply(rid, {}))
    await asked
    [(pid, descriptor)] = begun
    assert pid == 7
    os.close(descriptor)
    assert await asyncio.to_thread(os.read, reading, 1) == b""
    os.close(reading)
    connection.close()
    theirs.close()


@pytest.mark.parametrize("is_asked_more", [True, False])
async def test_what_a_dying_monitor_said_last_is_heard(*, is_asked_more: bool) -> None:
    connection, theirs = connect()
    task, rid = await ask(connection, theirs)
    connection.post(List(""))  # unread when it dies, which is told as a reset before anything else
    theirs.send(encode_reply(rid, {"n": 1}))
    theirs.close()
    if is_asked_more:
        connection.post(List(""))
    assert await task == {"n": 1}
    connection.close()
