"""The one place where error categories become gRPC statuses (grpc/doc/statuscodes.md)."""

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

# Bytes of an error's text; percent-encoded on the wire it may take three times as many.
MESSAGE_LIMIT = 4096

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
    return grpc.StatusCode.INTERNAL


def message_of(error: BaseException) -> str:
    """What the client reads: the error's own words, then the steps of a failed operation."""
    text = str(error) or type(error).__name__
    if not isinstance(error, errors.PodwrightError):
        text = f"{type(error).__name__}: {text}"
    notes = getattr(error, "__notes__", [])
    return _shortened(f"{text} [{'; '.join(notes)}]" if notes else text)


def _shortened(text: str) -> str:
    """Clients drop a call whose trailing metadata are larger than they expect, 8 KiB as a rule."""
    if len(text.encode(errors="replace")) <= MESSAGE_LIMIT:
        return text
    half = MESSAGE_LIMIT // 8  # of characters, each of four bytes at most
    return f"{text[: 3 * half // 2]} … {text[-half // 2 :]}"
