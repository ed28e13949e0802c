"""Reading the configuration: a file, a directory of drop-ins, the command line; later ones win, key by key.

Errors are collected over all sources and raised together. Keys of CRI-O without effect become one warning.
"""

import tomllib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from types import MappingProxyType
from typing import Any

from api.errors import InvalidArgument
from conf import check
from conf.annotations import has_effect
from conf.schema import ApiTable, Config, RuntimeHandler
from conf.tables import HANDLERS, Neglected, Reading, Setting, Table, Walker, dotted, schema_tables
from conf.unsupported import NOT_YET

DEFAULT_FILE = Path("/etc/podwright/podwright.conf")
DEFAULT_DIRECTORY = Path("/etc/podwright/podwright.conf.d")
COMMAND_LINE = "command line"


class BadConfiguration(InvalidArgument):
    """The configuration cannot be used; ``problems`` holds one line for each reason."""

    def __init__(self, problems: Iterable[str]) -> None:
        self.problems = tuple(problems)
        super().__init__("the configuration is wrong:\n" + "\n".join(f"  {line}" for line in self.problems))


@dataclass(frozen=True, slots=True)
class Loaded:
    """A configuration that was checked.

    Attributes:
        config: What applies.
        warnings: One line each, to be logged.
        sources: ``FILE:LINE`` (or "command line") by ``crio.table.key``, for what was set at all.
        files: What was read, in order.
    """

    config: Config
    warnings: tuple[str, ...]
    sources: Mapping[str, str]
    files: tuple[Path, ...]


def load(
    file: Path | None = None, directory: Path | None = None, overrides: Mapping[str, object] | None = None
) -> Loaded:
    """Read, merge and check the configuration; blocks on the disk.

    Args:
        file: The main file, which must exist. None stands for DEFAULT_FILE, which need not.
        directory: Read recursively in the order of names; it must exist. None stands for
            DEFAULT_DIRECTORY, which need not, and for no directory at all when ``file`` is given.
        overrides: Values by ``table.key``, with or without ``crio.``; see parse_override.

    Raises:
        BadConfiguration: With all that is wrong, in all files.
    """
    files = tuple(_files(file, directory))
    walker = Walker()
    readings = [_read(walker, path) for path in files]
    readings += [_override(walker, name, raw) for name, raw in (overrides or {}).items()]
    problems = [line for reading in readings for line in reading.problems]
    if problems:
        raise BadConfiguration(problems)
    settings = _merge(readings)
    sources = {dotted(each.table, each.key): each.source for each in settings.values()}
    config, warnings = _settle(_build(settings, _handler_names(readings)))
    config, raised = check.raise_to_minimum(config)
    verdict = check.check(config)
    neglected = {(each.table, each.key): each for reading in readings for each in reading.ignored}
    errors = (*_located(verdict.errors, sources), *_dangers(neglected.values()))
    if errors:
        raise BadConfiguration(errors)
    told = [
        *_ignored_warning(neglected.values()),
        *_annotation_warnings(settings.values(), neglected.values()),
        *warnings,
        *_located((*raised, *verdict.warnings), sources),
    ]
    return Loaded(config, tuple(told), MappingProxyType(sources), files)


def parse_override(text: str) -> tuple[str, object]:
    """Split ``table.key=value`` of the command line; the value is TOML, or else a text as it stands.

    Raises:
        BadConfiguration: There is no equals sign.
    """
    name, equals, value = text.partition("=")
    if not equals or not name:
        raise BadConfiguration([f'{COMMAND_LINE}: expected table.key=value, got "{text}"'])
    try:
        document = tomllib.loads(f"value = {value}")
    except tomllib.TOMLDecodeError:
        document = {}
    return name.strip(), document["value"] if len(document) == 1 else value


def _files(file: Path | None, directory: Path | None) -> Iterator[Path]:
    if file is not None or DEFAULT_FILE.exists():
        yield file or DEFAULT_FILE
    if directory is None and file is None and DEFAULT_DIRECTORY.is_dir():
        directory = DEFAULT_DIRECTORY
    if directory is None:
        return
    if not directory.is_dir():
        raise BadConfiguration([f"{directory}: there is no such directory"])
    drop_ins = (path for path in directory.rglob("*") if path.is_file() and not _is_hidden(path.name))
    yield from sorted(drop_ins, key=lambda path: path.relative_to(directory).parts)


def _is_hidden(name: str) -> bool:
    return name.startswith(".") or name.endswith("~")


