"""The daemon's service against a streaming process that a stranger has taken over."""

import asyncio
import os
import socket
from collections.abc import AsyncIterator

import pytest

from api.errors import NotFound
from cri.streaming import control
from cri.streaming.backend import (
    AttachRequest,
    ExecRequest,
    PortForwardRequest,
    Stdio,
    StreamRequest,
    Streams,
)
from cri.streaming.control import Close, Dial, InputEnded, Json, Ready, Resize, Start, Take
from cri.streaming.service import MOST_DIALS, Service
from host.fds import close_all, receive_message, send_message
from tests.harness.processes import descriptor_count

EXEC = ExecRequest.checked("c", ["cat"], Streams(stdin=True, stdout=True))
ATTACH = AttachRequest.checked("c", Streams(stdin=True, stdout=True, tty=True))
FORWARD = PortForwardRequest.checked("p", [80])


class FakeSession:
    def __init__(self) -> None:
        self.theirs: list[int] = []
        reading, writing = os.pipe()
        other_reading, other_writing = os.pipe()
        self.theirs += [reading, other_writing]
        self.stdio = Stdio(stdin=writing, stdout=other_reading)
        self.exit: asyncio.Future[int] = asyncio.get_running_loop().create_future()
        self.sizes: list[tuple[int, int]] = []
        self.input_ends = 0
        self.closes: list[bool] = []

    async def wait(self) -> int:
        return await asyncio.shield(self.exit)

    async def resize(self, width: int, height: int) -> None:
        self.sizes.append((width, height))

    async def input_ended(self) -> None:
        self.input_ends += 1

    async def close(self, *, kill: bool) -> None:
        self.closes.append(kill)
        close_all(self.theirs)


class FakeBackend:
    def __init__(self) -> None:
        self.sessions: list[FakeSession] = []
        self.gate = asyncio.Event()
        self.gate.set()
        self.dials = 0

    async def exec(self, request: ExecRequest) -> FakeSession:
        await self.gate.wait()
        if request.container_id == "missing":
            raise NotFound("there is no such container" + "!" * 100_000)
        self.sessions.append(FakeSession())
        return self.sessions[-1]

    async def attach(self, request: AttachRequest) -> FakeSession:
        return await self.exec(EXEC)

    async def dial(self, sandbox_id: str, port: int) -> socket.socket:
        self.dials += 1
        await self.gate.wait()
        return socket.socket()


class Captive:
    """The process's end of the socket, in a stranger's hands."""

    def __init__(self) -> None:
        self.tokens: dict[str, StreamRequest] = {"e": EXEC, "a": ATTACH, "f": FORWARD}
        ours, self.sock = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self.sock.setblocking(False)
        self.backend = FakeBackend()
        self.ready = 0
        self.lost: list[str] = []
        self.service = Service(
            ours,
            self.backend,
            lambda token: self.tokens.pop(token, None),
            ready=self._on_ready,
            lost=self.lost.append,
        )

    def _on_ready(self) -> None:
        self.ready += 1

    def say(self, request: control.Request) -> None:
        send_message(self.sock, control.encode_request(request))

    async def hear(self) -> tuple[Json, list[int]]:
        async with asyncio.timeout(20):
            while True:
                try:
                    data, descriptors = receive_message(self.sock, control.ANSWER_BYTES)
                    return control.decode(data), descriptors
                except BlockingIOError:
                    await asyncio.sleep(0)

    async def ask(self, request: control.Request) -> tuple[Json, list[int]]:
        self.say(request)
        return await self.hear()

    async def granted(self, kind: str) -> int:
        answer, _ = await self.ask(Take(1, {"e": "exec", "a": "attach", "f": "portforward"}[kind], kind))
        number: int = answer["session"]
        return number

    async def until(self, condition: object) -> None:
        async with asyncio.timeout(20):
            while not condition():  # type: ignore[operator]
                await asyncio.sleep(0)


@pytest.fixture
async def captive() -> AsyncIterator[Captive]:
    before = descriptor_count()
    captive = Captive()
    yield captive
    captive.backend.gate.set()
    await captive.service.close()
    captive.sock.close()
    assert descriptor_count() == before


async def test_a_token_becomes_a_session_that_tells_no_more_than_its_client_must_know(
    captive: Captive,
) -> None:
    answer, _ = await captive.ask(Take(5, "exec", "e"))
    assert answer == {
        "ok": 5,
        "session": 1,
        "streams": {"stdin": True, "stdout": True, "stderr": False, "tty": False},
    }
    answer, _ = await captive.ask(Take(6, "portforward", "f"))
    assert answer == {"ok": 6, "session": 2, "ports": [80]}


@pytest.mark.parametrize(("kind", "token"), [("attach", "e"), ("nonsense", "e"), ("exec", "other")])
async def test_a_token_is_used_up_by_asking_and_good_for_its_kind_alone(
    captive: Captive, kind: str, token: str
) -> None:
    assert await captive.ask(Take(1, kind, token)) == ({"ok": 1}, [])
    assert await captive.ask(Take(2, "exec", token)) == ({"ok": 2}, [])
    assert captive.service.sessions == 0


