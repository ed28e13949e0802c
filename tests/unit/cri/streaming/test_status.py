import json

import pytest

from cri.streaming.status import Exited, Failed, render


def test_success_is_a_status_from_version_4_on() -> None:
    assert json.loads(render(Exited(0), 4)) == {"metadata": {}, "status": "Success"}
    assert render(Exited(0), 5) == render(Exited(0), 4)


def test_an_exit_code_is_a_cause() -> None:
    assert json.loads(render(Exited(42), 4)) == {
        "metadata": {},
        "status": "Failure",
        "message": "command terminated with non-zero exit code: exit status 42",
        "reason": "NonZeroExitCode",
        "details": {"causes": [{"reason": "ExitCode", "message": "42"}]},
    }


def test_a_failure_is_an_internal_error_with_its_text() -> None:
    status = json.loads(render(Failed('no "sh" here'), 5))
    assert status["reason"] == "InternalError"
    assert status["code"] == 500
    assert status["message"] == 'Internal error occurred: no "sh" here'
    assert status["details"] == {"causes": [{"message": 'no "sh" here'}]}


@pytest.mark.parametrize("version", [0, 1, 2, 3])
def test_older_versions_send_text_and_nothing_on_success(version: int) -> None:
    assert render(Exited(0), version) == b""
    assert render(Exited(3), version) == b"command terminated with non-zero exit code: exit status 3"
    assert render(Failed("no"), version) == b"Internal error occurred: no"
