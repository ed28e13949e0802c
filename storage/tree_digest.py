"""A digest of a tree: contents, kinds, modes, owners, times, links and attributes, and no place on the disk.

Two trees have the same exactly when no process could tell them apart but by inode numbers.
"""

import hashlib
import os
import stat
from pathlib import Path

_CHUNK_BYTES = 1 << 20


def tree_digest(tree: Path) -> str:
    """Hex sha256 of the tree at ``tree``, which nobody changes meanwhile; no link is followed. Blocking.

    Raises:
        OSError: something in it cannot be read, which is how a disk tells of itself.
    """
    whole = hashlib.sha256()
    linked: dict[int, bytes] = {}
    pending = [(os.fsencode(tree), b"")]
    while pending:
        path, name = pending.pop()
        found = os.lstat(path)
        whole.update(_entry(path, name, found, linked))
        if stat.S_ISDIR(found.st_mode):
            children = sorted(os.listdir(path), reverse=True)  # noqa: PTH208 - names are bytes
            pending += [(path + b"/" + child, name + b"/" + child) for child in children]
    return whole.hexdigest()


def _entry(path: bytes, name: bytes, found: os.stat_result, linked: dict[int, bytes]) -> bytes:
    """Digest of one entry and its name; a further link to a file names the first."""
    digest = hashlib.sha256()
    numbers = (found.st_mode, found.st_uid, found.st_gid, found.st_mtime_ns, found.st_rdev)
    _add(digest, name, repr(numbers).encode())
    for key in sorted(os.listxattr(path, follow_symlinks=False)):
        _add(digest, os.fsencode(key), os.getxattr(path, key, follow_symlinks=False))
    if found.st_nlink > 1 and not stat.S_ISDIR(found.st_mode):
        first = linked.setdefault(found.st_ino, name)
        if first != name:
            _add(digest, b"link", first)
            return digest.digest()
    if stat.S_ISLNK(found.st_mode):
        _add(digest, b"target", os.readlink(path))  # noqa: PTH115 - names are bytes
    elif stat.S_ISREG(found.st_mode):
        _add(digest, b"content", _content(path))
    return digest.digest()


def _add(digest: "hashlib._Hash", *parts: bytes) -> None:
    for part in parts:
        digest.update(b"%d:" % len(part))
        digest.update(part)


def _content(path: bytes) -> bytes:
    content = hashlib.sha256()
    descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
    try:
        while chunk := os.read(descriptor, _CHUNK_BYTES):
            content.update(chunk)
    finally:
        os.close(descriptor)
    return content.digest()