async def test_a_session_is_started_told_of_its_end_and_let_go(captive: Captive) -> None:
    number = await captive.granted("e")
    answer, given = await captive.ask(Start(2, number))
    assert answer == {"ok": 2, "stdio": ["stdin", "stdout"]}
    close_all(given)
    [session] = captive.backend.sessions
    assert await captive.ask(Resize(3, number, 80, 24)) == ({"ok": 3}, [])
    captive.say(InputEnded(number))
    await captive.until(lambda: session.input_ends)
    session.exit.set_result(7)
    assert await captive.hear() == ({"ended": number, "code": 7}, [])
    captive.say(Close(number))
    await captive.until(lambda: session.closes)
    assert (session.sizes, session.closes) == ([(80, 24)], [False])
    assert captive.service.sessions == 0


async def test_what_cannot_start_is_told_in_bounded_words(captive: Captive) -> None:
    captive.tokens["e"] = ExecRequest.checked("missing", ["x"], EXEC.streams)
    answer, given = await captive.ask(Start(2, await captive.granted("e")))
    assert answer["error"] == 2
    assert answer["message"].startswith("there is no such container")
    assert len(answer["message"]) == control.LONGEST_TEXT
    assert given == []


@pytest.mark.parametrize(
    "request_", [Start(9, 99), Dial(9, 99, 80), Resize(9, 99, 1, 1), InputEnded(99), Close(99, kill=True)]
)
async def test_what_names_no_session_touches_none(captive: Captive, request_: control.Request) -> None:
    number = await captive.granted("e")
    captive.say(request_)
    if not isinstance(request_, InputEnded | Close):
        assert (await captive.hear())[0]["error"] == 9
    answer, given = await captive.ask(Start(2, number))
    close_all(given)
    assert "ok" in answer


@pytest.mark.parametrize("twice", ["start", "dial", "resize"])
async def test_a_session_that_is_asked_for_what_it_cannot_do_ends(captive: Captive, twice: str) -> None:
    number = await captive.granted("e")
    if twice == "start":
        _, given = await captive.ask(Start(2, number))
        close_all(given)
        wrong: control.Request = Start(3, number)
    else:
        wrong = Dial(3, number, 80) if twice == "dial" else Resize(3, number, 1, 1)
    assert (await captive.ask(wrong))[0]["error"] == 3
    assert captive.service.sessions == 0
    await captive.until(lambda: [each.closes for each in captive.backend.sessions] in ([], [[False]]))


async def test_a_forward_cannot_be_started(captive: Captive) -> None:
    assert (await captive.ask(Start(3, await captive.granted("f"))))[0]["error"] == 3
    assert captive.backend.sessions == []


async def test_connections_under_way_are_bounded_and_end_with_their_session(captive: Captive) -> None:
    number = await captive.granted("f")
    captive.backend.gate.clear()
    for rid in range(2, MOST_DIALS + 3):
        captive.say(Dial(rid, number, 80))
    assert (await captive.hear())[0] == {
        "error": MOST_DIALS + 2,
        "message": "there is no such streaming session",
    }
    assert captive.backend.dials <= MOST_DIALS
    assert captive.service.sessions == 0


async def test_a_connection_is_handed_over(captive: Captive) -> None:
    answer, given = await captive.ask(Dial(2, await captive.granted("f"), 80))
    assert answer == {"ok": 2}
    assert len(given) == 1
    close_all(given)


async def test_a_process_that_starts_after_its_session_is_over_is_let_go(captive: Captive) -> None:
    number = await captive.granted("a")
    captive.backend.gate.clear()
    captive.say(Start(2, number))
    captive.say(Close(number))
    await captive.until(lambda: captive.service.sessions == 0)
    captive.backend.gate.set()
    _, given = await captive.hear()
    close_all(given)
    await captive.until(lambda: captive.backend.sessions and captive.backend.sessions[0].closes)


@pytest.mark.parametrize("said", [b"nonsense", b'{"op":"take"}', b"x" * 2000])
async def test_nonsense_ends_the_process_and_lets_its_sessions_go(captive: Captive, said: bytes) -> None:
    _, given = await captive.ask(Start(2, await captive.granted("e")))
    close_all(given)
    send_message(captive.sock, said)
    await captive.until(lambda: captive.lost)
    await captive.until(lambda: captive.backend.sessions[0].closes == [False])
    assert captive.service.sessions == 0


async def test_descriptors_that_nobody_asked_for_are_closed_and_end_the_process(captive: Captive) -> None:
    before = descriptor_count()
    send_message(captive.sock, control.encode_request(Ready()), [0, 1, 2])
    await captive.until(lambda: captive.lost)
    assert captive.ready == 0
    assert descriptor_count() == before - 1  # the service's end of the socket


@pytest.mark.parametrize("stage", ["granted", "starting", "started", "dialling"])
async def test_a_process_that_is_lost_at_any_stage_leaves_nothing(captive: Captive, stage: str) -> None:
    number = await captive.granted("f" if stage == "dialling" else "e")
    if stage in ("starting", "dialling"):
        captive.backend.gate.clear()
        captive.say(Dial(2, number, 80) if stage == "dialling" else Start(2, number))
        await asyncio.sleep(0.01)
    elif stage == "started":
        _, given = await captive.ask(Start(2, number))
        close_all(given)
    captive.sock.close()
    await captive.until(lambda: captive.lost)
    captive.backend.gate.set()
    await captive.service.close()
    assert [session.closes for session in captive.backend.sessions] in ([], [[False]])
    assert captive.service.sessions == 0
