import json

import pytest

from oci.monitor import protocol
from oci.monitor.protocol import ProtocolError, Record, Request

REQUESTS: list[Request] = [
    protocol.Hello(1, events=True),
    protocol.Create(
        "c",
        "crun",
        ["crun", "create"],
        "/p",
        "/l",
        None,
        "/log",
        9,
        0,
        0,
        1.5,
        True,
        False,
        2.5,
        1000,
        1001,
        {"verb": "create"},
    ),
    protocol.Start("c", ["crun", "start"], "/l", 60.0),
    protocol.Start("c", ["crun", "start"], "/l", 60.0, {"verb": "start"}),
    protocol.Exec("c", "e", ["crun"], "/j", "/p", "/l", "/tty", ["stdin", "stdout"], 1.0, 0, 700),
    protocol.Signal("c", 15),
    protocol.ExecKill("e"),
    protocol.ReopenLog("c"),
    protocol.Attach("c", True, ["stdout"]),
    protocol.Detach("c", 3),
    protocol.CloseStdin("c"),
    protocol.Resize("c", 80, 24),
    protocol.List(""),
    protocol.Handles("c"),
    protocol.Forget("c"),
    protocol.Adopt({"id": "c"}, ["pidfd"]),
    protocol.Reaped("c", 137),
    protocol.Started("c"),
    protocol.AdoptExec("e", 7, 2.5),
    protocol.LogPlace("settle", "/logs", 2.5),
    protocol.StuckLogs(2.5),
    protocol.Settle(),
    protocol.Upgrade(["/usr/bin/python3", "/run/x"], 2.5),
    protocol.Shutdown(),
]
RECORD = Record("c", "crun", 7, 99, "exited", None, 0, 0, 0, 10.0, False, True, 1, 2, 3, None, False)


@pytest.mark.parametrize("request_", REQUESTS, ids=lambda request: type(request).__name__)
def test_request_survives_the_wire(request_: Request) -> None:
    message = protocol.decode(protocol.encode_request(7, request_))
    assert protocol.request_id(message) == 7
    assert protocol.parse_request(message) == request_


def test_every_request_is_tested() -> None:
    assert {type(request) for request in REQUESTS} == set(protocol.Request.__args__)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"op": "dance"}, "unknown operation 'dance'"),
        ({"op": 3}, "unknown operation 3"),
        ({"signal": "15"}, "'signal'"),
        ({"signal": True}, "'signal'"),
        ({"id": None}, "'id'"),
    ],
)
def test_wrong_fields_are_named(change: dict[str, object], words: str) -> None:
    message = protocol.decode(protocol.encode_request(1, protocol.Signal("c", 15))) | change
    with pytest.raises(ProtocolError, match=words):
        protocol.parse_request(message)


def test_missing_field_is_named_and_an_extra_one_ignored() -> None:
    assert protocol.parse_request({"op": "list", "after": "a", "later": 1}) == protocol.List("a")
    with pytest.raises(ProtocolError, match="'after'"):
        protocol.parse_request({"op": "list"})


@pytest.mark.parametrize("data", [b"", b"{", b"[]", b"7", b"\xff", b"[" * 100_000])
def test_what_is_no_object_is_refused(data: bytes) -> None:
    with pytest.raises(ProtocolError):
        protocol.decode(data)


@pytest.mark.parametrize("message", [{}, {"rid": "1"}, {"rid": None}])
def test_a_request_needs_an_id(message: dict[str, object]) -> None:
    with pytest.raises(ProtocolError, match="rid"):
        protocol.request_id(message)


def test_record_survives_json() -> None:
    assert protocol.parse_record(json.loads(json.dumps(RECORD._asdict()))) == RECORD


@pytest.mark.parametrize("message", [None, [], {}, RECORD._asdict() | {"pid": None}])
def test_broken_record_is_refused(message: object) -> None:
    with pytest.raises(ProtocolError):
        protocol.parse_record(message)


def test_replies_and_events_have_their_shapes() -> None:
    assert json.loads(protocol.encode_reply(3, {"a": 1})) == {"rid": 3, "ok": {"a": 1}}
    assert json.loads(protocol.encode_error(3, "failed", "why")) == {
        "rid": 3,
        "error": {"kind": "failed", "message": "why"},
    }
    assert json.loads(protocol.encode_event("exited", {"a": 1})) == {"event": "exited", "a": 1}


@pytest.mark.parametrize("path", ["/log", "/" + "x" * 2100, "/" + "x" * 4095, "/" + "\u00e4" * 2047])
def test_all_records_fit_into_parts_however_long_their_paths_are(path: str) -> None:
    records = [RECORD._replace(id=f"{number:064}", log_path=path) for number in range(protocol.LIST_PART)]
    listed: list[object] = []
    while len(listed) < len(records):
        part = protocol.fitting(records[len(listed) :])
        protocol.encode_reply(1, {"records": part})
        assert part
        listed += part
    assert listed == [record._asdict() for record in records]


def test_a_message_over_the_limit_is_refused_before_it_is_sent() -> None:
    with pytest.raises(ProtocolError, match="exceeds"):
        protocol.encode_reply(1, {"text": "x" * protocol.MESSAGE_LIMIT})
