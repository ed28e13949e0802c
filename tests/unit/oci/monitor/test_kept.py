"""What the keeper holds, as bytes."""

import json

import pytest

from oci.monitor.kept import UNKNOWN_PAST, KeptContainer, KeptExec, Past, encode, parse
from oci.monitor.protocol import ProtocolError
from tests.unit.oci.monitor.test_protocol import RECORD

CONTAINER = KeptContainer(RECORD, ["pidfd", "stdout", "journal"], Past(5, "/sys/fs/cgroup/x", 7, 137, True))
EXEC = KeptExec("12-3", 4711, 12.5)


@pytest.mark.parametrize("kept", [CONTAINER, CONTAINER._replace(past=UNKNOWN_PAST), EXEC])
def test_it_is_read_back_as_it_was(kept: KeptContainer | KeptExec) -> None:
    assert parse(encode(kept)) == kept


def test_what_another_version_has_put_is_read() -> None:
    fields = json.loads(encode(CONTAINER))
    del fields["past"]["oom_file"], fields["past"]["exit_code"]
    fields["past"]["mood"] = fields["more"] = "good"
    found = parse(json.dumps(fields).encode())
    assert found == CONTAINER._replace(past=CONTAINER.past._replace(oom_file=None, exit_code=None))
    del fields["past"]
    assert parse(json.dumps(fields).encode()) == CONTAINER._replace(past=UNKNOWN_PAST)


@pytest.mark.parametrize(
    "value",
    [
        b"",
        b"[]",
        b"{}",
        b'{"exec": 1}',
        b'{"exec": {"pid": "1"}}',
        b'{"record": {}, "streams": []}',
        json.dumps({"record": RECORD._asdict(), "streams": [1]}).encode(),
        json.dumps({"record": RECORD._asdict(), "streams": [], "past": {"exit_code": "x"}}).encode(),
    ],
)
def test_what_makes_no_sense_is_refused(value: bytes) -> None:
    with pytest.raises(ProtocolError):
        parse(value)
