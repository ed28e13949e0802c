"""Exit records on disk: ``<directory>/exits/<container id>``, the record as JSON, written atomically.

They let either process die: a monitor reads them back at its start, anybody else may read them any time.
One that cannot be written, on a full disk, waits in memory and is written when ``write_waiting`` can.
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
        self._waiting: dict[str, Record] = {}
        os.makedirs(directory, mode=0o700, exist_ok=True)

    def write(self, record: Record) -> None:
        """Write one record, or keep it waiting; /run is memory, so there is nothing to sync."""
        try:
            self._write(record)
        except OSError as error:
            complain(f"exit record of {record.id} not written yet: {error.strerror}")
            self._waiting[record.id] = record

    @property
    def all_written(self) -> bool:
        """Whether every record is on disk."""
        return not self._waiting

    def is_waiting(self, container_id: str) -> bool:
        """Whether its record is not on disk yet."""
        return container_id in self._waiting

    def write_waiting(self) -> bool:
        """Write those that could not be written before; whether all are now."""
        try:
            for record in list(self._waiting.values()):
                self._write(record)
                del self._waiting[record.id]
        except OSError:
            return False
        return True

    def _write(self, record: Record) -> None:
        path = f"{self._directory}/{record.id}"
        try:
            with open(path + ".new", "wb", opener=_private) as file:
                file.write(json.dumps(record._asdict()).encode())
            os.rename(path + ".new", path)
        except OSError:
            with contextlib.suppress(OSError):
                os.unlink(path + ".new")
            raise

    def read_all(self) -> list[Record]:
        """Every readable record; half-written files are removed."""
        records = []
        for name in os.listdir(self._directory):
            path = f"{self._directory}/{name}"
            if name.endswith(".new"):
                with contextlib.suppress(OSError):
                    os.unlink(path)
                continue
            try:
                with open(path, "rb", opener=_without_waiting) as file:
                    records.append(parse_record(json.load(file)))
            except (OSError, ValueError, ProtocolError):
                complain(f"exit record {path} cannot be read")
        return records

    def remove(self, container_id: str) -> None:
        """Remove one record; an absent one is fine."""
        self._waiting.pop(container_id, None)
        with contextlib.suppress(FileNotFoundError):
            os.unlink(f"{self._directory}/{container_id}")


def _private(path: str, flags: int) -> int:
    return os.open(path, flags | os.O_CLOEXEC, 0o600)


def _without_waiting(path: str, flags: int) -> int:
    return os.open(path, flags | os.O_CLOEXEC | os.O_NONBLOCK | os.O_NOFOLLOW)
