"""Writes the entries of a layer below one directory, in the form that overlayfs reads.

Every path is resolved by the kernel with the directory as its root (openat2 RESOLVE_IN_ROOT), so no
symbolic link, ``..`` or absolute target leads out of it. Whiteouts (image-spec v1.1, layer.md) become
character devices 0/0, an opaque marker the attribute trusted.overlay.opaque
(kernel Documentation/filesystems/overlayfs.rst).
"""

import contextlib
import errno
import json
import os
import stat
from collections import OrderedDict
from collections.abc import Callable
from pathlib import Path

from host.files import RESOLVE_IN_ROOT, RESOLVE_NO_MAGICLINKS, openat2, remove_tree_at
from storage.unpack.faults import Kind, LayerFault, Limits
from storage.unpack.tar import Entry, Reader, Type

_WHITEOUT = b".wh."
_OPAQUE = b".wh..wh..opq"
# Of aufs, which Docker used until 2014: what is linked from elsewhere in the layer lies in here.
_AUFS_LINKS = b".wh..wh.plnk"
_BOOKKEEPING = _WHITEOUT + _WHITEOUT
_RESOLVE = RESOLVE_IN_ROOT | RESOLVE_NO_MAGICLINKS
_CREATE = os.O_CREAT | os.O_EXCL | os.O_WRONLY | os.O_NOFOLLOW | os.O_CLOEXEC
_OPEN_PARENTS = 128
_IMPLIED_MODE = 0o755
_BLOCK = 4096
_OBJECT_BYTES = 64
_CHECK_BYTES = 64 << 20  # written between two looks at the free space
_FEW_INODES = 1000
_REPLACED = frozenset({errno.ENOENT, errno.ENOTDIR, errno.ELOOP})
_DISK_FAULTS = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EIO, errno.EROFS})
# Attributes that speak to overlayfs itself: an image must not redirect or hide by them. Images that were
# committed from an overlay have them; the peers leave them out or set them without effect.
_OVERLAY_XATTRS = ("trusted.overlay.", "user.overlay.")
# Labels of another machine. All others are set, security.ima and security.evm too, as the peers do: a node
# that appraises needs an image's signatures. A kernel that does not take one has no use for it.
_FOREIGN_XATTRS = ("security.selinux", "trusted.", *_OVERLAY_XATTRS)
_REFUSALS = frozenset({errno.EOPNOTSUPP, errno.EPERM})
INTEGRITY_XATTRS = frozenset({"security.ima", "security.evm"})
OPAQUE_XATTR = "trusted.overlay.opaque"


def split_name(name: bytes) -> tuple[bytes, bytes]:
    """The parent directory ("" for the top) and the last part of a name; ("", "") is the root itself.

    Absolute names are below the root, too: ko and kaniko write them. A ``..`` takes the part before it away,
    whatever that is on disk.

    Raises:
        LayerFault: a ``..`` leads out of the root, or the name passes through a whiteout marker.
    """
    shown = name.decode(errors="replace")
    if b"\0" in name:
        raise LayerFault(Kind.HOSTILE, "zero byte in a path", shown)
    parts = [part for part in name.split(b"/") if part not in (b"", b".")]
    if b".." in parts:
        parts = _without_parents(parts, shown)
    if any(part.startswith(_WHITEOUT) for part in parts[:-1]) and not parts[0].startswith(_BOOKKEEPING):
        raise LayerFault(Kind.HOSTILE, "path below a whiteout marker", shown)
    return b"/".join(parts[:-1]), parts[-1] if parts else b""


def _without_parents(parts: list[bytes], shown: str) -> list[bytes]:
    kept: list[bytes] = []
    for part in parts:
        if part != b"..":
            kept.append(part)
        elif kept:
            kept.pop()
        else:
            raise LayerFault(Kind.HOSTILE, "path leads out of the layer by '..'", shown)
    return kept


