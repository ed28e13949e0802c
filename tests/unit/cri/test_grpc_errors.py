"""Error categories and the statuses that clients see."""

import errno
import urllib.parse

import grpc
import pytest

from api import errors
from cri.grpc_errors import message_of, status_of, steps_of, unforeseen
from cri.operations import Steps


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


@pytest.mark.parametrize(
    ("error", "code", "text"),
    [
        (
            OSError(errno.ENOSPC, "x", "/var/lib/x"),
            grpc.StatusCode.RESOURCE_EXHAUSTED,
            "/var/lib/x: No space left on device: make room on the file system that holds it",
        ),
        (OSError(errno.EDQUOT, "x"), grpc.StatusCode.RESOURCE_EXHAUSTED, "Disk quota exceeded: make room"),
        (OSError(errno.EROFS, "x", "/a"), grpc.StatusCode.INTERNAL, "/a: Read-only file system: mount the"),
        (OSError(errno.EMFILE, "x"), grpc.StatusCode.INTERNAL, "Too many open files: raise LimitNOFILE"),
    ],
)
def test_what_the_node_lacks_is_said_with_the_path_and_the_way_out(
    error: OSError, code: grpc.StatusCode, text: str
) -> None:
    assert status_of(error) is code
    assert message_of(error).startswith(text)
    assert unforeseen(error) is None


def test_a_traceback_is_for_what_nobody_foresaw() -> None:
    error = KeyError("x")
    assert unforeseen(error) is error
    assert unforeseen(errors.NotFound("x")) is None
    missing = FileNotFoundError(errno.ENOENT, "No such file", "/a")
    assert unforeseen(missing) is missing


def test_steps_are_for_the_log_and_other_notes_for_the_client_too() -> None:
    error = errors.Unavailable("no plugin")
    error.add_note(Steps("network 3.1 ms (failed)"))
    error.add_note("its undo failed too")
    assert message_of(error) == "no plugin [its undo failed too]"
    assert steps_of(error) == "network 3.1 ms (failed)"


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


@pytest.mark.parametrize(
    ("number", "code"),
    [
        (errno.ENAMETOOLONG, grpc.StatusCode.INVALID_ARGUMENT),
        (errno.ENOSPC, grpc.StatusCode.RESOURCE_EXHAUSTED),
        (errno.EBUSY, grpc.StatusCode.FAILED_PRECONDITION),
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
