"""What the monitor answers to the launching verbs, as values; and the errors of commands that failed."""

from collections.abc import Mapping
from typing import NamedTuple

from oci.monitor.protocol import ProtocolError, Record, parse_record
from oci.runtime import ContainerGone, Runtime, RuntimeFailed, RuntimeTimedOut

Json = Mapping[str, object]


class CommandReply(NamedTuple):
    """How a runtime's command ended: ``status`` None means that this could not be known."""

    status: int | None
    timed_out: bool
    log: str = ""
    stderr: str = ""

    @classmethod
    def of(cls, result: Json) -> "CommandReply":
        """
        Raises:
            ProtocolError: it says nothing of a command.
        """
        return cls(
            integer(result, "status"),
            bool(result.get("timed_out")),
            str(result.get("log", "")),
            str(result.get("stderr", "")),
        )

    def require_success(self, runtime: Runtime, verb: str, container_id: str, timeout_s: float) -> None:
        """
        Raises:
            RuntimeTimedOut, RuntimeFailed, ContainerGone: it failed, in the runtime's own words.
        """
        if (error := self.error(runtime, verb, container_id, timeout_s)) is not None:
            raise error

    def error(
        self, runtime: Runtime, verb: str, container_id: str, timeout_s: float
    ) -> RuntimeTimedOut | RuntimeFailed | ContainerGone | None:
        """Why it failed; None if it succeeded."""
        if self.timed_out:
            return RuntimeTimedOut(runtime.name, verb, container_id, timeout_s)
        if self.status != 0:
            return runtime.failure(verb, container_id, self.log.encode(), self.stderr.encode())
        return None


class CreateReply(NamedTuple):
    """Of a create that has succeeded: the container, and the names of the descriptors that came along."""

    record: Record
    streams: list[str]

    @classmethod
    def of(cls, result: Json) -> "CreateReply":
        """
        Raises:
            ProtocolError: it is none.
        """
        streams = result.get("streams")
        if not isinstance(streams, list):
            raise ProtocolError("a created container without streams")
        return cls(parse_record(result.get("record")), [str(name) for name in streams])


def integer(result: Json, key: str) -> int:
    """
    Raises:
        ProtocolError: there is none.
    """
    value = result.get(key)
    if not isinstance(value, int):
        raise ProtocolError(f"a reply's {key!r} is {value!r}")
    return value
