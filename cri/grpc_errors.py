"""The one place where error categories become gRPC statuses (grpc/doc/statuscodes.md)."""

import errno
import string
from collections.abc import Mapping

import grpc

from api import errors

_STATUS: tuple[tuple[type[BaseException], grpc.StatusCode], ...] = (
    (errors.InvalidArgument, grpc.StatusCode.INVALID_ARGUMENT),
    (errors.NotFound, grpc.StatusCode.NOT_FOUND),
    (errors.AlreadyExists, grpc.StatusCode.ALREADY_EXISTS),
    (errors.FailedPrecondition, grpc.StatusCode.FAILED_PRECONDITION),
    (errors.ResourceExhausted, grpc.StatusCode.RESOURCE_EXHAUSTED),
    (errors.DeadlineExceeded, grpc.StatusCode.DEADLINE_EXCEEDED),
    (errors.Unavailable, grpc.StatusCode.UNAVAILABLE),
    (errors.PermissionDenied, grpc.StatusCode.PERMISSION_DENIED),
    (errors.Unimplemented, grpc.StatusCode.UNIMPLEMENTED),
    (errors.Internal, grpc.StatusCode.INTERNAL),
    (TimeoutError, grpc.StatusCode.DEADLINE_EXCEEDED),
)

# What the kernel says to a step that nobody has judged before: whose fault it is.
_ERRNO: Mapping[int, grpc.StatusCode] = {
    **dict.fromkeys((errno.ENAMETOOLONG, errno.ELOOP, errno.ENOTDIR), grpc.StatusCode.INVALID_ARGUMENT),
    **dict.fromkeys(
        (errno.ENOSPC, errno.EDQUOT, errno.EMFILE, errno.ENFILE, errno.ENOMEM, errno.EFBIG),
        grpc.StatusCode.RESOURCE_EXHAUSTED,
    ),
    **dict.fromkeys(
        (errno.EROFS, errno.EACCES, errno.EPERM, errno.EBUSY), grpc.StatusCode.FAILED_PRECONDITION
    ),
}

# A status travels in the headers of HTTP/2, percent-encoded; with 8 KiB of them clients give up the call.
_DETAILS_LIMIT = 6_000
_PLAIN = frozenset(string.printable) - frozenset("%\t\n\r\x0b\x0c")

# Messages that the kubelet recognises by their first word only when the code is UNKNOWN
# (k8s.io/cri-api/pkg/errors).
_KUBELET_WORDS = ("RegistryUnavailable", "SignatureValidationFailed")


def status_of(error: BaseException) -> grpc.StatusCode:
    """The status code that stands for ``error``; what nobody foresaw is INTERNAL."""
    if str(error).startswith(_KUBELET_WORDS):
        return grpc.StatusCode.UNKNOWN
    for category, code in _STATUS:
        if isinstance(error, category):
            return code
    known = _ERRNO.get(error.errno or 0) if isinstance(error, OSError) else None
    return known or grpc.StatusCode.INTERNAL


def message_of(error: BaseException) -> str:
    """What the client reads: the error's own words, then the steps of a failed operation."""
    text = str(error) or type(error).__name__
    if not isinstance(error, errors.PodwrightError):
        text = f"{type(error).__name__}: {text}"
    notes = getattr(error, "__notes__", [])
    return _sendable(f"{text} [{'; '.join(notes)}]" if notes else text)


def _sendable(text: str) -> str:
    """What a status can carry: encodable, and cut where it would grow too long on its way."""
    text = text.encode("utf-8", "backslashreplace").decode()
    room = _DETAILS_LIMIT
    for place, character in enumerate(text):
        room -= 1 if character in _PLAIN else 3 * len(character.encode())
        if room < 0:
            return f"{text[:place]}…"
    return text
