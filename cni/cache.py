"""The result cache, in libcni's form and place, so that a node can change runtimes with pods running.

    <cache_dir>/results/<network>-<container>-<ifname>   JSON, kind cniCacheV1

Written after ADD, removed after a DEL that left nothing undone; DEL works from it even when the
configuration has changed or gone.
"""

import base64
import binascii
import json
import logging
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import cast

from cni.call import Call
from cni.errors import NetworkConfigInvalid
from cni.fields import Json, items, mapping, parse_object, string
from host.files import read_bounded, remove_temporaries, write_atomic

_KIND = "cniCacheV1"
_LIMIT_BYTES = 4 << 20
_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Entry:
    """One attachment: the configuration list it was made with, the call, and its result."""

    network: str
    config: bytes
    call: Call
    result: Json


@dataclass(frozen=True, slots=True)
class ResultCache:
    """The directory of cached attachments. Every method reads or writes files: call it off the loop."""

    directory: Path

    def store(self, entry: Entry) -> None:
        """Write or replace an attachment."""
        document = {
            "kind": _KIND,
            "containerId": entry.call.container_id,
            "config": base64.b64encode(entry.config).decode(),
            "ifName": entry.call.ifname,
            "networkName": entry.network,
            "netns": entry.call.netns,
            "cniArgs": [list(pair) for pair in entry.call.args],
            "capabilityArgs": dict(entry.call.capabilities),
            "result": entry.result,
        }
        self._results().mkdir(parents=True, exist_ok=True, mode=0o700)
        # Lost in a power failure, the pod it describes is lost as well: no sync. An address that it had
        # leased may still be on disk; the plugins' GC gives it back.
        path = self._path(entry.network, entry.call)
        write_atomic(path, json.dumps(document).encode(), 0o600, durable=False)

    def remove(self, network: str, call: Call) -> None:
        """Forget an attachment; unknown is fine."""
        self._path(network, call).unlink(missing_ok=True)

    def of_container(self, container_id: str) -> list[Entry]:
        """The attachments of one container, newest interface name last."""
        return [
            entry for entry in self._read(f"*-{container_id}-*") if entry.call.container_id == container_id
        ]

    def all(self) -> list[Entry]:
        """Every readable attachment."""
        return self._read("*")

    def sweep(self) -> None:
        """Remove what a killed daemon was writing. For its next start: nothing else may be writing here."""
        remove_temporaries(self._results())

    def discard_damaged(self, readable: Iterable[Entry], known: Collection[str]) -> None:
        """Remove what cannot be read, as after a power failure, and is of none of the ``known`` containers;
        ``readable`` is what :meth:`all` found.

        Nothing can be detached by it; what it leased is given back by the plugins' GC.
        """
        for path in {*self._files("*")} - {self._path(one.network, one.call) for one in readable}:
            if any(f"-{container_id}-" in path.name for container_id in known):
                continue
            try:
                parse_entry(read_bounded(path, _LIMIT_BYTES), str(path))
            except NetworkConfigInvalid as error:
                path.unlink(missing_ok=True)
                _log.warning("damaged CNI result removed path=%s error=%s", path, error)
            except OSError:
                continue

    def _results(self) -> Path:
        return self.directory / "results"

    def _path(self, network: str, call: Call) -> Path:
        return self._results() / f"{network}-{call.container_id}-{call.ifname}"

    def _files(self, pattern: str) -> list[Path]:
        """But for temporaries of write_atomic."""
        return [path for path in sorted(self._results().glob(pattern)) if not path.name.startswith(".")]

    def _read(self, pattern: str) -> list[Entry]:
        entries = []
        for path in self._files(pattern):
            try:
                entries.append(parse_entry(read_bounded(path, _LIMIT_BYTES), str(path)))
            except (NetworkConfigInvalid, OSError) as error:
                _log.warning("cached CNI result cannot be used path=%s error=%s", path, error)
        return entries


def parse_entry(data: bytes, where: str) -> Entry:
    """Read a cache file.

    Raises:
        NetworkConfigInvalid: not a cache file of this kind.
    """
    document = parse_object(data, where)
    if string(document, "kind", where) != _KIND:
        raise NetworkConfigInvalid(f"{where}: kind must be {_KIND}")
    try:
        config = base64.b64decode(string(document, "config", where), validate=True)
    except binascii.Error as error:
        raise NetworkConfigInvalid(f"{where}: config is not base64") from error
    pairs = [cast(list[str], pair) for pair in items(document, "cniArgs", where) if isinstance(pair, list)]
    call = Call(
        string(document, "containerId", where),
        string(document, "netns", where),
        string(document, "ifName", where),
        tuple((str(pair[0]), str(pair[1])) for pair in pairs if len(pair) == 2),
        mapping(document, "capabilityArgs", where),
    )
    return Entry(string(document, "networkName", where), config, call, mapping(document, "result", where))
