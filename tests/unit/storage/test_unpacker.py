"""The daemon's side of unpacking, with real processes."""

import asyncio
import hashlib
import io
import tarfile
from collections.abc import AsyncIterator
from pathlib import Path

from storage.digest import Digest
from storage.unpack.faults import Limits
from storage.unpacker import LayerSource, Unpacker
from tests.harness.processes import command_line
from tests.harness.until import until


def archive() -> bytes:
    raw = io.BytesIO()
    with tarfile.open(fileobj=raw, mode="w") as tar:
        member = tarfile.TarInfo("file")
        member.size, member.mode = 4, 0o640
        tar.addfile(member, io.BytesIO(b"data"))
    return raw.getvalue()


def source(data: bytes, *, before_the_end: asyncio.Event | None = None) -> LayerSource:
    """A layer whose last byte comes only after the event."""

    async def chunks() -> AsyncIterator[bytes]:
        yield data[:-1]
        if before_the_end is not None:
            await before_the_end.wait()
        yield data[-1:]

    digest = Digest(hashlib.sha256(data).hexdigest())
    return LayerSource(digest, digest, len(data), chunks)


async def test_a_process_that_lasts_is_given_a_place_of_its_own(tmp_path: Path) -> None:
    housed, seen = asyncio.Event(), []

    async def house(pid: int) -> None:
        await until(lambda: "storage.unpack" in command_line(pid))
        seen.append(pid)
        housed.set()

    await Unpacker(Limits(), house=house).unpack(source(archive(), before_the_end=housed), tmp_path)
    assert len(seen) == 1
    assert (tmp_path / "file").read_bytes() == b"data"


async def test_the_modes_of_a_layer_are_its_own_under_every_umask(tmp_path: Path) -> None:
    await Unpacker(Limits()).unpack(source(archive()), tmp_path)
    assert (tmp_path / "file").stat().st_mode & 0o777 == 0o640
