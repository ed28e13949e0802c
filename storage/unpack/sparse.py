"""Sparse files in pax archives, in the three forms of GNU tar (its manual, "Storing Sparse Files").

    0.0   GNU.sparse.offset and GNU.sparse.numbytes, once for each piece
    0.1   GNU.sparse.map, all of them in one list
    1.0   the same as lines of text before the content, filled up to whole blocks

The content is the pieces one after the other; between them the file has holes. GNU's older form, a type of
its own, is refused as the peers refuse it.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from storage.unpack.faults import Kind, LayerFault

BLOCK = 512
PREFIX = b"GNU.sparse."
MAP = PREFIX + b"map"
OFFSET, NUMBYTES = PREFIX + b"offset", PREFIX + b"numbytes"
_DIGITS = 19


@dataclass(frozen=True, slots=True)
class Sparse:
    """What a sparse file is: its name b"" where the header's own holds, its size, and its pieces of data as
    (offset, length), in order and apart from one another."""

    name: bytes
    size: int
    pieces: tuple[tuple[int, int], ...]

    @property
    def stored(self) -> int:
        """Bytes of content in the archive."""
        return sum(length for _, length in self.pieces)


def read_sparse(
    records: Mapping[bytes, bytes], read: Callable[[int], bytes], most_bytes: int, size: int
) -> Sparse | None:
    """What the records of a pax header say; None when they tell of no sparse file. ``read`` gives bytes of
    the content, of which a map may take ``most_bytes``; ``size`` is what the file has where none is said.

    Raises:
        LayerFault: it cannot be followed.
    """
    version = records.get(PREFIX + b"major"), records.get(PREFIX + b"minor")
    if version == (b"1", b"0"):
        numbers = _map_before_content(read, most_bytes, size)
    elif version in ((None, None), (b"0", b"0"), (b"0", b"1")):
        if MAP not in records:
            return None
        numbers = [_number(text) for text in filter(None, records[MAP].split(b","))]
    else:
        raise LayerFault(Kind.UNSUPPORTED, "sparse files in a form of GNU tar that is not known")
    said = records.get(PREFIX + b"realsize") or records.get(PREFIX + b"size")
    whole = _number(said) if said else size
    return Sparse(records.get(PREFIX + b"name", b""), whole, _pieces(numbers, whole))


def _map_before_content(read: Callable[[int], bytes], most_bytes: int, size: int) -> Sequence[int]:
    """``COUNT\\n`` and COUNT pairs of ``OFFSET\\nLENGTH\\n``, filled up to whole blocks."""
    text, taken, lines, wanted = bytearray(), 0, 0, 1
    while lines < wanted:
        taken += BLOCK
        if taken > size:
            raise LayerFault(Kind.CORRUPT, "a map of a sparse file that does not end with its content")
        if taken > most_bytes:
            raise LayerFault(Kind.TOO_LARGE, f"a map of a sparse file of more than {most_bytes} bytes")
        block = read(BLOCK)
        if len(block) < BLOCK:
            raise LayerFault(Kind.TRUNCATED, "the archive ends within the map of a sparse file")
        text += block
        lines += block.count(b"\n")
        if wanted == 1 and lines:
            wanted = 1 + 2 * _number(bytes(text[: text.index(b"\n")]))
    numbers = bytes(text).split(b"\n", wanted)[:wanted]
    return [_number(number) for number in numbers[1:]]


def _pieces(numbers: Sequence[int], size: int) -> tuple[tuple[int, int], ...]:
    if len(numbers) % 2:
        raise LayerFault(Kind.CORRUPT, "a map of a sparse file with half a piece")
    pieces = tuple(zip(numbers[::2], numbers[1::2], strict=True))
    end = 0
    for offset, length in pieces:
        if offset < end or offset + length > size:
            raise LayerFault(Kind.CORRUPT, "pieces of a sparse file that overlap, or lie outside of it")
        end = offset + length
    return tuple(piece for piece in pieces if piece[1])  # an empty one at the end says how large the file is


def _number(text: bytes) -> int:
    if not text.isdigit() or len(text) > _DIGITS:
        raise LayerFault(Kind.CORRUPT, f"bad number {text[:40]!r} in the map of a sparse file")
    return int(text)
