"""What the keeper holds of containers and execs, as bytes, for the next monitor to go on. No I/O here.

A monitor may find what an older or newer one has put: unknown fields are ignored, and absent ones of a
:class:`Past` have their defaults.
"""

import json
from typing import NamedTuple

from oci.monitor.protocol import ProtocolError, Record, decode, parse_record


class Past(NamedTuple):
    """What earlier monitors knew of a container beside its record: when its start began, the file that counts
    its OOM kills, and how it ended, if it did."""

    starting_at_ns: int = 0
    oom_file: str | None = None
    ended_at_ns: int = 0
    exit_code: int | None = None
    oom_killed: bool = False


UNKNOWN_PAST = Past()


class KeptContainer(NamedTuple):
    """A live container; ``streams`` names its descriptors, as in protocol.Adopt."""

    record: Record
    streams: list[str]
    past: Past


class KeptExec(NamedTuple):
    """A process that an exec made, whose pidfd comes along, and when it is killed (monotonic; 0: never)."""

    exec_id: str
    pid: int
    deadline: float


def encode(kept: KeptContainer | KeptExec) -> bytes:
    """The bytes for the keeper."""
    if isinstance(kept, KeptExec):
        fields: dict[str, object] = {"exec": kept._asdict()}
    else:
        fields = {"record": kept.record._asdict(), "streams": kept.streams, "past": kept.past._asdict()}
    return json.dumps(fields, separators=(",", ":")).encode()


def parse(value: bytes) -> KeptContainer | KeptExec:
    """Read them back.

    Raises:
        ProtocolError: they make no sense.
    """
    fields = decode(value)
    if "exec" in fields:
        return KeptExec._make(_typed(fields["exec"], KeptExec("", 0, 0.0)))
    streams = fields.get("streams")
    if not isinstance(streams, list) or not all(isinstance(name, str) for name in streams):
        raise ProtocolError("streams are missing")
    return KeptContainer(
        parse_record(fields.get("record")), streams, Past._make(_typed(fields.get("past", {}), UNKNOWN_PAST))
    )


def _typed(found: object, defaults: Past | KeptExec) -> list[object]:
    """The fields of ``defaults`` as they were found, each of the type that its default has, or None's."""
    if not isinstance(found, dict):
        raise ProtocolError("an object is missing")
    values = []
    for name, default in defaults._asdict().items():
        value = found.get(name, default)
        allowed = _OPTIONAL.get(name) or ((int, float) if isinstance(default, float) else type(default))
        if not isinstance(value, allowed):
            raise ProtocolError(f"field {name!r} is of the wrong type")
        values.append(value)
    return values


_OPTIONAL: dict[str, tuple[type, ...]] = {"oom_file": (str, type(None)), "exit_code": (int, type(None))}
