"""What is on its way from a pipe to a log, in shared memory, so that a killed monitor loses no byte of it.

The daemon holds the same memfd. One chunk is under way at a time, for the monitor has one thread:

    begin   header says: container, stream, number of bytes (all in the pipe already, so that the read gives
            exactly these or has not happened), the log's identity and size; a nonce fills the data's start
    read    straight into the memory
    done    the log has it; the header says: nothing under way

A successor that finds the nonce knows that the read did not happen; otherwise it cuts the log to the noted
size and writes the chunk again: nothing lost, nothing twice.
"""

import mmap
import os
import secrets
import struct
from typing import NamedTuple

CHUNK_BYTES = 65536  # what a pipe holds by default
_HEADER = struct.Struct("=IIQQQQ8s128s")  # state, length, size, device, inode, time, stream, container
_DATA = 256
_NONCE_BYTES = 16
_IDLE, _UNDER_WAY = 0, 1
_STATE = struct.Struct("=I")


class Chunk(NamedTuple):
    """A chunk that a dead monitor had read; its log had ``log_size`` bytes before."""

    container_id: str
    stream: str
    time_ns: int
    log_size: int
    log_identity: tuple[int, int]  # device, inode
    data: bytes


class Journal:
    """The writing side; see the module."""

    def __init__(self) -> None:
        """Make the shared memory; ``descriptor`` is for handing it to the daemon."""
        self.descriptor = os.memfd_create("podwright-journal", os.MFD_CLOEXEC)
        os.ftruncate(self.descriptor, _DATA + CHUNK_BYTES)
        self._map = mmap.mmap(self.descriptor, _DATA + CHUNK_BYTES)
        self._view = memoryview(self._map)
        # Behind the data, where only a reader of the journal looks: what an unread chunk starts with.
        self._nonce = secrets.token_bytes(_NONCE_BYTES)
        self._view[_DATA - _NONCE_BYTES : _DATA] = self._nonce

    def read(
        self,
        descriptor: int,
        length: int,
        container_id: str,
        stream: str,
        time_ns: int,
        log: tuple[int, int, int],
    ) -> bytes:
        """Read ``length`` bytes (at most CHUNK_BYTES; that many are there) and keep them until :meth:`done`.

        ``log`` is the log's size, device and inode.
        """
        self._view[_DATA : _DATA + _NONCE_BYTES] = self._nonce
        _HEADER.pack_into(
            self._map,
            0,
            _IDLE,
            length,
            log[0],
            log[1],
            log[2],
            time_ns,
            stream.encode(),
            container_id.encode(),
        )
        _STATE.pack_into(self._map, 0, _UNDER_WAY)
        try:
            count = os.readv(descriptor, [self._view[_DATA : _DATA + length]])
        except OSError:
            self.done()
            raise
        return bytes(self._view[_DATA : _DATA + count])

    def done(self) -> None:
        """The chunk is in the log, or somewhere else where it is safe."""
        _STATE.pack_into(self._map, 0, _IDLE)

    def close(self) -> None:
        """Release the memory."""
        self._view.release()
        self._map.close()
        os.close(self.descriptor)


def chunk_under_way(descriptor: int) -> Chunk | None:
    """The chunk that the owner of this journal had read and not finished when it died; None if none."""
    content = os.pread(descriptor, _DATA + CHUNK_BYTES, 0)
    if len(content) < _DATA:
        return None
    state, length, size, device, inode, time_ns, stream, container_id = _HEADER.unpack_from(content)
    data = content[_DATA : _DATA + length]
    nonce = content[_DATA - _NONCE_BYTES : _DATA]
    if state != _UNDER_WAY or data[:_NONCE_BYTES] == nonce[:length]:
        return None
    return Chunk(
        container_id.rstrip(b"\0").decode(),
        stream.rstrip(b"\0").decode(),
        time_ns,
        size,
        (device, inode),
        data,
    )
