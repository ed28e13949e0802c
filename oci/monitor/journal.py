"""What is on its way from pipes to logs, in shared memory, so that a killed writer loses no byte of it.

Monitor and daemon hold the same memfd. It has slots, for one chunk each: one is on its way at a time, for a
writer has one thread; others wait for room on a disk. And one for each stream whose last line in the log has
no end yet: it says so to a successor, and the line's end goes through it like a chunk, of no bytes.

    begin   header says: container, stream, number of bytes (all in the pipe already, so that the read gives
            exactly these or has not happened), the log's identity and size; a nonce fills the data's start
    read    straight into the memory
    done    the log has it; the header says: nothing under way

A log that has no room may take the first of a chunk's lines. Then others may write to it, until the rest is
tried again, so what is noted is of one try each:

    stall   header says: nothing is being written, the log has so many bytes of the chunk's lines for good
    again   header says: the rest is being written; the log's identity and size now

A successor that finds the nonce knows that the read did not happen. Of a try that was under way it cuts the
log to the noted size, and where none was it cuts nothing: what is behind may be others'. Then it writes what
the log had not got for good: nothing lost, nothing twice. It takes the slots over as they are.

There is one writer for a journal at a time: it holds an exclusive lock (flock(2)), which the kernel takes
from it when it has ended for good. One that was killed while a file system held it may write until then.
"""

import fcntl
import mmap
import os
import secrets
import struct
import time
from typing import NamedTuple

CHUNK_BYTES = 65536  # what a pipe holds by default
# State, length, size, device, inode, time, stream, container; bytes taken before the try, and after it.
_HEADER = struct.Struct("=IIQQQQ8s128sQQ")
_DATA = mmap.PAGESIZE
_NONCE_BYTES = 16
_NO_TEXT = bytes((0xC0, 0xC1, *range(0xF5, 0x100)))  # are in no UTF-8
_SLOT_BYTES = _DATA + CHUNK_BYTES
# 2 was "stalled" of earlier versions, which noted the first try only: like that one under way.
_IDLE, _UNDER_WAY, _STALLED_BEFORE, _UNFINISHED, _STALLED, _UNDER_WAY_AGAIN = range(6)
_REFUSED = (_STALLED, _UNDER_WAY_AGAIN, _STALLED_BEFORE)
_STATE = struct.Struct("=I")
_LOG_SIZE = struct.Struct("=Q")
_LOG = struct.Struct("=QQQ")
_LOG_AT = 8
_TAKEN = struct.Struct("=Q")
_TAKEN_AT = _HEADER.size - 2 * _TAKEN.size
_TAKEN_AFTER_AT = _HEADER.size - _TAKEN.size
Place = tuple[int, int, int]  # a log's size before a try to write to it, device and inode
_SPARE = 1  # free slots whose memory is kept


class Chunk(NamedTuple):
    """A chunk that a dead writer had read; its log has ``taken`` bytes of the chunk's lines for good.

    If a try is under way, it may have written the rest or a part of it, behind the size in ``log``. Without
    data it is the end of a line whose newline never came.
    """

    container_id: str
    stream: str
    time_ns: int
    log: Place
    data: bytes
    taken: int = 0
    is_under_way: bool = True


class Unfinished(NamedTuple):
    """A stream whose last line in the log has no end yet."""

    container_id: str
    stream: str


class Waiting(NamedTuple):
    """A chunk that a log has not got yet; ``is_refused`` if its file system said that there is no room."""

    container_id: str
    since_ns: int
    is_refused: bool


def new_journal() -> int:
    """A journal without slots: its descriptor."""
    return os.memfd_create("podwright-journal", os.MFD_CLOEXEC)


