"""Error categories and the statuses that clients see."""

import grpc
import pytest

from api import errors
from cri.grpc_errors import message_of, status_of


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (errors.InvalidArgument("x"), grpc.StatusCode.INVALID_ARGUMENT),
        (errors.NotFound("x"), grpc.StatusCode.NOT_FOUND),
        (errors.AlreadyExists("x"), grpc.StatusCode.ALREADY_EXISTS),
        (errors.FailedPrecondition("x"), grpc.StatusCode.FAILED_PRECONDITION),
        (errors.ResourceExhausted("x"), grpc.StatusCode.RESOURCE_EXHAUSTED),
        (errors.DeadlineExceeded("x"), grpc.StatusCode.DEADLINE_EXCEEDED),
        (errors.Unavailable("x"), grpc.StatusCode.UNAVAILABLE),
        (errors.PermissionDenied("x"), grpc.StatusCode.PERMISSION_DENIED),
        (errors.Unimplemented("x"), grpc.StatusCode.UNIMPLEMENTED),
        (errors.Internal("x"), grpc.StatusCode.INTERNAL),
        (TimeoutError(), grpc.StatusCode.DEADLINE_EXCEEDED),
        (ZeroDivisionError("x"), grpc.StatusCode.INTERNAL),
        (errors.Unavailable("RegistryUnavailable: connection refused"), grpc.StatusCode.UNKNOWN),
    ],
)
def test_each_category_has_its_status(error: Exception, code: grpc.StatusCode) -> None:
    assert status_of(error) is code


def test_every_category_is_mapped() -> None:
    for category in errors.PodwrightError.__subclasses__():
        if category.__module__ == errors.__name__ and category is not errors.Internal:
            assert status_of(category("x")) is not grpc.StatusCode.INTERNAL, category


def test_an_unforeseen_error_names_its_type() -> None:
    assert message_of(KeyError("bridge")) == "KeyError: 'bridge'"
    assert message_of(errors.NotFound("no container")) == "no container"


def test_what_a_stranger_says_is_one_bounded_line() -> None:
    error = errors.NotFound("no\nsuch \x1b[31mimage\u202e\ud800" + "x" * 100_000)
    error.add_note("network\n 3 ms")
    text = message_of(error)
    assert text.startswith("no\\nsuch \\x1b[31mimage\\u202e\\ud800xxx")
    assert text.endswith(" [network\\n 3 ms]")
    assert len(text.encode()) < 8000
