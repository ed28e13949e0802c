"""The configuration as a commented TOML file: whole, with the defaults, or just what differs from them."""

import json
from collections.abc import Iterator, Mapping
from textwrap import wrap
from typing import Any, get_type_hints

from conf.options import Option, options_of
from conf.schema import Config, RuntimeHandler
from conf.tables import HANDLERS, Table, pattern_of, schema_tables
from conf.unsupported import ANY_TABLE
from conf.values import Seconds

WIDTH = 100


def sample() -> str:
    """Every option with its help and default, commented out."""
    lines = [
        "# Configuration of Podwright (TOML). Every option is shown with its default, commented out.",
        "# Tables and keys are those of CRI-O; those that CRI-O lacks are marked as Podwright's own.",
        '# Durations are numbers of seconds or texts such as "30s" and "1h30m".',
    ]
    defaults = Config()
    for table, kind in schema_tables().items():
        values = RuntimeHandler() if table[-1:] == (ANY_TABLE,) else _table_of(defaults, table)
        header = ".".join(("crio", *table)).replace(ANY_TABLE, "NAME")
        lines += ["", f"# [{header}]" if "NAME" in header else f"[{header}]"]
        for key, option in options_of(kind).items():
            rendered = render(getattr(values, key), _kind(kind, key))
            lines += ["", *_help(option), f"# {key} = {rendered}"]
    return "\n".join(lines) + "\n"


def in_force(config: Config) -> str:
    """Every option with its value, as a file that would set them all."""
    lines: list[str] = []
    for table, values in _tables(config):
        kind = schema_tables()[pattern_of(table)]
        lines += ["", "[" + ".".join(("crio", *map(_bare_key, table))) + "]"]
        lines += [f"{key} = {render(getattr(values, key), _kind(kind, key))}" for key in options_of(kind)]
    return "\n".join(lines[1:]) + "\n"


def differences(config: Config) -> str:
    """The options that are not at their defaults, as a file that would set them; may be empty."""
    lines: list[str] = []
    for table, values in _tables(config):
        kind = schema_tables()[pattern_of(table)]
        default = kind()
        changed = [key for key in options_of(kind) if getattr(values, key) != getattr(default, key)]
        if changed or table[:2] == HANDLERS:
            lines += ["", "[" + ".".join(("crio", *map(_bare_key, table))) + "]"]
        lines += [f"{key} = {render(getattr(values, key), _kind(kind, key))}" for key in changed]
    return "\n".join(lines[1:]) + "\n" if lines else ""


def document(config: Config) -> dict[str, Any]:
    """Every option with its value in force, nested by table, of JSON's types; times are seconds."""
    whole = _document_of(config)
    runtimes = {name: _document_of(table) for name, table in config.runtime.runtimes.items()}
    for table in schema_tables():
        if table and table[-1:] != (ANY_TABLE,):
            whole[table[0]] = _document_of(_table_of(config, table))
    whole["runtime"]["runtimes"] = runtimes
    return whole


def _document_of(table: Any) -> dict[str, Any]:
    return {key: _plain(getattr(table, key)) for key in options_of(type(table))}


def _plain(value: Any) -> Any:
    """A value of the schema in JSON's types."""
    if value is None:
        return ""
    if isinstance(value, bool | int | float):
        return value
    if isinstance(value, tuple):
        return [_plain(each) for each in value]
    if isinstance(value, Mapping):
        return {key: _plain(each) for key, each in value.items()}
    return str(value)


def render(value: Any, kind: Any = None) -> str:
    """A value of the schema in TOML."""
    if value is None:
        return '""'
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int | float):
        return _duration(value) if kind is Seconds else str(value)
    if isinstance(value, tuple):
        return "[" + ", ".join(render(each) for each in value) + "]"
    if isinstance(value, Mapping):
        pairs = ", ".join(f"{_bare_key(key)} = {render(each)}" for key, each in value.items())
        return "{ " + pairs + " }" if pairs else "{}"
    return _quoted(str(value))


def _duration(seconds: float) -> str:
    for size, unit in ((3600, "h"), (60, "m")):
        if seconds and seconds % size == 0:
            return f'"{int(seconds // size)}{unit}"'
    return f'"{seconds:g}s"'


def _quoted(text: str) -> str:
    # JSON's escapes are TOML's, but for DEL, which TOML wants escaped too.
    return json.dumps(text, ensure_ascii=False).replace("\x7f", "\\u007f")


def _bare_key(key: str) -> str:
    plain = key.isascii() and key.replace("-", "").replace("_", "").isalnum()
    return key if plain else _quoted(key)


def _help(option: Option) -> Iterator[str]:
    notes = [f"Unit: {option.unit}." if option.unit and option.unit != "s" else ""]
    notes += ["A change takes effect at SIGHUP." if option.reload else ""]
    notes += ["Podwright's own." if option.own else ""]
    text = " ".join([option.text, *filter(None, notes)])
    yield from (f"# {line}" for line in wrap(text, WIDTH - 2))


def _kind(table: type[Any], key: str) -> Any:
    return get_type_hints(table)[key]


def _table_of(config: Config, table: Table) -> Any:
    return config if not table else getattr(config, table[0])


def _tables(config: Config) -> Iterator[tuple[Table, Any]]:
    for table in schema_tables():
        if table[-1:] != (ANY_TABLE,):
            yield table, _table_of(config, table)
    for name, handler in config.runtime.runtimes.items():
        yield (*HANDLERS, name), handler
