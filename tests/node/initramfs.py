"""Archives that the kernel unpacks as its first root: cpio, "newc" (the kernel's buffer-format.rst)."""

import stat
from collections.abc import Iterable
from dataclasses import dataclass

END = "TRAILER!!!"


@dataclass(frozen=True, slots=True)
class Member:
    """A file with ``data``, or a directory without."""

    path: str
    data: bytes | None = None
    mode: int = 0o755


def archive(members: Iterable[Member]) -> bytes:
    """The archive; parents come before what is in them."""
    parts = [_record(number, member) for number, member in enumerate(members, start=1)]
    return b"".join([*parts, _record(0, Member(END, b"", 0))])


def _record(inode: int, member: Member) -> bytes:
    data = member.data or b""
    kind = stat.S_IFDIR if member.data is None else stat.S_IFREG
    name = member.path.encode() + b"\0"
    links, owner, device, check = 1, 0, 0, 0
    fields = [inode, kind | member.mode, owner, owner, links, 0, len(data)]
    fields += [device] * 4 + [len(name), check]
    header = b"070701" + b"".join(b"%08X" % field for field in fields)
    return _padded(header + name) + _padded(data)


def _padded(data: bytes) -> bytes:
    return data + bytes(-len(data) % 4)
