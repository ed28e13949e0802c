"""How a remote command ended, as its error stream tells it.

From version 4 on that is a metav1.Status in JSON, the reason NonZeroExitCode carrying the code as a
cause; older versions send the text of an error and nothing on success (facts of remotecommand v1 to v5).
"""

import json
from dataclasses import dataclass

FIRST_VERSION_WITH_STATUS = 4


@dataclass(frozen=True, slots=True)
class Exited:
    """The process ran and ended."""

    code: int


@dataclass(frozen=True, slots=True)
class Failed:
    """There was no process, or it was lost; ``message`` is for the user."""

    message: str


Outcome = Exited | Failed


def render(outcome: Outcome, version: int) -> bytes:
    """The bytes of the error stream for a protocol version (0 for those before there were numbers)."""
    if version >= FIRST_VERSION_WITH_STATUS:
        return json.dumps(_status(outcome), separators=(",", ":")).encode()
    return _message(outcome).encode()


def _status(outcome: Outcome) -> dict[str, object]:
    if outcome == Exited(0):
        return {"metadata": {}, "status": "Success"}
    message = _message(outcome)
    failure: dict[str, object] = {"metadata": {}, "status": "Failure", "message": message}
    if isinstance(outcome, Exited):
        cause = {"reason": "ExitCode", "message": str(outcome.code)}
        return failure | {"reason": "NonZeroExitCode", "details": {"causes": [cause]}}
    details = {"causes": [{"message": outcome.message}]}
    return failure | {"reason": "InternalError", "details": details, "code": 500}


def _message(outcome: Outcome) -> str:
    if isinstance(outcome, Failed):
        return f"Internal error occurred: {outcome.message}"
    if outcome.code:
        return f"command terminated with non-zero exit code: exit status {outcome.code}"
    return ""
