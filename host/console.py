"""A terminal made inside a foreign root: checked to be devpts' own, its other end by descriptor (pty(7)).

Small on purpose: the monitor imports it.
"""

import fcntl
import os
import stat
import struct
import termios

from host.inroot import open_inside
from host.procfs import filesystem_type

_DEVPTS_MAGIC = 0x1CD1
_PTMX_INODE = 2
_PTMX = os.makedev(5, 2)
_TIOCGPTPEER = 0x5441
_TIOCGPTN = 0x80045430
_TIOCSPTLCK = 0x40045431


class NotDevpts(OSError):
    """What lies at /dev/pts/ptmx is another file."""


def open_terminal(root: int) -> tuple[int, int, str]:
    """Master, peer and name of a new terminal of the devpts at ``root``'s /dev/pts."""
    place = open_inside(root, "/dev/pts/ptmx", os.O_PATH | os.O_NOFOLLOW)
    try:
        status = os.fstat(place)
        right = stat.S_ISCHR(status.st_mode) and status.st_rdev == _PTMX and status.st_ino == _PTMX_INODE
        if not right or filesystem_type(place) != _DEVPTS_MAGIC:
            raise NotDevpts(1, "it is not the multiplexer of a devpts", "/dev/pts/ptmx")
        master = os.open(f"/proc/self/fd/{place}", os.O_RDWR | os.O_NOCTTY | os.O_CLOEXEC)
    finally:
        os.close(place)
    fcntl.ioctl(master, _TIOCSPTLCK, struct.pack("i", 0))
    number = struct.unpack("I", fcntl.ioctl(master, _TIOCGPTN, bytes(4)))[0]
    peer = fcntl.ioctl(master, _TIOCGPTPEER, os.O_RDWR | os.O_NOCTTY | os.O_CLOEXEC)
    return master, peer, f"/dev/pts/{number}"


def take_terminal(peer: int) -> None:
    """Make it our controlling terminal and descriptors 0 to 2."""
    for number in range(3):
        os.dup2(peer, number)
    fcntl.ioctl(0, termios.TIOCSCTTY, 0)
