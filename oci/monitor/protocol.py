"""The words between daemon and monitor: one JSON object a message, descriptors beside it. No I/O here.

    request   {"op": "create", "rid": 7, …fields of Create…}
    reply     {"rid": 7, "ok": {…}}  or  {"rid": 7, "error": {"kind": "not_found", "message": "…"}}
    event     {"event": "exited", …}
              {"event": "begun", "rid": 7, "pid": …}   beside it the pidfd of the runtime's command that
                                                       works on request 7 and may outlive the monitor

A request is one of the NamedTuples below. What a reply's or a request's descriptors are stands in its
docstring. A monitor outlives the daemon that started it, so that releases meet: what one can do beyond
VERSION it says in its abilities, and a daemon has an older one replaced in place (oci/monitor/upgrade.py).
VERSION is raised only if an older peer would misread a message.
"""

import json
from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

VERSION = 2
MESSAGE_LIMIT = 128 * 1024  # bytes; well under the default socket buffer, which bounds one message
LIST_PART = 64  # records in one reply to List, at most
LIST_BYTES = MESSAGE_LIMIT // 2  # of the records in it, unless one alone takes more

Json = Mapping[str, object]


class ProtocolError(ValueError):
    """The peer sent something that is not a message of this protocol."""


class Hello(NamedTuple):
    """Opens a connection; the reply names version and pid, and what monitors of protocol 2 did not say at
    first: ``abilities`` beyond that version, and the ``release`` that runs (oci/monitor/release.py)."""

    version: int
    events: bool


class Create(NamedTuple):
    """Run ``argv`` (the runtime's create) with fresh pipes or a console; reply: see CommandResult fields plus
    pid, start_time and ``streams``, the names of the descriptors that come along (pidfd, stdin, journal …).
    The pipes are given to ``stdio_uid`` and ``stdio_gid``. See Record for what begins with ``log_``.

    Where ``inside`` (oci.orders.Inside) is given, here and below, a monitor that can does that by itself;
    ``argv`` says the same, for those that cannot, and names who does in ps(1)."""

    id: str
    runtime: str
    argv: list[str]
    pid_file: str
    runtime_log: str
    console_socket: str | None
    log_path: str | None
    log_device: int
    log_size_max: int
    log_rate: int
    log_timeout_s: float
    stdin: bool
    stdin_once: bool
    timeout_s: float
    stdio_uid: int
    stdio_gid: int
    inside: dict[str, object] | None = None


class Start(NamedTuple):
    """Run ``argv`` (the runtime's start); a success makes the record's state ``running``."""

    id: str
    argv: list[str]
    runtime_log: str
    timeout_s: float
    inside: dict[str, object] | None = None


class Exec(NamedTuple):
    """Run ``argv`` (the runtime's detached exec) on the descriptors that come along, as named by ``streams``.

    The reply carries the process's pidfd, and the console's master after it if there is a console.
    ``run_timeout_s`` of 0 means no limit. ``oom_score_adj`` is the container's: crun's exec does not set it.
    """

    id: str
    exec_id: str
    argv: list[str]
    process_file: str
    pid_file: str
    runtime_log: str
    console_socket: str | None
    streams: list[str]
    timeout_s: float
    run_timeout_s: float
    oom_score_adj: int
    inside: dict[str, object] | None = None


class Signal(NamedTuple):
    """Send a signal to the container's first process."""

    id: str
    signal: int


class ExecKill(NamedTuple):
    """SIGKILL to an exec's process group."""

    exec_id: str


class ReopenLog(NamedTuple):
    """Open the log file anew at its path, creating it if need be; answered within the log's time."""

    id: str


class Attach(NamedTuple):
    """Copy output to the descriptors that come along (``streams``: stdout, stderr); with ``stdin`` the reply
    carries the container's stdin (or console)."""

    id: str
    stdin: bool
    streams: list[str]


class Detach(NamedTuple):
    """End an attachment; its ``stdin_once`` closes the container's stdin."""

    id: str
    attachment: int


class CloseStdin(NamedTuple):
    """Close the container's stdin."""

    id: str


