"""From TOML tables to settings: which table and key is what, and where it was written.

Pure: text and parsed TOML in, settings and problems out. A table is named by a tuple, () for [crio] itself,
("runtime", "runtimes", "crun") for [crio.runtime.runtimes.crun].
"""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, is_dataclass
from typing import Any, get_type_hints

from conf.options import Option, options_of
from conf.schema import Config, RuntimeHandler
from conf.unsupported import ANY_KEY, ANY_TABLE, UNSUPPORTED, Ignored
from conf.values import Seconds, WrongValue, closest, convert, nearest

Table = tuple[str, ...]

HANDLERS: Table = ("runtime", "runtimes")
_WORKLOADS: Table = ("runtime", "workloads")
_TOP = "crio"
_HEADER = re.compile(r"\s*\[\[?\s*([^\]]+?)\s*\]")
_KEY = re.compile(r"\s*([A-Za-z0-9_.\"'-]+)\s*=")


@dataclass(frozen=True, slots=True)
class Setting:
    """One key with its converted value. ``source`` is ``FILE:LINE``, or what stands for a file."""

    table: Table
    key: str
    value: Any
    source: str


@dataclass(frozen=True, slots=True)
class Neglected:
    """A key without effect that a source holds, with its converted value.

    ``shown`` is its dotted name, or that of the whole table where the table is without effect.
    """

    table: Table
    key: str
    value: Any
    source: str
    entry: Ignored
    shown: str


@dataclass(slots=True)
class Reading:
    """What one source says: filled while it is walked.

    Attributes:
        settings: In the order of the source.
        tables: Every table that is mentioned; an empty handler table declares the handler.
        problems: One line each, with source, table and key.
        ignored: Keys of CRI-O without effect.
    """

    settings: list[Setting] = field(default_factory=list)
    tables: list[Table] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)
    ignored: list["Neglected"] = field(default_factory=list)


def dotted(table: Table, key: str = "") -> str:
    """``crio.runtime.log_level``, as messages and ``--set`` name an option."""
    return ".".join((_TOP, *table, *([key] if key else [])))


def schema_tables() -> Mapping[Table, type[Any]]:
    """The dataclass of every table; that of the handlers under ANY_TABLE."""
    hints = get_type_hints(Config)
    tables: dict[Table, type[Any]] = {(): Config}
    tables |= {(name,): hint for name, hint in hints.items() if is_dataclass(hint) and isinstance(hint, type)}
    return tables | {(*HANDLERS, ANY_TABLE): RuntimeHandler}


def pattern_of(table: Table) -> Table:
    """The name under which a table is known: the name of a handler or workload becomes ANY_TABLE."""
    return (*table[:2], ANY_TABLE, *table[3:]) if table[:2] in (HANDLERS, _WORKLOADS) and table[2:] else table


