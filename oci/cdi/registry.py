"""The CDI files of some directories, read when devices are asked for: so they are always those of now.

A later directory wins over an earlier one. Two files of one directory with the same device make it unusable,
and so does a broken file its devices; neither matters to other devices.
"""

import json
from collections.abc import Iterator, Sequence
from pathlib import Path

from api.errors import InvalidArgument, ResourceExhausted
from host.files import read_bounded
from oci.cdi.spec import BadSpec, DeviceName, Edits, Spec, parse

SIZE_LIMIT = 4 << 20
_SUFFIXES = (".json", ".yaml")


class UnknownCdiDevice(InvalidArgument):
    """No usable file describes the device."""


def edits_for(names: Sequence[str], directories: Sequence[Path]) -> Edits:
    """What all these devices change together; what a file has in common for its devices comes once. Blocking.

    Raises:
        BadDeviceName: a name has another form. UnknownCdiDevice: with the troubles that its files have.
    """
    found = _Registry(directories)
    edits, used = Edits(), set[Path]()
    for name in dict.fromkeys(names):
        path, spec, device = found.look_up(DeviceName.parse(name))
        if path not in used:
            used.add(path)
            edits += spec.common
        edits += device
    return edits


def broken_files(directories: Sequence[Path]) -> list[str]:
    """What is wrong with files of these directories, a line each. Blocking."""
    return list(_Registry(directories).troubles)


class _Registry:
    """Everything that the directories hold at one moment."""

    def __init__(self, directories: Sequence[Path]) -> None:
        self._directories = directories
        self.troubles: list[str] = []
        self._devices: dict[str, list[tuple[Path, Spec]]] = {}
        for directory in directories:
            self._add({}, directory)

    def _add(self, here: dict[str, list[tuple[Path, Spec]]], directory: Path) -> None:
        for path in _files(directory):
            spec = self._read(path)
            if spec is not None:
                for device in spec.devices:
                    here.setdefault(f"{spec.kind}={device}", []).append((path, spec))
        self._devices |= here

    def _read(self, path: Path) -> Spec | None:
        try:
            return load(path)
        except BadSpec as error:
            self.troubles.append(str(error))
            return None

    def look_up(self, name: DeviceName) -> tuple[Path, Spec, Edits]:
        """The file that describes a device, and the device's own part of it."""
        held = self._devices.get(str(name), [])
        if len(held) > 1:
            files = " and ".join(str(path) for path, _ in held)
            raise UnknownCdiDevice(f"CDI device {str(name)!r} is in {files}: remove one of them")
        if not held:
            where = ", ".join(map(str, self._directories)) or "no directory (cdi_spec_dirs is empty)"
            troubles = f"; {'; '.join(self.troubles)}" if self.troubles else ""
            raise UnknownCdiDevice(f"CDI device {str(name)!r} is not described in {where}{troubles}")
        path, spec = held[0]
        return path, spec, spec.devices[name.device]


def _files(directory: Path) -> Iterator[Path]:
    """The candidates, in the order of their names; a directory that is not there has none."""
    try:
        names = sorted(directory.iterdir())
    except OSError:
        return
    yield from (path for path in names if path.suffix in _SUFFIXES)


def load(path: Path) -> Spec:
    """Read one file.

    Raises:
        BadSpec: the message begins with the path.
    """
    try:
        content = read_bounded(path, SIZE_LIMIT)
        return parse(json.loads(content) if path.suffix == ".json" else _yaml(content))
    except (OSError, ResourceExhausted, ValueError, RecursionError, BadSpec) as error:
        raise BadSpec(f"{path}: {' '.join(str(error).split())}") from error


def _yaml(content: bytes) -> object:
    import yaml  # a megabyte that most daemons never need

    try:
        return yaml.safe_load(content)
    except yaml.YAMLError as error:
        raise ValueError(f"not YAML: {error}") from error