class Resize(NamedTuple):
    """Set the console's window size, in characters."""

    id: str
    width: int
    height: int


class List(NamedTuple):
    """The records whose id is greater than ``after``, at most LIST_PART of them, in order."""

    after: str


class Handles(NamedTuple):
    """Duplicates of all descriptors of a live container, named by ``streams`` in the reply."""

    id: str


class Forget(NamedTuple):
    """Drop an ended container's record and exit file; unknown ones are fine."""

    id: str


class Adopt(NamedTuple):
    """Take a live container over from a monitor that died: its record, and its descriptors by ``streams``,
    the journal of its log's file system among them."""

    record: dict[str, object]
    streams: list[str]


class Reaped(NamedTuple):
    """The daemon had to reap this adopted container's first process; its wait status code."""

    id: str
    exit_code: int


class Started(NamedTuple):
    """The runtime's start of this adopted container, which an earlier monitor began, has succeeded."""

    id: str


class AdoptExec(NamedTuple):
    """Take an exec over from a monitor that died, whose pidfd comes along: it is killed with its group after
    ``left_s`` (0: never), daemon or no daemon, and by ExecKill. Its end is told to nobody."""

    exec_id: str
    pid: int
    left_s: float


class LogPlace(NamedTuple):
    """``settle``, ``prepare`` or ``remove`` a log directory (oci/monitor/places.py), which the reply answers
    with ``path``, ``device`` or nothing; refused after ``timeout_s``."""

    verb: str
    directory: str
    timeout_s: float


class StuckLogs(NamedTuple):
    """The logs that their file systems have kept waiting for over ``age_s``, at most LIST_PART of them."""

    age_s: float


class Upgrade(NamedTuple):
    """Execute ``argv``, another version of the monitor, in place, with everything kept; answered by that one
    as Hello is, or refused if there is no quiet moment within ``timeout_s``. For one with that ability."""

    argv: list[str]
    timeout_s: float


class Settle(NamedTuple):
    """Answered once no runtime command runs: those that a lost daemon began have come to their end."""


class Shutdown(NamedTuple):
    """End if no container is live; otherwise an error."""


Request = (
    Hello
    | Create
    | Start
    | Exec
    | Signal
    | ExecKill
    | ReopenLog
    | Attach
    | Detach
    | CloseStdin
    | Resize
    | List
    | Handles
    | Forget
    | Adopt
    | Reaped
    | Started
    | AdoptExec
    | LogPlace
    | StuckLogs
    | Settle
    | Upgrade
    | Shutdown
)
_REQUESTS: dict[str, type[Request]] = {
    "hello": Hello,
    "create": Create,
    "start": Start,
    "exec": Exec,
    "signal": Signal,
    "exec_kill": ExecKill,
    "reopen_log": ReopenLog,
    "attach": Attach,
    "detach": Detach,
    "close_stdin": CloseStdin,
    "resize": Resize,
    "list": List,
    "handles": Handles,
    "forget": Forget,
    "adopt": Adopt,
    "reaped": Reaped,
    "started": Started,
    "adopt_exec": AdoptExec,
    "log_place": LogPlace,
    "stuck_logs": StuckLogs,
    "settle": Settle,
    "upgrade": Upgrade,
    "shutdown": Shutdown,
}
_OPS = {kind: op for op, kind in _REQUESTS.items()}


class Record(NamedTuple):
    """What the monitor knows of one container; also the content of its exit file."""

    id: str
    runtime: str
    pid: int
    start_time: int  # clock ticks after boot
    state: str  # created, running, exited
    log_path: str | None  # absolute; no part of it may be a symbolic link
    log_device: int  # the file system (st_dev) of its directory; 0 without a log
    log_size_max: int  # bytes; 0: no limit
    log_rate: int  # bytes a second that are read of it at most; 0: no limit
    log_timeout_s: float  # for its file system to open it, and to take what it lacks when the container ends
    terminal: bool
    stdin_once: bool
    created_at_ns: int
    started_at_ns: int  # 0: never; of one that is created: an earlier monitor died while it was started
    finished_at_ns: int  # 0: not yet
    exit_code: int | None  # 128 + n after signal n; None: not ended, or ended where nobody could see it
    oom_killed: bool


