"""What is wanted of a runtime's launching verbs, whoever does it: a program by its command line, or the
monitor itself (docs/adr/0026). No I/O, and small: the monitor imports it.

    {"verb": "create", "root": …, "systemd": …, "order": {…}, "files": {…}}    an Errand on the wire
"""

from collections.abc import Callable, Mapping
from typing import NamedTuple, TypeVar

T = TypeVar("T")
Json = Mapping[str, object]


class BadOrder(ValueError):
    """The message is none of these."""


class Create(NamedTuple):
    """Everything up to the program, which then waits for its start."""

    id: str
    bundle: str
    no_pivot: bool = False


class Start(NamedTuple):
    """Have the program of a created container executed."""

    id: str


class Exec(NamedTuple):
    """A further process, detached, in a container that runs; Files.process says which."""

    id: str


Order = Create | Start | Exec
_VERBS: dict[str, Callable[..., Order]] = {"create": Create, "start": Start, "exec": Exec}


class Files(NamedTuple):
    """Where what comes of an order goes, "" for nowhere: these outlive who carries it out and who is told.

    ``log`` gets the words of a failure, ``pid`` the number of the process that was made, ``console`` is the
    socket that a terminal's master is sent to, ``process`` has the process object of an exec.
    """

    log: str
    pid: str = ""
    console: str = ""
    process: str = ""


class Inside(NamedTuple):
    """An order that the monitor carries out by itself; ``root`` and ``systemd`` as in oci.run's Settings."""

    order: Order
    files: Files
    root: str
    systemd: bool

    def encode(self) -> dict[str, object]:
        """As JSON."""
        return {
            "verb": verb_of(self.order),
            "root": self.root,
            "systemd": self.systemd,
            "order": self.order._asdict(),
            "files": self.files._asdict(),
        }

    @classmethod
    def parse(cls, message: Json) -> "Inside":
        """
        Raises:
            BadOrder: a part is missing or of another kind.
        """
        verb, root, systemd = message.get("verb"), message.get("root"), message.get("systemd")
        kind = _VERBS.get(verb) if isinstance(verb, str) else None
        if kind is None or not isinstance(root, str) or not isinstance(systemd, bool):
            raise BadOrder(f"unknown order {verb!r}")
        order, files = _make(kind, message.get("order")), _make(Files, message.get("files"))
        return cls(order, files, root, systemd)


def verb_of(order: Order) -> str:
    """Its name, which is that of the command, too."""
    return type(order).__name__.lower()


def _make(kind: Callable[..., T], values: object) -> T:
    fields: Mapping[str, type] = kind.__annotations__
    if not isinstance(values, Mapping) or set(values) != set(fields):
        raise BadOrder(f"{values!r} is no {kind}")
    if any(type(values[name]) is not fields[name] for name in fields):
        raise BadOrder(f"{values!r} is no {kind}")
    return kind(**values)