class Tree:
    """The directory being filled; a context manager that holds its descriptors.

    ``privileged`` sets the attributes that take CAP_SYS_ADMIN (storage/unpack/marker.py) once it is given.
    """

    def __init__(self, directory: Path, limits: Limits) -> None:
        self._limits = limits
        self.privileged: Callable[[int, str, bytes], None] = os.setxattr
        self.root = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        self.disk_bytes = 0
        self.inodes = 0
        self.skipped_xattrs = 0
        self.skipped_devices = 0
        self._devices: set[bytes] = set()  # skipped, and so are links to them
        self._parents: OrderedDict[bytes, int] = OrderedDict()
        self._times: dict[bytes, int] = {}
        self._kept_bytes = 0
        self._implied: set[bytes] = set()
        self._implied_bytes = 0
        self._unchecked_bytes = _CHECK_BYTES
        self._has_aufs_links = False

    def __enter__(self) -> "Tree":
        return self

    def __exit__(self, *_: object) -> None:
        self._forget_parents()
        os.close(self.root)

    @property
    def implied(self) -> list[bytes]:
        """Directories that were needed and that no entry described, parents first."""
        return sorted(self._implied)

    def write(self, reader: Reader) -> None:
        """Write every entry of ``reader``.

        Raises:
            LayerFault: naming the entry.
        """
        entry: Entry | None = None
        try:
            for entry in reader:
                self._write_entry(entry, reader)
            self._finish()
        except OSError as error:
            kind = Kind.DISK if error.errno in _DISK_FAULTS else Kind.CORRUPT
            raise LayerFault(kind, f"{error.strerror}", _shown(entry) if entry else "") from error
        except (ValueError, OverflowError) as error:  # what Python refuses to pass to the kernel
            shown = _shown(entry) if entry else ""
            raise LayerFault(Kind.CORRUPT, f"cannot be made: {error}", shown) from error

    def _write_entry(self, entry: Entry, reader: Reader) -> None:
        directory, name = split_name(entry.name)
        if directory.count(b"/") + 2 > self._limits.name_parts:
            raise _too_large(entry, f"a path of more than {self._limits.name_parts} parts")
        if not name:
            if entry.type is Type.DIRECTORY:
                self._describe_root(entry)
            return
        if directory.startswith(_BOOKKEEPING):
            self._aufs_link(directory, name, entry, reader)
            return
        try:
            parent = self._parent(directory)
        except NotADirectoryError:  # a whiteout stands where a directory is wanted, or a file does
            hidden = self._lies_hidden(directory)
            if hidden and name.startswith(_WHITEOUT):
                return  # with all that is below it, as some tools write it
            self._make_implied(directory)
            parent = self._parent(directory)
        if name.startswith(_WHITEOUT):
            self._whiteout(parent, name, entry)
        elif entry.type is Type.FILE:
            self._file(parent, name, entry, reader)
        elif entry.type is Type.DIRECTORY:
            self._directory(parent, name, entry, directory + b"/" + name if directory else name)
        elif entry.type is Type.SYMLINK:
            self._symlink(parent, name, entry)
        elif entry.type is Type.HARD_LINK:
            self._hard_link(directory, name, entry)
        elif entry.type is Type.FIFO:
            self._fifo(parent, name, entry)
        else:
            self._skip_device(directory, name, entry)  # a container gets its /dev from the runtime

    def _aufs_link(self, directory: bytes, name: bytes, entry: Entry, reader: Reader) -> None:
        """A file that others of this layer are links to is kept until the end; the rest is passed over."""
        if directory != _AUFS_LINKS or entry.type is not Type.FILE:
            return
        if not self._has_aufs_links:
            os.mkdir(_AUFS_LINKS, 0o700, dir_fd=self.root)  # no entry's: none can be called so
            self._has_aufs_links = True
        self._file(self._parent(_AUFS_LINKS), name, entry, reader)

    def _skip_device(self, directory: bytes, name: bytes, entry: Entry) -> None:
        self.skipped_devices += 1
        path = directory + b"/" + name
        self._devices.add(path)
        self._keep_bytes(len(path), entry)

    # -- parents -------------------------------------------------------------------------------

    def _parent(self, path: bytes) -> int:
        """A descriptor of the directory ``path``, made with what leads to it if it is not there."""
        descriptor = self._parents.get(path)
        if descriptor is not None:
            return descriptor
        if not path:
            return self.root
        try:
            descriptor = self._open_directory(path)
        except FileNotFoundError:
            self._make_implied(path)
            descriptor = self._open_directory(path)
        self._parents[path] = descriptor
        if len(self._parents) > _OPEN_PARENTS:
            os.close(self._parents.popitem(last=False)[1])
        return descriptor

    def _open_directory(self, path: bytes) -> int:
        return openat2(self.root, path, os.O_RDONLY | os.O_DIRECTORY, resolve=_RESOLVE)

    def _lies_hidden(self, path: bytes) -> bool:
        """Whether a whiteout of this layer hides what the layers below have at ``path``."""
        parts = path.split(b"/")
        for count in range(1, len(parts) + 1):
            descriptor = openat2(
                self.root, b"/".join(parts[:count]), os.O_PATH | os.O_NOFOLLOW, resolve=_RESOLVE
            )
            try:
                found = os.fstat(descriptor)
            finally:
                os.close(descriptor)
            if not stat.S_ISDIR(found.st_mode) and not stat.S_ISLNK(found.st_mode):
                return _is_whiteout(found)
        return False

    def _make_implied(self, path: bytes) -> None:
        """Make the missing directories of ``path`` one by one, root's and with the usual mode. Where a
        whiteout stands the directory shows nothing of the layers below."""
        made = b""
        descriptor = os.dup(self.root)
        try:
            for part in path.split(b"/"):
                made = made + b"/" + part if made else part
                fresh = _make_directory(part, descriptor)
                uncovered = not fresh and _uncover(part, descriptor)
                following = self._open_directory(made)
                os.close(descriptor)
                descriptor = following
                if uncovered:
                    self._make_opaque(descriptor)
                if fresh:
                    os.fchown(descriptor, 0, 0)
                    os.fchmod(descriptor, _IMPLIED_MODE)
                    self._imply(made)
                    self._count(0)
        finally:
            os.close(descriptor)

    def _imply(self, path: bytes) -> None:
        self._implied.add(path)
        self._implied_bytes += _reported_bytes(path)
        if self._implied_bytes > self._limits.implied_bytes:
            raise LayerFault(Kind.TOO_LARGE, "too many directories that no entry describes", _text(path))

    def _forget_parents(self) -> None:
        for descriptor in self._parents.values():
            os.close(descriptor)
        self._parents.clear()

    # -- kinds of entries ----------------------------------------------------------------------

    def _file(self, parent: int, name: bytes, entry: Entry, reader: Reader) -> None:
        try:
            descriptor = os.open(name, _CREATE, entry.mode, dir_fd=parent)
        except FileExistsError:
            self._replace(parent, name)
            descriptor = os.open(name, _CREATE, entry.mode, dir_fd=parent)
        stored = 0
        try:
            if entry.size:
                self._spend(stored := entry.stored)
                reader.copy_content(descriptor)
            # root's files too: a directory with the set-group-ID bit gives its group to what is made in it.
            # Changing the owner clears set-id bits and file capabilities: they come after it.
            os.fchown(descriptor, entry.uid, entry.gid)
            if entry.mode & 0o6000:
                os.fchmod(descriptor, entry.mode)
            if entry.xattrs:
                self._set_xattrs(descriptor, entry)
            os.utime(descriptor, ns=(entry.mtime_ns, entry.mtime_ns))
        finally:
            os.close(descriptor)
        self._count(stored)

    def _directory(self, parent: int, name: bytes, entry: Entry, path: bytes) -> None:
        opaque = False
        try:
            os.mkdir(name, entry.mode, dir_fd=parent)
            self._count(0)
        except FileExistsError:
            found = os.stat(name, dir_fd=parent, follow_symlinks=False)
            if not stat.S_ISDIR(found.st_mode):
                opaque = _is_whiteout(found)
                self._replace(parent, name)
                os.mkdir(name, entry.mode, dir_fd=parent)
                self._count(0)
        descriptor = os.open(name, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=parent)
        try:
            self._describe(descriptor, entry)
            if opaque:
                self._make_opaque(descriptor)
        finally:
            os.close(descriptor)
        if path in self._implied:
            self._implied.remove(path)
            self._implied_bytes -= _reported_bytes(path)
        self._touch_later(path, entry)

    def _touch_later(self, path: bytes, entry: Entry) -> None:
        if path not in self._times:
            self._keep_bytes(len(path), entry)
        self._times[path] = entry.mtime_ns

    def _keep_bytes(self, size: int, entry: Entry) -> None:
        """Count a name that is kept until the end."""
        self._kept_bytes += size
        if self._kept_bytes > self._limits.directory_bytes:
            raise _too_large(entry, f"names of directories of {self._kept_bytes} bytes")

    def _describe_root(self, entry: Entry) -> None:
        self._describe(self.root, entry)
        self._times[b""] = entry.mtime_ns

    def _describe(self, descriptor: int, entry: Entry) -> None:
        os.fchown(descriptor, entry.uid, entry.gid)
        os.fchmod(descriptor, entry.mode)
        if entry.xattrs:
            self._set_xattrs(descriptor, entry)

    def _symlink(self, parent: int, name: bytes, entry: Entry) -> None:
        try:
            os.symlink(entry.link, name, dir_fd=parent)
        except FileExistsError:
            self._replace(parent, name)
            os.symlink(entry.link, name, dir_fd=parent)
        os.chown(name, entry.uid, entry.gid, dir_fd=parent, follow_symlinks=False)
        os.utime(name, ns=(entry.mtime_ns, entry.mtime_ns), dir_fd=parent, follow_symlinks=False)
        self._count(0)

    def _hard_link(self, directory: bytes, name: bytes, entry: Entry) -> None:
        try:
            target_directory, target = split_name(entry.link)
        except LayerFault as fault:
            raise _hostile(entry, f"hard link to {entry.link!r}: {fault.text}") from fault
        if not target or target.startswith(_WHITEOUT) or self._is_no_aufs_link(target_directory):
            raise _hostile(entry, f"hard link to {entry.link!r}")
        if target_directory + b"/" + target in self._devices:
            self._skip_device(directory, name, entry)
            return
        source = self._open_directory(target_directory) if target_directory else os.dup(self.root)
        try:
            self._link(source, target, directory, name, entry)
        except FileNotFoundError as error:
            raise LayerFault(
                Kind.CORRUPT, f"hard link to {entry.link!r}, which is not in this layer", _shown(entry)
            ) from error
        finally:
            os.close(source)

    def _is_no_aufs_link(self, directory: bytes) -> bool:
        return directory.startswith(_BOOKKEEPING) and directory != _AUFS_LINKS

    def _link(self, source: int, target: bytes, directory: bytes, name: bytes, entry: Entry) -> None:
        found = os.stat(target, dir_fd=source, follow_symlinks=False)
        if stat.S_ISDIR(found.st_mode) or stat.S_ISCHR(found.st_mode):
            raise _hostile(entry, f"hard link to {entry.link!r}, which is no file")
        parent = self._parent(directory)
        try:
            os.link(target, name, src_dir_fd=source, dst_dir_fd=parent, follow_symlinks=False)
        except FileExistsError:
            existing = os.stat(name, dir_fd=parent, follow_symlinks=False)
            if os.path.samestat(existing, found):
                return
            self._replace(parent, name)
            os.link(target, name, src_dir_fd=source, dst_dir_fd=parent, follow_symlinks=False)

    def _fifo(self, parent: int, name: bytes, entry: Entry) -> None:
        with contextlib.suppress(FileNotFoundError):
            os.stat(name, dir_fd=parent, follow_symlinks=False)
            self._replace(parent, name)
        os.mkfifo(name, entry.mode, dir_fd=parent)
        os.chown(name, entry.uid, entry.gid, dir_fd=parent, follow_symlinks=False)
        os.utime(name, ns=(entry.mtime_ns, entry.mtime_ns), dir_fd=parent, follow_symlinks=False)
        self._count(0)

    def _whiteout(self, parent: int, name: bytes, entry: Entry) -> None:
        """Hide a name of the layers below; what this layer itself has of that name stays."""
        if name == _OPAQUE:
            self._make_opaque(parent)
            return
        hidden = name[len(_WHITEOUT) :]
        if hidden.startswith(_WHITEOUT):
            return  # bookkeeping of aufs (.wh..wh.plnk, .wh..wh.aufs)
        if hidden in (b"", b".", b".."):
            raise _hostile(entry, "whiteout of no name")
        try:
            os.mknod(hidden, stat.S_IFCHR, 0, dir_fd=parent)
            self._count(0)
        except FileExistsError:
            found = os.stat(hidden, dir_fd=parent, follow_symlinks=False)
            if stat.S_ISDIR(found.st_mode):
                descriptor = os.open(
                    hidden, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=parent
                )
                try:
                    self._make_opaque(descriptor)
                finally:
                    os.close(descriptor)

    def _make_opaque(self, descriptor: int) -> None:
        self.privileged(descriptor, OPAQUE_XATTR, b"y")

    # -- shared --------------------------------------------------------------------------------

    def _replace(self, parent: int, name: bytes) -> None:
        """Make room: a later entry of the same name wins."""
        self._forget_parents_but(parent)
        remove_tree_at(parent, os.fsdecode(name))

    def _forget_parents_but(self, kept: int) -> None:
        """What was cached may have led through the replaced entry."""
        for path, descriptor in list(self._parents.items()):
            if descriptor != kept:
                os.close(self._parents.pop(path))

    def _set_xattrs(self, descriptor: int, entry: Entry) -> None:
        for key, value in entry.xattrs:
            if key.startswith(_FOREIGN_XATTRS):
                self.skipped_xattrs += 1
                continue
            set_it = self.privileged if key in INTEGRITY_XATTRS else os.setxattr
            try:
                set_it(descriptor, key, value)
            except OSError as error:
                if error.errno not in _REFUSALS and key not in INTEGRITY_XATTRS:
                    raise
                self.skipped_xattrs += 1

    def _count(self, size: int) -> None:
        self.inodes += 1
        if self.inodes > self._limits.entries:
            raise LayerFault(Kind.TOO_LARGE, f"more than {self._limits.entries} files and directories")
        self.disk_bytes += _on_disk(size)
        if not size:
            self._spend(_BLOCK)

    def _spend(self, size: int) -> None:
        """Before ``size`` bytes are written: look now and then whether the disk keeps its reserve."""
        self._unchecked_bytes -= size
        if self._unchecked_bytes >= 0:
            return
        self._unchecked_bytes = _CHECK_BYTES
        found = os.fstatvfs(self.root)
        reserve = min(self._limits.reserve_bytes, found.f_blocks * found.f_frsize // 20)
        if found.f_bavail * found.f_frsize - size < reserve:
            raise LayerFault(Kind.DISK, f"No space left on device: {reserve} bytes of it are kept free")
        if found.f_files and found.f_favail < _FEW_INODES:
            raise LayerFault(Kind.DISK, f"No inodes left on device: {_FEW_INODES} of them are kept free")

    def _finish(self) -> None:
        """Drop what is no part of the layer, and set the times of directories, which every entry touched."""
        if self._has_aufs_links:
            self._drop_aufs_links()
        for path, time in reversed(self._times.items()):
            try:
                descriptor = self._open_directory(path)
            except OSError as error:
                if error.errno in _REPLACED:  # by a later entry
                    continue
                raise
            try:
                os.utime(descriptor, ns=(time, time))
            finally:
                os.close(descriptor)

    def _drop_aufs_links(self) -> None:
        parent = self._parent(_AUFS_LINKS)
        for found in list(os.scandir(parent)):
            status = found.stat(follow_symlinks=False)
            if status.st_nlink == 1:
                self.inodes -= 1
                self.disk_bytes -= _on_disk(status.st_size)
        self._replace(self.root, _AUFS_LINKS)


def _on_disk(size: int) -> int:
    """What the content of a file takes, in whole blocks and at least one."""
    return (size + _BLOCK - 1) // _BLOCK * _BLOCK or _BLOCK


def _make_directory(name: bytes, parent: int) -> bool:
    """Whether it was missing; what is there may be a directory, or a link to be resolved inside the root."""
    try:
        os.mkdir(name, _IMPLIED_MODE, dir_fd=parent)
    except FileExistsError:
        return False
    return True


def _uncover(name: bytes, parent: int) -> bool:
    """Make a directory in the place of a whiteout; whether there was one."""
    if not _is_whiteout(os.stat(name, dir_fd=parent, follow_symlinks=False)):
        return False
    os.unlink(name, dir_fd=parent)
    return _make_directory(name, parent)


def _is_whiteout(found: os.stat_result) -> bool:
    return stat.S_ISCHR(found.st_mode) and found.st_rdev == 0


def _reported_bytes(path: bytes) -> int:
    """What a name takes in the report, escaped, and as an object of its reader."""
    return len(json.dumps(os.fsdecode(path))) + _OBJECT_BYTES


def _text(name: bytes) -> str:
    return name.decode(errors="replace")


def _shown(entry: Entry) -> str:
    return _text(entry.name)


def _too_large(entry: Entry, text: str) -> LayerFault:
    return LayerFault(Kind.TOO_LARGE, text, _shown(entry))


def _hostile(entry: Entry, text: str) -> LayerFault:
    return LayerFault(Kind.HOSTILE, text, _shown(entry))
