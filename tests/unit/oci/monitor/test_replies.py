from pathlib import Path

import pytest

from oci.cli import CliRuntime, Kind
from oci.monitor.protocol import ProtocolError, Record
from oci.monitor.replies import CommandReply, CreateReply
from oci.runtime import ContainerGone, RuntimeFailed, RuntimeTimedOut

RUNTIME = CliRuntime("it", Path("/bin/it"), Path("/run/it"), Kind.CRUN)
RECORD = Record("c", "it", 7, 99, "created", None, 0, 0, 0, 10.0, False, True, 1, 0, 0, None, False)


@pytest.mark.parametrize(
    ("result", "error"),
    [
        ({"status": 0, "timed_out": False}, None),
        ({"status": 0, "timed_out": True}, RuntimeTimedOut),
        ({"status": 1, "timed_out": False, "log": "", "stderr": "out of luck"}, RuntimeFailed),
        ({"status": 1, "timed_out": False, "log": '{"msg":"container does not exist"}'}, ContainerGone),
    ],
)
def test_a_reply_is_a_success_or_has_its_error(
    result: dict[str, object], error: type[Exception] | None
) -> None:
    found = CommandReply.of(result).error(RUNTIME, "start", "c", 1.0)
    assert (None if found is None else type(found)) == error


@pytest.mark.parametrize("result", [{}, {"status": None}, {"status": "0"}])
def test_a_reply_without_status_is_none(result: dict[str, object]) -> None:
    with pytest.raises(ProtocolError):
        CommandReply.of(result)


def test_a_created_container_has_record_and_streams() -> None:
    result = {"record": RECORD._asdict(), "streams": ["pidfd", "stdout"]}
    assert CreateReply.of(result) == CreateReply(RECORD, ["pidfd", "stdout"])
    for name in result:
        with pytest.raises(ProtocolError):
            CreateReply.of({**result, name: None})
