"""The one place where error categories become gRPC statuses (grpc/doc/statuscodes.md)."""

import grpc

from api import errors
from api.text import printable

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

# Messages that the kubelet recognises by their first word only when the code is UNKNOWN
# (k8s.io/cri-api/pkg/errors).
_KUBELET_WORDS = ("RegistryUnavailable", "SignatureValidationFailed")


# Details travel in HTTP/2 trailers, of which clients take 8 KiB or 16.
_MESSAGE_CHARACTERS = 3000
_NOTES_CHARACTERS = 1500


def status_of(error: BaseException) -> grpc.StatusCode:
    """The status code that stands for ``error``; what nobody foresaw is INTERNAL."""
    if str(error).startswith(_KUBELET_WORDS):
        return grpc.StatusCode.UNKNOWN
    for category, code in _STATUS:
        if isinstance(error, category):
            return code
    return grpc.StatusCode.INTERNAL


def message_of(error: BaseException) -> str:
    """What the client reads: the error's own words, then the steps of a failed operation.

    The words may quote a registry, an image or a runtime: they are one line, bounded, with nothing in it that
    acts on a terminal.
    """
    text = str(error) or type(error).__name__
    if not isinstance(error, errors.PodwrightError):
        text = f"{type(error).__name__}: {text}"
    text = printable(text, _MESSAGE_CHARACTERS)
    notes = getattr(error, "__notes__", [])
    return f"{text} [{printable('; '.join(notes), _NOTES_CHARACTERS)}]" if notes else text
