"""Every request is answered, whatever goes wrong while it is served."""

import json
import os
import socket
from collections.abc import Callable, Iterator

import pytest

from oci.monitor.peers import Answer, Peer
from oci.monitor.protocol import MESSAGE_LIMIT, Json
from oci.monitor.reactor import Reactor


@pytest.fixture
def ends() -> Iterator[tuple[Peer, socket.socket]]:
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    theirs.setblocking(False)
    reactor = Reactor()
    yield Peer(reactor, ours, lambda *_: None, lambda _: None), theirs
    ours.close()
    theirs.close()
    reactor.close()


def received(theirs: socket.socket) -> Json:
    message: Json = json.loads(theirs.recv(MESSAGE_LIMIT))
    return message


def fail(words: str) -> None:
    raise ValueError(words)


def raises(_: Answer) -> None:
    fail("odd")


def sends_what_cannot_be_sent(answer: Answer) -> None:
    answer.done({"pid": 1}, [-1])


def sends_too_much(answer: Answer) -> None:
    answer.done({"text": "x" * MESSAGE_LIMIT})


@pytest.mark.parametrize(
    ("serve", "words"),
    [(raises, "odd"), (sends_what_cannot_be_sent, "Bad file descriptor"), (sends_too_much, "exceeds")],
)
def test_a_failure_in_the_middle_is_the_answer(
    ends: tuple[Peer, socket.socket],
    serve: Callable[[Answer], None],
    words: str,
    capsys: pytest.CaptureFixture[str],
) -> None:
    peer, theirs = ends
    answer = Answer(peer, 7)
    with answer.certain():
        serve(answer)
    error = received(theirs)
    assert error["rid"] == 7
    assert words in str(error["error"])
    with pytest.raises(BlockingIOError):
        theirs.recv(MESSAGE_LIMIT)
    assert capsys.readouterr().err


def test_a_failure_after_the_answer_is_not_told_again(
    ends: tuple[Peer, socket.socket], capsys: pytest.CaptureFixture[str]
) -> None:
    peer, theirs = ends
    answer = Answer(peer, 7)
    reading, writing = os.pipe()
    with answer.certain():
        answer.done({}, [reading])
        fail("later")
    os.close(reading)
    os.close(writing)
    assert received(theirs) == {"rid": 7, "ok": {}}
    with pytest.raises(BlockingIOError):
        theirs.recv(MESSAGE_LIMIT)
    assert "later" in capsys.readouterr().err


def test_an_answer_that_is_lost_answers_by_itself(ends: tuple[Peer, socket.socket]) -> None:
    peer, theirs = ends
    answer = Answer(peer, 7)
    del answer
    assert received(theirs)["rid"] == 7
    answer = Answer(peer, 8)
    answer.done({})
    del answer
    assert received(theirs) == {"rid": 8, "ok": {}}
    with pytest.raises(BlockingIOError):
        theirs.recv(MESSAGE_LIMIT)
