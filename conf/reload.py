"""What a configuration that was read again changes while the daemon runs, and what has to wait; pure.

Options of the schema with ``reload`` take effect, key by key. A handler that is new is added; one that is
gone from the files stays until the restart, for pods may need it.
"""

from collections.abc import Iterator
from dataclasses import dataclass, fields, is_dataclass, replace
from types import MappingProxyType
from typing import Any

from conf.options import options_of
from conf.schema import Config, RuntimeHandler


@dataclass(frozen=True, slots=True)
class Reloaded:
    """The configuration to run with from now on, and the dotted names of what is different in the files.

    Attributes:
        config: The running one with what may change.
        applied: Changed options that take effect.
        waiting: Changed options that take effect after a restart.
    """

    config: Config
    applied: tuple[str, ...]
    waiting: tuple[str, ...]


def merge(running: Config, wanted: Config) -> Reloaded:
    """Bring ``running`` as near to ``wanted`` as is possible without a restart."""
    changes = _Changes()
    merged = changes.table("crio", running, wanted)
    return Reloaded(merged, tuple(changes.applied), tuple(changes.waiting))


class _Changes:
    """Collects the names while the tables are merged."""

    def __init__(self) -> None:
        self.applied: list[str] = []
        self.waiting: list[str] = []

    def table(self, name: str, running: Any, wanted: Any) -> Any:
        """One table with those below it."""
        new: dict[str, Any] = dict(self._options(name, running, wanted))
        for each in fields(running):
            value = getattr(running, each.name)
            if is_dataclass(value) and each.name not in options_of(type(running)):
                new[each.name] = self.table(f"{name}.{each.name}", value, getattr(wanted, each.name))
            elif each.name == "runtimes":
                new[each.name] = self._handlers(f"{name}.runtimes", value, wanted.runtimes)
        return replace(running, **new)

    def _options(self, name: str, running: Any, wanted: Any) -> Iterator[tuple[str, Any]]:
        for key, option in options_of(type(running)).items():
            value = getattr(wanted, key)
            if value == getattr(running, key):
                continue
            (self.applied if option.reload else self.waiting).append(f"{name}.{key}")
            if option.reload:
                yield key, value

    def _handlers(self, name: str, running: Any, wanted: Any) -> MappingProxyType[str, RuntimeHandler]:
        merged: dict[str, RuntimeHandler] = dict(running)
        for handler, table in wanted.items():
            if handler in running:
                merged[handler] = self.table(f"{name}.{handler}", running[handler], table)
            else:
                merged[handler] = table
                self.applied.append(f"{name}.{handler}")
        self.waiting += [f"{name}.{handler}" for handler in running if handler not in wanted]
        return MappingProxyType(merged)
