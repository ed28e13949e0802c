"""What can be wrong with a layer, and the bounds within which it must stay."""

from dataclasses import dataclass
from enum import StrEnum


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
        self.text = text
        self.entry = entry


@dataclass(frozen=True, slots=True)
class Limits:
    """Bounds of one layer; a stream that passes one is given up at once."""

    total_bytes: int = 64 << 30  # of the uncompressed archive
    entries: int = 4_000_000
    name_bytes: int = 4096
    header_bytes: int = 1 << 20  # of one pax header or GNU long name
    ratio: int = 2000  # uncompressed to compressed; gzip itself cannot pass 1032
    ratio_floor_bytes: int = 256 << 20  # the ratio is looked at above this size only
