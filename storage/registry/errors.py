"""What can go wrong in a conversation with a registry."""

from dataclasses import dataclass

from api.errors import (
    DeadlineExceeded,
    InvalidArgument,
    NotFound,
    PermissionDenied,
    PodwrightError,
    Unavailable,
)


@dataclass(frozen=True, slots=True)
class Answer:
    """Where an error comes from: registry, repository, HTTP status and the registry's own words."""

    registry: str
    repository: str
    status: int = 0
    message: str = ""

    def __str__(self) -> str:
        status = f": HTTP {self.status}" if self.status else ""
        return f"{self.registry}/{self.repository}{status}{': ' + self.message if self.message else ''}"


class RegistryError(PodwrightError):
    """Base of these errors; ``answer`` has the parts of the message."""

    def __init__(self, text: str, answer: Answer) -> None:
        super().__init__(f"{text}: {answer}")
        self.answer = answer


class RegistryUnavailable(RegistryError, Unavailable):
    """The registry does not answer, or only with errors; the text is what the kubelet looks for."""

    def __init__(self, text: str, answer: Answer) -> None:
        super().__init__(f"RegistryUnavailable: {text}", answer)


class Unauthorized(RegistryError, PermissionDenied):
    """The registry wants other credentials, or gives these no access."""


class ManifestUnknown(RegistryError, NotFound):
    """The registry has no such repository, tag, manifest or blob."""


class TooManyRequests(RegistryError, Unavailable):
    """The registry limits the rate, for longer than a pull waits: the kubelet comes back later."""


class UnexpectedAnswer(RegistryError, InvalidArgument):
    """The registry answered with something that the protocol does not have."""


class PullStalled(RegistryError, DeadlineExceeded):
    """No byte came for the whole of the progress timeout."""
