"""What goes wrong, in words that callers of runc look for (docs/adr/0024)."""

from api.errors import AlreadyExists, FailedPrecondition, Internal, InvalidArgument, NotFound


class BadConfig(InvalidArgument):
    """config.json, a process file or an option says what cannot be."""


class NoSuchContainer(NotFound):
    """No container has this id."""

    def __init__(self, container_id: str) -> None:
        super().__init__(f'container "{container_id}" does not exist')


class ContainerExists(AlreadyExists):
    """The id is taken."""

    def __init__(self, container_id: str) -> None:
        super().__init__(f'container with given ID already exists: "{container_id}"')


class WrongState(FailedPrecondition):
    """The container is not in the state that the verb needs."""


class NotRunning(WrongState):
    """Its first process has ended."""

    def __init__(self) -> None:
        super().__init__("container not running")


class StepFailed(Internal):
    """A step of setting a process up failed; ``errno`` is 0 where the kernel had no part in it."""

    def __init__(self, message: str, errno: int = 0) -> None:
        super().__init__(message)
        self.errno = errno