class Slot:
    """Room for one chunk."""

    __slots__ = ("_journal", "_map", "_nonce", "_view", "_was_refused", "number")

    def __init__(self, journal: "Journal", number: int) -> None:
        """Made by :class:`Journal`."""
        self._journal = journal
        self.number = number
        self._map = mmap.mmap(journal.descriptor, _SLOT_BYTES, offset=number * _SLOT_BYTES)
        self._view = memoryview(self._map)
        self._was_refused = True
        # Beside the header, where only a reader of the journal looks: what an unread chunk starts with.
        # Of bytes that no text has: the first is all there is to tell a chunk of one byte from none.
        self._nonce = bytes(secrets.choice(_NO_TEXT) for _ in range(_NONCE_BYTES))

    def read(
        self,
        descriptor: int,
        length: int,
        container_id: str,
        stream: str,
        time_ns: int,
        log: Place,
    ) -> bytes:
        """Read ``length`` bytes (at most CHUNK_BYTES; that many are there) and keep them until :meth:`done`.

        ``log`` is the log's size, device and inode.
        """
        self._view[_DATA - _NONCE_BYTES : _DATA] = self._nonce
        self._view[_DATA : _DATA + _NONCE_BYTES] = self._nonce
        self._begin(_UNDER_WAY, length, container_id, stream, time_ns, log)
        try:
            count = os.readv(descriptor, [self._view[_DATA : _DATA + length]])
        except OSError:
            self.done()
            raise
        return bytes(self._view[_DATA : _DATA + count])

    def unfinished(self, container_id: str, stream: str) -> None:
        """Tell a successor that the last line of this stream has no end yet."""
        self._begin(_UNFINISHED, 0, container_id, stream, 0, (0, 0, 0))

    def finished(self) -> None:
        """It has one now."""
        _STATE.pack_into(self._map, 0, _IDLE)

    def end_line(self, container_id: str, stream: str, time_ns: int, log: Place) -> None:
        """The end of this unfinished line is about to be written to ``log`` (size, device and inode)."""
        self._begin(_UNDER_WAY, 0, container_id, stream, time_ns, log, before=_UNFINISHED)

    def _begin(
        self,
        state: int,
        length: int,
        container_id: str,
        stream: str,
        time_ns: int,
        log: Place,
        before: int = _IDLE,
    ) -> None:
        """The state comes last: until then a successor finds what was ``before``."""
        its = stream.encode(), container_id.encode()
        _HEADER.pack_into(self._map, 0, before, length, *log, time_ns, *its, 0, 0)
        _STATE.pack_into(self._map, 0, state)

    def log_is_cut(self) -> None:
        """The log is about to be begun anew: a successor writes the chunk to its start."""
        _LOG_SIZE.pack_into(self._map, _LOG_AT, 0)

    def stall(self, taken: int = 0) -> None:
        """The try is over, the log has taken so many bytes more; the rest stays, and others may write."""
        (state,) = _STATE.unpack_from(self._map, 0)
        if state == _STALLED:
            return  # for want of an open log there was no try
        self._was_refused = True
        (before,) = _TAKEN.unpack_from(self._map, _TAKEN_AT)
        _TAKEN.pack_into(self._map, _TAKEN_AFTER_AT, before + taken)
        _STATE.pack_into(self._map, 0, _STALLED)

    def mended(self) -> None:
        """What a try may have written that did not end is taken back, and others may write."""
        self.stall()
        self._was_refused = False

    def again(self, log: Place) -> None:
        """The rest is about to be written to ``log`` (size, device and inode).

        Between the stores a successor finds that nothing is under way, or a try that has not written yet.
        """
        (state,) = _STATE.unpack_from(self._map, 0)
        _LOG.pack_into(self._map, _LOG_AT, *log)
        if state == _STALLED:
            self._map[_TAKEN_AT:_TAKEN_AFTER_AT] = self._map[_TAKEN_AFTER_AT : _HEADER.size]
            _STATE.pack_into(self._map, 0, _UNDER_WAY_AGAIN if self._was_refused else _UNDER_WAY)

    def done(self) -> None:
        """The chunk is in the log, or somewhere else where it is safe; the slot is free."""
        _STATE.pack_into(self._map, 0, _IDLE)
        self._journal.give_back(self)

    def forget_data(self) -> None:
        """Give the chunk's memory back to the kernel."""
        self._map.madvise(mmap.MADV_REMOVE, _DATA, CHUNK_BYTES)

    def close(self) -> None:
        """Unmap it."""
        self._view.release()
        self._map.close()


class Journal:
    """The writing side; see the module."""

    def __init__(self, descriptor: int) -> None:
        """Become the writer of ``descriptor``, which is taken over; waits for the one before to end."""
        # Of our own, for the lock belongs to an open file and ends with its last descriptor.
        self.descriptor = os.open(f"/proc/self/fd/{descriptor}", os.O_RDWR | os.O_CLOEXEC)
        os.close(descriptor)
        fcntl.flock(self.descriptor, fcntl.LOCK_EX)
        self._free: list[Slot] = []
        self._slots: list[Slot] = []
        # By the writer before.
        self.left: list[tuple[Slot, Chunk]] = []
        self.unfinished: list[tuple[Slot, Unfinished]] = []
        for number in range(os.fstat(self.descriptor).st_size // _SLOT_BYTES):
            slot = Slot(self, number)
            self._slots.append(slot)
            match _content(os.pread(self.descriptor, _SLOT_BYTES, number * _SLOT_BYTES)):
                case Chunk() as chunk:
                    self.left.append((slot, chunk))
                case Unfinished() as line:
                    self.unfinished.append((slot, line))
                case None:
                    slot.done()

    def take(self) -> Slot:
        """A free slot."""
        if not self._free:
            os.ftruncate(self.descriptor, (len(self._slots) + 1) * _SLOT_BYTES)
            self._slots.append(Slot(self, len(self._slots)))
            return self._slots[-1]
        return self._free.pop()

    def give_back(self, slot: Slot) -> None:
        """It is free again."""
        if len(self._free) >= _SPARE:
            slot.forget_data()
            self._free.insert(0, slot)
        else:
            self._free.append(slot)

    def close(self) -> None:
        """Release memory and lock."""
        for slot in self._slots:
            slot.close()
        os.close(self.descriptor)


def waiting(descriptor: int, age_s: float) -> list[Waiting]:
    """What has been in the journal for longer than ``age_s``; for those who do not write it."""
    found = []
    oldest_ns = time.time_ns() - int(age_s * 1e9)
    for number in range(os.fstat(descriptor).st_size // _SLOT_BYTES):
        header = os.pread(descriptor, _HEADER.size, number * _SLOT_BYTES)
        state, _, _, _, _, time_ns, _, container_id, _, _ = _HEADER.unpack(header)
        if state in (_UNDER_WAY, *_REFUSED) and time_ns < oldest_ns:
            found.append(Waiting(container_id.rstrip(b"\0").decode(), time_ns, state in _REFUSED))
    return found


def _content(content: bytes) -> Chunk | Unfinished | None:
    """What the owner of this slot had read and not finished when it died; None if nothing."""
    header = _HEADER.unpack_from(content)
    state, length, size, device, inode, time_ns, stream, container_id, taken, taken_after = header
    data = content[_DATA : _DATA + length]
    nonce = content[_DATA - _NONCE_BYTES : _DATA]
    its = container_id.rstrip(b"\0").decode(), stream.rstrip(b"\0").decode()
    if state == _UNFINISHED:
        return Unfinished(*its)
    if state == _IDLE or (state == _UNDER_WAY and length and data[:_NONCE_BYTES] == nonce[:length]):
        return None
    if state == _STALLED:
        return Chunk(*its, time_ns, (size, device, inode), data, taken_after, is_under_way=False)
    return Chunk(*its, time_ns, (size, device, inode), data, taken)
