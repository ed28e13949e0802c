"""What Podwright asks of an OCI runtime, and the errors that come of it (runtime-spec, runtime.md)."""

from collections.abc import Mapping
from enum import StrEnum
from pathlib import Path
from typing import Protocol

from api.errors import DeadlineExceeded, Internal, InvalidArgument, NotFound
from oci.orders import Files, Inside, Order

Json = Mapping[str, object]


class Kind(StrEnum):
    """Whose flags and texts to expect; an unknown runtime is treated as runc."""

    CRUN = "crun"
    RUNC = "runc"
    RUNSC = "runsc"

    @classmethod
    def of(cls, path: Path) -> "Kind":
        """Tell by the program's name."""
        return next((kind for kind in cls if kind.value in path.name), cls.RUNC)


class RuntimeFailed(Internal):
    """The runtime refused or failed; the text holds its own words."""

    def __init__(self, runtime: str, verb: str, container_id: str, message: str) -> None:
        super().__init__(f"{runtime} {verb} {container_id[:13]}: {message}")
        self.runtime = runtime
        self.verb = verb
        self.container_id = container_id
        self.message = message


class RuntimeRefused(RuntimeFailed, InvalidArgument):
    """It failed over what the request or the image asks for: a program, a directory, a mount, a value."""


# By these words of errno(3), and of Go's, runtimes tell what the kernel or they had against a request.
_REFUSALS = (
    "no such file or directory",
    "file exists",
    "not found",
    "not a directory",
    "is a directory",
    "permission denied",
    "operation not permitted",
    "exec format error",
    "too many levels of symbolic links",
    "argument list too long",
    "file name too long",
    "filename too long",
    "invalid argument",
    "numerical result out of range",
    "result not representable",
    "value too large",
    "device or resource busy",
    "operation not supported",
    "cannot be mounted because it is inside /proc",
    "invalid",
    "too low",
)


def failed(runtime: str, verb: str, container_id: str, message: str) -> RuntimeFailed:
    """The error for a runtime's words: the request's fault, or else the runtime's."""
    words = message.lower()
    asked = verb in ("create", "start", "exec") and any(one in words for one in _REFUSALS)
    return (RuntimeRefused if asked else RuntimeFailed)(runtime, verb, container_id, message)


class RuntimeTimedOut(DeadlineExceeded):
    """The runtime did not end in its time; it was killed with its process group."""

    def __init__(self, runtime: str, verb: str, container_id: str, timeout_s: float) -> None:
        super().__init__(f"{runtime} {verb} {container_id[:13]}: no end within {timeout_s:g} s, killed")


class ContainerGone(NotFound):
    """The runtime does not know this container (any more)."""

    def __init__(self, runtime: str, verb: str, container_id: str) -> None:
        super().__init__(f"{runtime} {verb} {container_id[:13]}: no such container")


class Runtime(Protocol):
    """A handler's runtime: what the monitor is to do for an order, and methods for what needs no monitor."""

    @property
    def name(self) -> str:
        """The handler's name in the configuration."""
        ...

    @property
    def path(self) -> Path:
        """The program; what is asked for can always be asked of it, too."""
        ...

    @property
    def kind(self) -> Kind:
        """Whose flags and texts to expect of the program."""
        ...

    def command(self, order: Order, files: Files) -> list[str]:
        """The command line that carries ``order`` out; with a console the process object's ``terminal`` is
        true."""
        ...

    def inside(self, order: Order, files: Files) -> Inside | None:
        """The same for the monitor to carry out by itself; None: it is to run the command."""
        ...

    def failure(
        self, verb: str, container_id: str, log: bytes, stderr: bytes
    ) -> RuntimeFailed | ContainerGone:
        """The error that a failed command's log file and standard error describe."""
        ...

    def prepare_process(self, process: Json) -> Json:
        """The process object as this runtime accepts it for exec."""
        ...

    async def kill(self, container_id: str, signal: int, *, everything: bool = False) -> None:
        """Signal the init process, or with ``everything`` each process of the container.

        Raises:
            ContainerGone: it has ended or was never there.
        """
        ...

    async def delete(self, container_id: str, *, force: bool = False) -> None:
        """Delete the runtime's state and the cgroup; one that is gone is fine."""
        ...

    async def update(self, container_id: str, resources: Json) -> None:
        """Set ``linux.resources`` (runtime-spec) of a running container; what is absent stays."""
        ...

    async def state(self, container_id: str) -> Json | None:
        """The runtime's state document (``status``: created, running, stopped, paused); None if unknown.

        One with ``started`` tells of a container that has ended whether it was ever started.
        """
        ...

    async def features(self) -> Json | None:
        """The runtime's features document (runtime-spec, features.md); None if it has no such command."""
        ...

    async def version(self) -> str:
        """What the runtime says its version is, in one line."""
        ...
