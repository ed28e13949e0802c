"""Reading and writing non-blocking descriptors (pipes, terminals, sockets) from asyncio.

A descriptor may be read by one task and written by one other. Whoever closes it must first end both.
"""

import asyncio
import errno
import fcntl
import os
from collections.abc import Callable
from contextlib import suppress
from typing import Final

CHUNK_BYTES: Final = 256 * 1024

Register = Callable[[int, Callable[[], None]], None]


async def read_some(fd: int, most_bytes: int = CHUNK_BYTES) -> bytes:
    """The next bytes, at most so many; none at the end.

    A terminal whose other side is closed gives EIO, which is its end. Other tasks get a turn before
    every read, so that a busy descriptor starves nobody.
    """
    loop = asyncio.get_running_loop()
    await asyncio.sleep(0)
    while True:
        try:
            return os.read(fd, most_bytes)
        except BlockingIOError:
            await _ready(fd, loop.add_reader, loop.remove_reader)
        except OSError as error:
            if error.errno == errno.EIO:
                return b""
            raise


async def write_all(fd: int, data: bytes) -> None:
    """Write everything, as fast as the other side takes it."""
    loop = asyncio.get_running_loop()
    view = memoryview(data)
    while view:
        try:
            view = view[os.write(fd, view) :]
        except BlockingIOError:
            await _ready(fd, loop.add_writer, loop.remove_writer)


def prepare(fd: int) -> None:
    """Make a descriptor non-blocking and, if it is a pipe, as wide as one chunk."""
    os.set_blocking(fd, False)
    with suppress(OSError):  # not a pipe, or the user's pipe budget is spent: narrower works as well
        fcntl.fcntl(fd, fcntl.F_SETPIPE_SZ, CHUNK_BYTES)


async def _ready(fd: int, add: Register, remove: Callable[[int], bool]) -> None:
    ready: asyncio.Future[None] = asyncio.get_running_loop().create_future()
    add(fd, lambda: None if ready.done() else ready.set_result(None))
    try:
        await ready
    finally:
        remove(fd)
