"""What a cgroup has read from and written to block devices, version 1 and 2.

Version 1 has a file for operations and one for bytes, by the throttling policy or by BFQ; version 2 has
io.stat. A device without any traffic has no line, and a cgroup that is gone gives nothing.
"""

from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from host.cgroup_limits import Directory, read_text

# Of version 1, the first that has a line: with the sum over cgroups below, then of the cgroup alone.
_SERVICED = (
    "blkio.bfq.io_serviced_recursive",
    "blkio.throttle.io_serviced_recursive",
    "blkio.throttle.io_serviced",
)
_BYTES = (
    "blkio.bfq.io_service_bytes_recursive",
    "blkio.throttle.io_service_bytes_recursive",
    "blkio.throttle.io_service_bytes",
)
_V2_BYTES = {"rbytes": "read", "wbytes": "write", "dbytes": "discard"}
_V2_OPERATIONS = {"rios": "read", "wios": "write", "dios": "discard"}


@dataclass(frozen=True, slots=True)
class DeviceIo:
    """One device, ``major:minor``; by operation ("read", "write", "sync", …) in lower case."""

    device: str
    bytes: Mapping[str, int] = field(default_factory=dict)
    operations: Mapping[str, int] = field(default_factory=dict)


def devices(directory: Directory, version: int) -> list[DeviceIo]:
    """Every device that the cgroup has used."""
    where = directory("unified" if version == 2 else "blkio")
    if where is None:
        return []
    return _v2(read_text(where / "io.stat") or "") if version == 2 else _v1(where)


def _v1(where: Path) -> list[DeviceIo]:
    size, number = _first(where, _BYTES), _first(where, _SERVICED)
    return [DeviceIo(device, size.get(device, {}), number.get(device, {})) for device in {**size, **number}]


def _first(where: Path, names: tuple[str, ...]) -> dict[str, dict[str, int]]:
    for name in names:
        if found := parse_v1(read_text(where / name) or ""):
            return found
    return {}


def parse_v1(text: str) -> dict[str, dict[str, int]]:
    """``8:0 Read 4096`` and so on; the last line is a total over all devices."""
    found: defaultdict[str, dict[str, int]] = defaultdict(dict)
    for line in text.splitlines():
        parts = line.split()
        if len(parts) == 3 and parts[2].isdigit():
            device, operation, value = parts
            found[device][operation.lower()] = int(value)
    return dict(found)


def _v2(text: str) -> list[DeviceIo]:
    """``8:0 rbytes=4096 wbytes=0 rios=1 wios=0 dbytes=0 dios=0``."""
    found = []
    for line in text.splitlines():
        device, *pairs = line.split()
        values = {
            key: int(value) for key, _, value in (one.partition("=") for one in pairs) if value.isdigit()
        }
        if values:
            found.append(
                DeviceIo(
                    device,
                    {kind: values[key] for key, kind in _V2_BYTES.items() if key in values},
                    {kind: values[key] for key, kind in _V2_OPERATIONS.items() if key in values},
                )
            )
    return found