def _is_int(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _is_strings(value: object) -> bool:
    return isinstance(value, list) and all(isinstance(item, str) for item in value)


_CHECKS: dict[object, Callable[[object], bool]] = {
    str: lambda value: isinstance(value, str),
    int: _is_int,
    bool: lambda value: isinstance(value, bool),
    float: lambda value: _is_int(value) or isinstance(value, float),
    str | None: lambda value: value is None or isinstance(value, str),
    int | None: lambda value: value is None or _is_int(value),
    list[str]: _is_strings,
    dict[str, object]: lambda value: isinstance(value, dict),
    dict[str, object] | None: lambda value: value is None or isinstance(value, dict),
}


def _fields(kind: type[Request] | type[Record], message: Json) -> list[object]:
    """The message's values in the order of the fields; each is there and has its type, but for those that
    peers of before did not send."""
    values = []
    for name, annotation in kind.__annotations__.items():
        if name not in message and name in kind._field_defaults:
            values.append(kind._field_defaults[name])
            continue
        if name not in message or not _CHECKS[annotation](message[name]):
            raise ProtocolError(f"{kind.__name__}: field {name!r} is missing or of the wrong type")
        values.append(message[name])
    return values


def parse_record(message: object) -> Record:
    """Read a record from decoded JSON.

    Raises:
        ProtocolError: a field is missing or has the wrong type.
    """
    if not isinstance(message, dict):
        raise ProtocolError("a record is a JSON object")
    return Record._make(_fields(Record, message))


def decode(data: bytes) -> dict[str, object]:
    """Read one message as a JSON object.

    Raises:
        ProtocolError: it is none.
    """
    try:
        message = json.loads(data)
    except (ValueError, RecursionError) as error:
        raise ProtocolError(f"not JSON: {error}") from error
    if not isinstance(message, dict):
        raise ProtocolError("a message is a JSON object")
    return message


def request_id(message: Json) -> int:
    """The id by which a reply finds its request.

    Raises:
        ProtocolError: there is none.
    """
    rid = message.get("rid")
    if not isinstance(rid, int):
        raise ProtocolError("a request needs an integer rid")
    return rid


def parse_request(message: Json) -> Request:
    """Make the NamedTuple of a decoded request; unknown extra fields are ignored.

    Raises:
        ProtocolError: the operation is unknown, or a field is missing or has the wrong type.
    """
    op = message.get("op")
    kind = _REQUESTS.get(op) if isinstance(op, str) else None
    if kind is None:
        raise ProtocolError(f"unknown operation {op!r}")
    return kind._make(_fields(kind, message))


def encode_request(rid: int, request: Request) -> bytes:
    """The bytes of a request."""
    return _encode({"op": _OPS[type(request)], "rid": rid, **request._asdict()})


def encode_reply(rid: int, result: Json) -> bytes:
    """The bytes of a successful reply."""
    return _encode({"rid": rid, "ok": result})


def encode_error(rid: int, kind: str, message: str) -> bytes:
    """The bytes of a reply that tells a failure; ``kind`` is one of the daemon's error categories."""
    return _encode({"rid": rid, "error": {"kind": kind, "message": message[:4096]}})


def encode_event(name: str, fields: Json) -> bytes:
    """The bytes of an event."""
    return _encode({"event": name, **fields})


def fitting(records: Sequence[Record]) -> list[Json]:
    """The first records as one message can carry them: with long paths these are fewer than given."""
    taken: list[Json] = []
    size = 0
    for record in records:
        fields = record._asdict()
        size += len(json.dumps(fields, separators=(",", ":")))
        if taken and size > LIST_BYTES:
            break
        taken.append(fields)
    return taken


def _encode(message: Json) -> bytes:
    """The bytes of one message.

    Raises:
        ProtocolError: it would be longer than MESSAGE_LIMIT.
    """
    data = json.dumps(message, separators=(",", ":")).encode()
    if len(data) > MESSAGE_LIMIT:
        raise ProtocolError(f"message of {len(data)} bytes exceeds {MESSAGE_LIMIT}")
    return data