def _read(walker: Walker, path: Path) -> Reading:
    try:
        text = path.read_text(encoding="utf-8")
        return walker.read(tomllib.loads(text), str(path), text)
    except OSError as error:
        return Reading(problems=[f"{path}: {error.strerror}"])
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        return Reading(problems=[f"{path}: not TOML: {error}"])


def _override(walker: Walker, name: str, raw: object) -> Reading:
    *parts, key = name.removeprefix("crio.").split(".")
    if tuple(parts[:2]) == HANDLERS and len(parts) > 2:
        parts = [*HANDLERS, ".".join(parts[2:])]  # the name of a handler may have dots
    return walker.assign(tuple(parts), key, _toml_like(raw), COMMAND_LINE)


def _toml_like(raw: object) -> object:
    if isinstance(raw, Path):
        return str(raw)
    if isinstance(raw, Sequence) and not isinstance(raw, str):
        return [_toml_like(each) for each in raw]
    return raw


def _merge(readings: Iterable[Reading]) -> Mapping[tuple[Table, str], Setting]:
    merged: dict[tuple[Table, str], Setting] = {}
    for reading in readings:
        merged |= {(each.table, each.key): each for each in reading.settings}
    return merged


def _handler_names(readings: Iterable[Reading]) -> list[str]:
    tables = (table for reading in readings for table in reading.tables)
    return list(dict.fromkeys(table[2] for table in tables if len(table) == 3 and table[:2] == HANDLERS))


def _build(settings: Mapping[tuple[Table, str], Setting], handlers: Iterable[str]) -> Config:
    def values(table: Table) -> dict[str, Any]:
        return {key: each.value for (where, key), each in settings.items() if where == table}

    runtimes = {name: RuntimeHandler(**values((*HANDLERS, name))) for name in handlers}
    tables = {table[0]: kind(**values(table)) for table, kind in schema_tables().items() if len(table) == 1}
    config = Config(**values(()), **tables)
    return replace(config, runtime=replace(config.runtime, runtimes=MappingProxyType(runtimes)))


def _settle(config: Config) -> tuple[Config, list[str]]:
    """Replace values that stand for something else, and say so."""
    warnings = []
    sizes = ("grpc_max_send_msg_size", "grpc_max_recv_msg_size")
    defaults = {key: getattr(ApiTable(), key) for key in sizes if getattr(config.api, key) <= 0}
    api = replace(config.api, **defaults)
    runtime = config.runtime
    left_out = [name for name, handler in runtime.runtimes.items() if handler.runtime_type == "vm"]
    if left_out:
        kept = {name: each for name, each in runtime.runtimes.items() if name not in left_out}
        runtime = replace(runtime, runtimes=MappingProxyType(kept))
        warnings.append(
            f"handlers of runtime_type vm are not supported yet and left out: {', '.join(left_out)}"
        )
    return replace(config, api=api, runtime=runtime), warnings


def _dangers(neglected: Iterable[Neglected]) -> Iterator[str]:
    """The keys that ask for something whose lack would leave the node weaker than its files say."""
    for each in neglected:
        danger = each.entry.danger
        if danger and not danger.harmless(each.value):
            name = dotted(each.table, each.key)
            yield f"{each.source}: {name}: {NOT_YET}, and {danger.consequence}: {danger.way_out}"


def _ignored_warning(neglected: Iterable[Neglected]) -> Iterator[str]:
    by_reason: dict[str, dict[str, None]] = {}
    for each in neglected:
        by_reason.setdefault(each.entry.reason, {})[each.shown] = None
    if by_reason:
        listed = "; ".join(f"{', '.join(names)} ({reason})" for reason, names in by_reason.items())
        yield f"these keys of CRI-O have no effect: {listed}"


def _annotation_warnings(settings: Iterable[Setting], neglected: Iterable[Neglected]) -> Iterator[str]:
    """One line for each name in ``allowed_annotations`` that lets nothing pass."""
    for each in settings:
        if each.key == "allowed_annotations":
            yield from _without_effect(each, (name for name in each.value if not has_effect(name)))
    for workload in neglected:
        if workload.key == "allowed_annotations":
            yield from _without_effect(workload, workload.value)


def _without_effect(place: Setting | Neglected, names: Iterable[str]) -> Iterator[str]:
    for name in names:
        yield f'{place.source}: {dotted(place.table, place.key)}: "{name}" has no effect yet'


def _located(remarks: Iterable[check.Remark], sources: Mapping[str, str]) -> Iterator[str]:
    for remark in remarks:
        source = sources.get(remark.name)
        yield f"{source}: {remark.name}: {remark.text}" if source else f"{remark.name}: {remark.text}"
