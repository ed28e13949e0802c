"""Network configuration lists and the directory that holds them (CNI SPEC.md section 1).

    *.conflist        a list of plugins
    *.conf, *.json    one plugin; read as a list of that one

Files count in lexicographic order of their names. A broken file is reported and passed over.
"""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from cni import versions
from cni.errors import NetworkConfigInvalid
from cni.fields import Json, boolean_or_text, mapping, objects, parse_object, string, strings

SUFFIXES = (".conf", ".conflist", ".json")

_NAME = re.compile(r"[a-zA-Z0-9][a-zA-Z0-9_.\-]*")
_FILE_LIMIT_BYTES = 1 << 20


@dataclass(frozen=True, slots=True)
class NetworkList:
    """A checked configuration list. ``raw`` is a conflist document that parses back to this."""

    name: str
    cni_version: str
    plugins: tuple[Json, ...]
    disable_check: bool
    disable_gc: bool
    raw: bytes
    source: str


@dataclass(frozen=True, slots=True)
class Directory:
    """What a directory holds: good lists by file name, in order; what is wrong, by file name."""

    lists: Mapping[str, NetworkList]
    errors: Mapping[str, str]


def parse_list(data: bytes, source: str) -> NetworkList:
    """Read a .conflist document; ``source`` names it in errors.

    Raises:
        NetworkConfigInvalid: what is wrong, with file and key.
    """
    conf = parse_object(data, source)
    name = network_name(string(conf, "name", source), source)
    plugins = objects(conf, "plugins", source)
    if not plugins:
        hint = "; a single plugin belongs into a .conf file" if "type" in conf else ""
        raise NetworkConfigInvalid(f"{source}: plugins must list at least one plugin{hint}")
    for position, plugin in enumerate(plugins):
        _check_plugin(plugin, f"{source}: plugins[{position}]")
    return NetworkList(
        name=name,
        cni_version=versions.choose(
            string(conf, "cniVersion", source), strings(conf, "cniVersions", source), source
        ),
        plugins=tuple(plugins),
        disable_check=boolean_or_text(conf, "disableCheck", source),
        disable_gc=boolean_or_text(conf, "disableGC", source),
        raw=data,
        source=source,
    )


def parse_single(data: bytes, source: str) -> NetworkList:
    """Read a document of one plugin as a list of that one."""
    conf = parse_object(data, source)
    if "plugins" in conf:
        return parse_list(data, source)
    _check_plugin(conf, source)
    wrapped = {key: conf[key] for key in ("name", "cniVersion") if key in conf}
    return parse_list(json.dumps({**wrapped, "plugins": [conf]}).encode(), source)


def read_file(path: Path) -> NetworkList:
    """Read one configuration file by its suffix."""
    try:
        with path.open("rb") as file:
            data = file.read(_FILE_LIMIT_BYTES + 1)
    except OSError as error:
        raise NetworkConfigInvalid(f"{path}: {error.strerror}") from error
    if len(data) > _FILE_LIMIT_BYTES:
        raise NetworkConfigInvalid(f"{path}: larger than {_FILE_LIMIT_BYTES} bytes")
    return parse_list(data, str(path)) if path.suffix == ".conflist" else parse_single(data, str(path))


def read_directory(directory: Path) -> Directory:
    """Read every configuration file; a directory that is not there is empty."""
    lists: dict[str, NetworkList] = {}
    errors: dict[str, str] = {}
    try:
        names = sorted(path.name for path in directory.iterdir() if path.suffix in SUFFIXES)
    except FileNotFoundError:
        names = []
    except OSError as error:
        return Directory({}, {str(directory): f"{directory}: {error.strerror}"})
    for name in names:
        try:
            lists[name] = read_file(directory / name)
        except NetworkConfigInvalid as error:
            errors[name] = str(error)
    return Directory(lists, errors)


def network_name(name: str, source: str) -> str:
    """Check a network name: it becomes part of file names."""
    if not name:
        raise NetworkConfigInvalid(f"{source}: name is missing")
    if not _NAME.fullmatch(name):
        raise NetworkConfigInvalid(
            f"{source}: name {name!r} must begin with a letter or digit and hold only those, '_', '.' and '-'"
        )
    return name


def _check_plugin(plugin: Json, where: str) -> None:
    kind = string(plugin, "type", where)
    if not kind:
        raise NetworkConfigInvalid(f"{where}: type is missing")
    if "/" in kind or kind in (".", ".."):
        raise NetworkConfigInvalid(f"{where}: type {kind!r} must be the name of a plugin, not a path")
    for capability, value in mapping(plugin, "capabilities", where).items():
        if not isinstance(value, bool):
            raise NetworkConfigInvalid(f"{where}: capabilities.{capability} must be true or false")