class Walker:
    """Reads one parsed source after the other against the schema; keeps nothing between them."""

    def __init__(self) -> None:
        self._kinds = {pattern: get_type_hints(kind) for pattern, kind in schema_tables().items()}
        self._options: Mapping[Table, Mapping[str, Option]] = {
            pattern: options_of(kind) for pattern, kind in schema_tables().items()
        }

    def read(self, document: Mapping[str, Any], name: str, text: str = "") -> Reading:
        """Read one document: its tables may stand below ``crio`` or beside it.

        Args:
            document: Parsed TOML.
            name: The file's path, for messages.
            text: The file's text, to find lines; may be empty.
        """
        reading = Reading()
        locator = Locator(name, text)
        beside = {key: value for key, value in document.items() if key != _TOP}
        for part, bare in ((document.get(_TOP, {}), False), (beside, True)):
            if not isinstance(part, dict):
                reading.problems.append(f"{name}: {_TOP} must be a table")
                continue
            self._walk((), part, reading, locator, bare)
        self._find_doubles(reading)
        return reading

    def assign(self, table: Table, key: str, raw: object, source: str) -> Reading:
        """Read a single key from elsewhere than a file."""
        reading = Reading()
        parts: Any = {key: raw}
        for name in reversed(table):
            parts = {name: parts}
        self._walk((), parts, reading, Locator(source, ""), False)
        return reading

    def _walk(
        self, table: Table, content: Mapping[str, Any], reading: Reading, where: "Locator", bare: bool
    ) -> None:
        if table:
            reading.tables.append(table)
        for key, raw in content.items():
            source = where.find(table, key, bare)
            if self._is_table((*table, key)):
                if isinstance(raw, dict):
                    self._walk((*table, key), raw, reading, where, bare)
                else:
                    reading.problems.append(f"{source}: {dotted(table, key)} must be a table")
            else:
                self._take(table, key, raw, source, reading)

    def _is_table(self, table: Table) -> bool:
        known = pattern_of(table)
        return known in self._kinds or known == HANDLERS or known in UNSUPPORTED

    def _take(self, table: Table, key: str, raw: object, source: str, reading: Reading) -> None:
        known = pattern_of(table)
        entry = UNSUPPORTED.get(known, {}).get(key) or UNSUPPORTED.get(known, {}).get(ANY_KEY)
        if key in self._options.get(known, {}):
            kind = self._kinds[known][key]
            if kind is Seconds and raw == "":
                return  # as in CRI-O, an empty duration is the default one
            try:
                value = convert(kind, raw)
            except WrongValue as error:
                reading.problems.append(f"{source}: {dotted(table, key)}: {error}")
            else:
                reading.settings.append(Setting(table, key, value, source))
        elif entry:
            self._neglect(table, key, raw, source, entry, reading)
        else:
            reading.problems.append(f"{source}: {dotted(table, key)}: {self._unknown(known, key)}")

    @staticmethod
    def _neglect(table: Table, key: str, raw: object, source: str, entry: Ignored, reading: Reading) -> None:
        try:
            value = raw if entry.kind is Any or isinstance(raw, dict) else convert(entry.kind, raw)
        except WrongValue as error:
            reading.problems.append(f"{source}: {dotted(table, key)}: {error}")
        else:
            whole = next(
                (table[:end] for end in range(1, len(table) + 1) if _is_without_effect(table[:end])), None
            )
            shown = dotted(table, key) if whole is None or entry.danger else dotted(whole)
            reading.ignored.append(Neglected(table, key, value, source, entry, shown))

    def _unknown(self, known: Table, key: str) -> str:
        elsewhere = [dotted(other) for other, keys in self._options.items() if key in keys]
        if elsewhere:
            return f"unknown key; it belongs in [{elsewhere[0].replace(ANY_TABLE, 'NAME')}]"
        return "unknown key" + (nearest(key, list(self._known(known))) or self._nearest_elsewhere(key))

    def _nearest_elsewhere(self, key: str) -> str:
        """As nearest(), in all tables: who leaves out a table's header writes into the one above."""
        places = {name: table for table, keys in self._options.items() for name in keys}
        close = closest(key, list(places))
        if not close:
            return ""
        return f'; did you mean "{close}" in [{dotted(places[close]).replace(ANY_TABLE, "NAME")}]?'

    def _known(self, known: Table) -> Iterator[str]:
        yield from self._options.get(known, {})
        yield from UNSUPPORTED.get(known, {})
        for table in (*self._kinds, *UNSUPPORTED):
            if len(table) == len(known) + 1 and table[:-1] == known:
                yield table[-1]

    @staticmethod
    def _find_doubles(reading: Reading) -> None:
        seen: dict[tuple[Table, str], str] = {}
        for setting in reading.settings:
            place = (setting.table, setting.key)
            if place in seen:
                name = dotted(*place)
                reading.problems.append(f"{setting.source}: {name} is given twice, first at {seen[place]}")
            seen[place] = setting.source


def _is_without_effect(table: Table) -> bool:
    return ANY_KEY in UNSUPPORTED.get(pattern_of(table), {})


class Locator:
    """Finds the line of a key, by a plain look at the text: good enough for messages."""

    def __init__(self, name: str, text: str) -> None:
        self._name = name
        self._lines: dict[tuple[str, str], int] = {}
        header = ""
        for number, line in enumerate(text.splitlines(), 1):
            if match := _HEADER.match(line):
                header = _plain(match[1])
                parent, _, last = header.rpartition(".")
                self._lines.setdefault((parent, last), number)
            elif match := _KEY.match(line):
                self._lines.setdefault((header, _plain(match[1])), number)

    def find(self, table: Table, key: str, bare: bool) -> str:
        """``NAME:LINE``, or just the name when the line is not to be found."""
        header = ".".join(table if bare else (_TOP, *table))
        line = self._lines.get((header, key))
        return f"{self._name}:{line}" if line else self._name


def _plain(name: str) -> str:
    return re.sub(r"[\"'\s]", "", name)
