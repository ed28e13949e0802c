"""Error categories that every layer raises and only cri/grpc_errors.py turns into gRPC statuses.

A concrete error lives beside the code that raises it, subclasses one category and says what
happened, to what, and the way out.
"""


class PodwrightError(Exception):
    """Base of every error that Podwright raises on purpose."""


class InvalidArgument(PodwrightError):
    """The request or the file is wrong in itself; repeating it will not help."""


class NotFound(PodwrightError):
    """What the request names is not there."""


class AlreadyExists(PodwrightError):
    """What the request would make is there already, and differs."""


class FailedPrecondition(PodwrightError):
    """The object is in a state in which this cannot be done."""


class ResourceExhausted(PodwrightError):
    """A limit was reached: space, addresses, tokens, sizes."""


class DeadlineExceeded(PodwrightError):
    """A step took longer than its configured time."""


class Unavailable(PodwrightError):
    """Something outside us does not answer; a later try may succeed."""


class PermissionDenied(PodwrightError):
    """A policy or the other side forbids it."""


class Unimplemented(PodwrightError):
    """Not part of this build."""


class Internal(PodwrightError):
    """Our own state or a tool that we run broke its promise."""
