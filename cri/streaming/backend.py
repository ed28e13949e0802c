"""What the streaming server asks of the rest of the runtime, and the requests that it hands over.

The three requests are the CRI's ExecRequest, AttachRequest and PortForwardRequest, checked
(api.proto; the argument checks are those of the common CRI streaming library).
"""

import socket
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol, Self

from api.errors import InvalidArgument


class InvalidStreamRequest(InvalidArgument):
    """An Exec, Attach or PortForward request contradicts itself or lacks its id."""


@dataclass(frozen=True, slots=True)
class Streams:
    """Which streams a client wants."""

    stdin: bool = False
    stdout: bool = False
    stderr: bool = False
    tty: bool = False

    def check(self) -> None:
        """A terminal has one output; and something must flow.

        Raises:
            InvalidStreamRequest: tty together with stderr, or no stream at all.
        """
        if self.tty and self.stderr:
            raise InvalidStreamRequest(
                "tty and stderr cannot both be true; a terminal has one output: clear stderr"
            )
        if not (self.stdin or self.stdout or self.stderr):
            raise InvalidStreamRequest("one of stdin, stdout and stderr must be true")


@dataclass(frozen=True, slots=True)
class ExecRequest:
    """Run ``command`` in a container."""

    container_id: str
    command: tuple[str, ...]
    streams: Streams

    @classmethod
    def checked(cls, container_id: str, command: Sequence[str], streams: Streams) -> Self:
        """The request, or InvalidStreamRequest."""
        _need(container_id, "container_id")
        streams.check()
        return cls(container_id, tuple(command), streams)


@dataclass(frozen=True, slots=True)
class AttachRequest:
    """Join the streams of a container's own process."""

    container_id: str
    streams: Streams

    @classmethod
    def checked(cls, container_id: str, streams: Streams) -> Self:
        """The request, or InvalidStreamRequest."""
        _need(container_id, "container_id")
        streams.check()
        return cls(container_id, streams)


@dataclass(frozen=True, slots=True)
class PortForwardRequest:
    """Reach ports of a pod; ``ports`` binds clients with channels, others name theirs stream by stream."""

    sandbox_id: str
    ports: tuple[int, ...] = ()

    @classmethod
    def checked(cls, sandbox_id: str, ports: Sequence[int] = ()) -> Self:
        """The request, or InvalidStreamRequest."""
        _need(sandbox_id, "pod_sandbox_id")
        if wrong := [port for port in ports if not 0 < port <= 0xFFFF]:
            raise InvalidStreamRequest(f"port must be between 1 and 65535, not {wrong[0]}")
        return cls(sandbox_id, tuple(ports))


StreamRequest = ExecRequest | AttachRequest | PortForwardRequest


def _need(value: str, field: str) -> None:
    if not value:
        raise InvalidStreamRequest(f"missing required {field}")


@dataclass(frozen=True, slots=True)
class Stdio:
    """Raw descriptors of one session: pipes or sockets, or one pseudo-terminal master and nothing else.

    From the moment a session is returned they belong to the streaming server, which makes them
    non-blocking and closes each once. A closed ``stdin`` is how the process learns of the end.
    """

    stdin: int | None = None
    stdout: int | None = None
    stderr: int | None = None
    tty: int | None = None

    def all(self) -> list[int]:
        """Those that are there."""
        return [fd for fd in (self.stdin, self.stdout, self.stderr, self.tty) if fd is not None]


class Session(Protocol):
    """A process that a client talks to."""

    @property
    def stdio(self) -> Stdio:
        """Its descriptors; always the same object."""

    async def wait(self) -> int:
        """The exit code, once the process has ended; may be called again."""

    async def resize(self, width: int, height: int) -> None:
        """Set the terminal's size in characters; without a terminal, nothing."""

    async def input_ended(self) -> None:
        """The client's input is over, and ``stdin`` closed; for who notices that no other way."""

    async def close(self, *, kill: bool) -> None:
        """The client is done with it, after the descriptors were closed; ``kill`` ends the process.

        Called exactly once. Without ``kill`` an exec'd process that outlives its client goes on until
        it reads the end of its input or writes to a closed pipe; a container is never touched by this.
        """


class Backend(Protocol):
    """The processes and networks behind the streams; errors are ``api.errors`` with a text for the user."""

    async def exec(self, request: ExecRequest) -> Session:
        """Start a process in a running container."""

    async def attach(self, request: AttachRequest) -> Session:
        """Join a running container; several clients may. ``wait`` returns when the container ends."""

    async def dial(self, sandbox_id: str, port: int) -> socket.socket:
        """A non-blocking TCP socket connected to the pod's localhost, IPv4 first; the caller owns it."""
