import json

import pytest

from cri.streaming import control
from cri.streaming.control import BadMessage, Close, Dial, InputEnded, Ready, Resize, Start, Take

REQUESTS: list[control.Request] = [
    Take(1, "exec", "token"),
    Start(2, 7),
    Dial(3, 7, 80),
    Resize(4, 7, 80, 24),
    InputEnded(7),
    Close(7),
    Close(7, kill=True),
    Ready(),
]


@pytest.mark.parametrize("request_", REQUESTS)
def test_a_request_is_read_as_it_was_written(request_: control.Request) -> None:
    data = control.encode_request(request_)
    assert len(data) <= control.REQUEST_BYTES
    assert control.decode_request(data) == request_


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\xff",
        b"[]",
        b"null",
        b"{}",
        b'{"op":1}',
        b'{"op":["take"]}',
        b'{"op":"exec"}',
        b'{"op":"ready","more":1}',
        b'{"op":"start","rid":1}',
        b'{"op":"start","rid":"1","session":1}',
        b'{"op":"start","rid":true,"session":1}',
        b'{"op":"start","rid":1.0,"session":1}',
        b'{"op":"start","rid":0,"session":1}',
        b'{"op":"start","rid":-1,"session":1}',
        b'{"op":"start","rid":1,"session":99999999999999999999999999}',
        b'{"op":"start","rid":1,"session":null}',
        b'{"op":"dial","rid":1,"session":1,"port":0}',
        b'{"op":"dial","rid":1,"session":1,"port":65536}',
        b'{"op":"resize","rid":1,"session":1,"width":70000,"height":1}',
        b'{"op":"take","rid":1,"kind":"exec","token":""}',
        b'{"op":"take","rid":1,"kind":"exec","token":"\\u00e9"}',
        json.dumps({"op": "take", "rid": 1, "kind": "exec", "token": "x" * 129}).encode(),
        b'{"op":"close","session":1,"kill":1}',
        b"[" * 1000,
    ],
)
def test_anything_else_is_no_request(data: bytes) -> None:
    with pytest.raises(BadMessage):
        control.decode_request(data)
