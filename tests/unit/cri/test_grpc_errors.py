"""Error categories and the statuses that clients see."""

import errno
import urllib.parse

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


@pytest.mark.parametrize(
    ("number", "code"),
    [
        (errno.ENAMETOOLONG, grpc.StatusCode.INVALID_ARGUMENT),
        (errno.ENOSPC, grpc.StatusCode.RESOURCE_EXHAUSTED),
        (errno.EROFS, grpc.StatusCode.FAILED_PRECONDITION),
        (errno.EIO, grpc.StatusCode.INTERNAL),
        (None, grpc.StatusCode.INTERNAL),
    ],
)
def test_what_the_kernel_says_has_a_status_too(number: int | None, code: grpc.StatusCode) -> None:
    error = OSError("x") if number is None else OSError(number, "x")
    assert status_of(error) is code


@pytest.mark.parametrize(
    "text", ["x" * 100_000, "é" * 100_000, "\U0010ffff" * 100_000, "%" * 9000, "\n" * 9000]
)
def test_details_fit_into_the_headers_of_http(text: str) -> None:
    sent = message_of(errors.InvalidArgument(text))
    assert sent.endswith("…")
    assert len(urllib.parse.quote(sent)) < 3 * 6100
    assert sum(3 if byte < 32 or byte > 126 or byte == 37 else 1 for byte in sent.encode()) < 6100


def test_details_can_be_encoded() -> None:
    assert message_of(errors.InvalidArgument("a\ud800b")) == "a\\ud800b"
