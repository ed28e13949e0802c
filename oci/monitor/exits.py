"""Exit records on disk: ``<directory>/exits/<container id>``, the record as JSON, written atomically.

They let either process die: a monitor reads them back at its start, anybody else may read them any time.
"""

import contextlib
import json
import os

from oci.monitor.protocol import ProtocolError, Record, parse_record
from oci.monitor.reactor import complain


class ExitFiles:
    """The directory of exit records."""

    def __init__(self, directory: str) -> None:
        """Create ``directory`` if need be."""
        self._directory = directory
        os.makedirs(directory, mode=0o700, exist_ok=True)

    def write(self, record: Record) -> None:
        """Write one record; /run is memory, so there is nothing to sync."""
        path = f"{self._directory}/{record.id}"
        descriptor = os.open(path + ".new", os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
        try:
            os.write(descriptor, json.dumps(record._asdict()).encode())
        finally:
            os.close(descriptor)
        os.rename(path + ".new", path)

    def read_all(self) -> list[Record]:
        """Every readable record; half-written files are removed."""
        records = []
        for name in os.listdir(self._directory):
            path = f"{self._directory}/{name}"
            if name.endswith(".new"):
                os.unlink(path)
                continue
            try:
                with open(path, "rb") as file:
                    records.append(parse_record(json.load(file)))
            except (OSError, ValueError, ProtocolError):
                complain(f"exit record {path} cannot be read")
        return records

    def remove(self, container_id: str) -> None:
        """Remove one record; an absent one is fine."""
        with contextlib.suppress(FileNotFoundError):
            os.unlink(f"{self._directory}/{container_id}")
