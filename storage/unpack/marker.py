"""A process that sets the attributes which take CAP_SYS_ADMIN, and can do nothing else.

The unpack process gives that capability up, and a layer needs it nevertheless for overlayfs's opaque marks
and for signatures of files. So before it does, it forks this one, which keeps nothing but that:

    → a descriptor (SCM_RIGHTS), NAME and a zero byte and VALUE      one SOCK_SEQPACKET message
    ← the errno as a number, 0 for none

It ends when the other end of its socket is closed.
"""

import _socket
import os
import struct

from host import confine
from storage.unpack.tree import INTEGRITY_XATTRS, OPAQUE_XATTR

_CAP_SYS_ADMIN = 21
_MESSAGE_BYTES = 72 << 10  # a name, and a value as tar.py lets it be
_ANSWER_BYTES = 16
_RIGHTS = struct.Struct("=i")


class Marker:
    """The unpack process's end; it must have one thread only when it makes this."""

    def __init__(self, program: bytes | None) -> None:
        """``program`` is the compiled filter that the process is held to."""
        self._socket, theirs = _socket.socketpair(_socket.AF_UNIX, _socket.SOCK_SEQPACKET)
        self._pid = os.fork()
        if not self._pid:
            self._socket.close()
            _be_marker(theirs, program)
        theirs.close()

    def set(self, descriptor: int, key: str, value: bytes) -> None:
        """setxattr(2) on an open file.

        Raises:
            OSError: as that, or EPIPE when the process is not there any more.
        """
        message = key.encode() + b"\0" + value
        rights = [(_socket.SOL_SOCKET, _socket.SCM_RIGHTS, _RIGHTS.pack(descriptor))]
        self._socket.sendmsg([message], rights)
        answer = self._socket.recv(_ANSWER_BYTES)
        number = int(answer) if answer else 32  # EPIPE
        if number:
            raise OSError(number, os.strerror(number))

    def close(self) -> None:
        """End the process and wait for it."""
        self._socket.close()
        os.waitpid(self._pid, 0)


def _be_marker(socket: _socket.socket, program: bytes | None) -> None:
    """The process's life; never returns."""
    try:
        confine.keep_capabilities(_CAP_SYS_ADMIN)
        confine.no_files()
        if program is not None:
            confine.load_filter(program)
        while True:
            data, rights, _, _ = socket.recvmsg(_MESSAGE_BYTES, _socket.CMSG_SPACE(_RIGHTS.size))
            if not data:
                break
            socket.send(b"%d" % _mark(data, rights))
    finally:
        os._exit(0)


def _mark(data: bytes, rights: list[tuple[int, int, bytes]]) -> int:
    """Do what a message asks for; the errno."""
    name, _, value = data.partition(b"\0")
    key = name.decode(errors="replace")
    [(_, _, packed)] = rights
    (descriptor,) = _RIGHTS.unpack(packed)
    try:
        if key not in INTEGRITY_XATTRS and (key, value) != (OPAQUE_XATTR, b"y"):
            return 1  # EPERM
        os.setxattr(descriptor, key, value)
    except OSError as error:
        return error.errno or 1
    finally:
        os.close(descriptor)
    return 0
