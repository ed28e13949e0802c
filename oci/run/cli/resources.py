"""update: linux.resources from a file, or from an option each."""

import json
import sys
from collections.abc import Mapping

from oci.run.cli.words import Usage, Words
from oci.run.document import Table
from oci.run.errors import BadConfig

_NUMBERS = {
    "blkio-weight": ("blockIO", "weight"),
    "cpu-period": ("cpu", "period"),
    "cpu-quota": ("cpu", "quota"),
    "cpu-burst": ("cpu", "burst"),
    "cpu-share": ("cpu", "shares"),
    "cpu-rt-period": ("cpu", "realtimePeriod"),
    "cpu-rt-runtime": ("cpu", "realtimeRuntime"),
    "cpu-idle": ("cpu", "idle"),
    "pids-limit": ("pids", "limit"),
}
_SIZES = {
    "memory": ("memory", "limit"),
    "memory-reservation": ("memory", "reservation"),
    "memory-swap": ("memory", "swap"),
}
_TEXTS = {"cpuset-cpus": ("cpu", "cpus"), "cpuset-mems": ("cpu", "mems")}
_UNITS = {"": 0, "b": 0, "k": 10, "m": 20, "g": 30, "t": 40}
_REFUSED = ("l3-cache-schema", "mem-bw-schema")


def read(given: Words) -> Mapping[str, object]:
    """
    Raises:
        Usage, BadConfig: a value that makes no sense, or Intel RDT, which this runtime has not.
    """
    for name in _REFUSED:
        if given.has(name):
            raise Usage(f"--{name}: Intel RDT is not supported by this runtime")
    if given.has("resources"):
        return _from_file(given.text("resources"))
    found: dict[str, dict[str, object]] = {}
    for name, (table, key) in _NUMBERS.items():
        if given.has(name):
            found.setdefault(table, {})[key] = given.number(name)
    for name, (table, key) in _SIZES.items():
        if given.has(name):
            found.setdefault(table, {})[key] = size(given.text(name))
    for name, (table, key) in _TEXTS.items():
        if given.has(name):
            found.setdefault(table, {})[key] = given.text(name)
    return found


def _from_file(path: str) -> Mapping[str, object]:
    source = sys.stdin.fileno() if path == "-" else path
    try:
        with open(source, "rb", closefd=path != "-") as file:
            return Table(json.load(file), "resources").raw
    except ValueError as error:
        raise BadConfig(f"resources {path}: {error}") from None


def size(text: str) -> int:
    """``512m`` in bytes; -1 is no limit.

    Raises:
        Usage: it is no size.
    """
    if text == "-1":
        return -1
    lowered = text.lower().removesuffix("b") or text
    unit = lowered[-1:] if lowered[-1:] in _UNITS and not lowered[-1:].isdecimal() else ""
    digits = lowered.removesuffix(unit) if unit else lowered
    if not digits.isdecimal():
        raise Usage(f"{text!r} is no size")
    return int(digits) << _UNITS[unit]
