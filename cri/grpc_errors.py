"""The one place where error categories become gRPC statuses (grpc/doc/statuscodes.md)."""

import errno
import os
import string
from collections.abc import Mapping

import grpc

from api import errors
from api.text import printable
from cri.operations import Steps

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

# What the kernel says of a request to a step that nobody has judged before; what the node lacks is INTERNAL.
_ERRNO: Mapping[int, grpc.StatusCode] = {
    **dict.fromkeys((errno.ENAMETOOLONG, errno.ELOOP, errno.ENOTDIR), grpc.StatusCode.INVALID_ARGUMENT),
    **dict.fromkeys((errno.EACCES, errno.EPERM, errno.EBUSY), grpc.StatusCode.FAILED_PRECONDITION),
}

# A status travels in the headers of HTTP/2, percent-encoded; with 8 KiB of them clients give up the call.
_DETAILS_LIMIT = 6_000
_PLAIN = frozenset(string.printable) - frozenset("%\t\n\r\x0b\x0c")

_NO_ROOM = (errno.ENOSPC, errno.EDQUOT)
# What a node may lack, and what to do about it.
_WAY_OUT = {
    errno.ENOSPC: "make room on the file system that holds it",
    errno.EDQUOT: "make room, or raise the quota",
    errno.EROFS: "mount the file system writable, and look at the kernel's log for why it is not",
    errno.EIO: "look at the kernel's log: the disk fails",
    errno.EMFILE: "raise LimitNOFILE of the daemon",
    errno.ENFILE: "raise the sysctl fs.file-max",
    errno.ENOMEM: "the node has no memory left",
}

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
    if isinstance(error, OSError) and error.errno in _NO_ROOM:
        return grpc.StatusCode.RESOURCE_EXHAUSTED
    for category, code in _STATUS:
        if isinstance(error, category):
            return code
    known = _ERRNO.get(error.errno or 0) if isinstance(error, OSError) else None
    return known or grpc.StatusCode.INTERNAL


def message_of(error: BaseException) -> str:
    """What the client reads, and the kubelet shows as an event: the error's own words and what came of it.

    No durations: events with the same text are counted as one. The words may quote a registry, an image or a
    runtime: they are one line, bounded, with nothing in it that acts on a terminal.
    """
    text = str(error) or type(error).__name__
    if is_of_the_node(error):
        text = _of_the_node(error)
    elif not isinstance(error, errors.PodwrightError):
        text = f"{type(error).__name__}: {text}"
    text = printable(text, _MESSAGE_CHARACTERS)
    notes = [note for note in _notes(error) if not isinstance(note, Steps)]
    if notes:
        text += f" [{printable('; '.join(notes), _NOTES_CHARACTERS)}]"
    return _sendable(text)


def _sendable(text: str) -> str:
    """What a status can carry: encodable, and cut where it would grow too long on its way."""
    text = text.encode("utf-8", "backslashreplace").decode()
    room = _DETAILS_LIMIT
    for place, character in enumerate(text):
        room -= 1 if character in _PLAIN else 3 * len(character.encode())
        if room < 0:
            return f"{text[:place]}…"
    return text


def is_of_the_node(error: BaseException) -> bool:
    """Whether the node lacks something, as opposed to what nobody foresaw: a traceback would tell nothing."""
    return isinstance(error, OSError) and error.errno in _WAY_OUT


def unforeseen(error: BaseException) -> BaseException | None:
    """The error if its traceback belongs into the log (``exc_info``); None for one that says all itself."""
    foreseen = isinstance(error, errors.PodwrightError) or is_of_the_node(error)
    return None if foreseen or status_of(error) is not grpc.StatusCode.INTERNAL else error


def _of_the_node(error: BaseException) -> str:
    assert isinstance(error, OSError)
    assert error.errno is not None
    where = f"{error.filename}: " if error.filename else ""
    return f"{where}{os.strerror(error.errno)}: {_WAY_OUT[error.errno]}"


def steps_of(error: BaseException) -> str:
    """How far the operation came that failed with ``error``, and how long each step took: for the log."""
    return "; ".join(note for note in _notes(error) if isinstance(note, Steps))


def _notes(error: BaseException) -> list[str]:
    return list(getattr(error, "__notes__", []))
