"""What can be wrong with a layer, and the bounds within which it must stay."""

from dataclasses import dataclass
from enum import StrEnum

_TEXT_CHARACTERS = 2000


class Kind(StrEnum):
    """Classes of faults; storage.unpacker turns each into an error of its own."""

    TRUNCATED = "truncated"
    CORRUPT = "corrupt"
    HOSTILE = "hostile"
    TOO_LARGE = "too-large"
    UNSUPPORTED = "unsupported"
    DISK = "disk"


class LayerFault(Exception):
    """The layer cannot be unpacked; ``entry`` is the name in the archive, "" for the stream itself."""

    def __init__(self, kind: Kind, text: str, entry: str = "") -> None:
        super().__init__(text)
        self.kind = kind
        self.text = text[:_TEXT_CHARACTERS]  # it may quote a link of a megabyte
        self.entry = entry


@dataclass(frozen=True, slots=True)
class Limits:
    """Bounds of one layer; a stream that passes one is given up at once."""

    total_bytes: int = 64 << 30  # of the uncompressed archive
    entries: int = 4_000_000
    name_bytes: int = 4095  # PATH_MAX without its zero byte
    name_parts: int = 256
    header_bytes: int = 1 << 20  # of one pax header or GNU long name, and of all global headers together
    extension_bytes: int = 1 << 30  # of all pax headers and GNU long names together
    records: int = 4096  # of one pax header
    directory_bytes: int = 64 << 20  # of the names of directories, which are kept until the end
    implied_bytes: int = 8 << 20  # of the report of directories that no entry described
    ratio: int = 2000  # uncompressed to compressed; gzip itself cannot pass 1032
    ratio_floor_bytes: int = 256 << 20  # the ratio is looked at above this size only
    reserve_bytes: int = 1 << 30  # left free on the disk, or a twentieth of it if that is less
