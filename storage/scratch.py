"""Files that an import writes before it knows what they are: bounded, and never the disk's last bytes.

What is written for a stranger's archive may be no more than ``total_bytes``, no more than ``RATIO`` times
what it was made of, and leaves the disk its reserve.
"""

import os
from collections.abc import Iterable
from typing import BinaryIO

from api.errors import ResourceExhausted
from storage.unpack.faults import Limits

RATIO = 20  # archives of images do not pass 5
FLOOR_BYTES = 64 << 20
_CHECK_BYTES = 64 << 20


class TooMuchData(ResourceExhausted):
    """An archive is larger than may be written, or larger than there is room for."""


def write_bounded(
    chunks: Iterable[bytes], target: BinaryIO, limits: Limits, *, what: str, made_of: int | None = None
) -> None:
    """Write ``chunks`` to ``target``; ``made_of`` are the bytes that they were decompressed from. Blocking.

    Raises:
        TooMuchData: naming ``what``.
    """
    written = unchecked = 0
    _check_room(target, limits, what)
    for chunk in chunks:
        written += len(chunk)
        unchecked += len(chunk)
        if written > limits.total_bytes:
            raise TooMuchData(f"{what}: more than {limits.total_bytes} bytes")
        if made_of is not None and written > max(FLOOR_BYTES, made_of * RATIO):
            raise TooMuchData(
                f"{what}: unpacks to more than {RATIO} times its size; unpack it yourself if you trust it"
            )
        if unchecked >= _CHECK_BYTES:
            unchecked = 0
            _check_room(target, limits, what)
        target.write(chunk)


def _check_room(target: BinaryIO, limits: Limits, what: str) -> None:
    found = os.fstatvfs(target.fileno())
    reserve = min(limits.reserve_bytes, found.f_blocks * found.f_frsize // 20)
    if found.f_bavail * found.f_frsize - _CHECK_BYTES < reserve:
        raise TooMuchData(f"{what}: no room on the disk, {reserve} bytes of which are kept free")
