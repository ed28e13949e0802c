"""Mounts below the new root: built detached, attached by descriptor, so never at a place that was swapped."""

import errno
import os
import stat

from host.clone import CLONE_NEWUSER, fork
from host.inroot import find_or_make, is_directory, make_directories, open_inside
from host.mounts import (
    MOUNT_ATTR_IDMAP,
    closing_descriptor,
    mount_setattr,
    open_tree,
)
from host.openat2 import RESOLVE_BENEATH, RESOLVE_NO_SYMLINKS, openat2
from host.procfs import PROC_SUPER_MAGIC, filesystem_type, pid_of, write_in
from host.trees import attach, clone_of, new_filesystem, set_attributes
from oci.run.errors import StepFailed
from oci.run.operations import Attributes, AwaitTrees, BindMount, IdMap, Map, NewMount, Remount
from oci.run.perform.context import Context

_MS_REC = 0x4000
_REAL_DIRECTORIES = ("proc", "sysfs")


def bind_mount(operation: BindMount, context: Context) -> None:
    tree = source_tree(operation, context) if operation.tree < 0 else context.trees[operation.tree]
    with closing_descriptor(tree):
        with closing_descriptor(_place_for(tree, operation, context)) as place:
            _refuse_over_proc(operation, tree)
            apply(tree, operation.attributes)
            attach(tree, place)
        propagate(tree, operation.propagation)


def source_tree(operation: BindMount, context: Context) -> int:
    """A detached copy of the source, its ids mapped if they are to be."""
    flags = os.O_PATH | os.O_CLOEXEC | (0 if operation.follow_source else os.O_NOFOLLOW)
    with closing_descriptor(os.open(operation.source, flags)) as source:
        tree = clone_of(source, recursive=operation.recursive)
    if operation.idmap is not None:
        _map_ids(tree, operation.source, operation.idmap, context)
    return tree


def _map_ids(tree: int, source: str, idmap: IdMap, context: Context) -> None:
    userns = _userns_of(idmap, context)
    try:
        mount_setattr(tree, attributes_set=MOUNT_ATTR_IDMAP, userns=userns, recursive=idmap.recursive)
    except OSError as error:
        text = f"cannot be mounted with mapped ids: {error.strerror}"
        raise OSError(error.errno, text, source) from error


def _userns_of(idmap: IdMap, context: Context) -> int:
    """A user namespace that holds the maps: that of a child which has no other use."""
    key = (idmap.uids, idmap.gids)
    if key not in context.maps:
        reading, writing = os.pipe2(os.O_CLOEXEC)
        pid, pidfd = fork(CLONE_NEWUSER)
        if pid == 0:
            os.close(writing)
            os.read(reading, 1)
            os._exit(0)
        try:
            seen = pid_of(context.procfs, pidfd)
            write_maps(context.procfs, seen, idmap.uids, idmap.gids)
            context.maps[key] = os.open(f"{seen}/ns/user", os.O_RDONLY | os.O_CLOEXEC, dir_fd=context.procfs)
        finally:
            os.close(reading)
            os.close(writing)
            os.waitpid(pid, 0)
            os.close(pidfd)
    return context.maps[key]


def write_maps(procfs: int, pid: int, uids: Map, gids: Map) -> None:
    """uid_map and gid_map of a process, in a write each; who is not root may map its own ids alone."""
    if os.geteuid() != 0:
        write_in(procfs, f"{pid}/setgroups", "deny")
    for name, entries in (("uid_map", uids), ("gid_map", gids)):
        text = "".join(f"{inside} {outside} {size}\n" for inside, outside, size in entries)
        write_in(procfs, f"{pid}/{name}", text)


def _place_for(tree: int, operation: BindMount, context: Context) -> int:
    place = find_or_make(context.root, operation.target, directory=is_directory(tree))
    if is_directory(place) != is_directory(tree):
        os.close(place)
        number = errno.ENOTDIR if is_directory(tree) else errno.EISDIR
        raise OSError(
            number, f"{os.strerror(number)}: source and target of a bind mount differ", operation.target
        )
    return place


def _refuse_over_proc(operation: BindMount, tree: int) -> None:
    """Over /proc only another procfs: what reads and writes there must meet the kernel."""
    if operation.target == "/proc" and filesystem_type(tree) != PROC_SUPER_MAGIC:
        raise StepFailed('"/proc" cannot be mounted because it is not of type proc', errno.EPERM)


def apply(tree: int, attributes: Attributes) -> None:
    """Set what is to be set on the mount alone, then what on all below it too."""
    set_attributes(tree, attributes.wanted, attributes.unwanted)
    set_attributes(tree, attributes.recursive_wanted, attributes.recursive_unwanted, recursive=True)


def propagate(tree: int, kinds: tuple[int, ...]) -> None:
    """MS_PRIVATE and so on, one after the other."""
    for kind in kinds:
        mount_setattr(tree, propagation=kind & ~_MS_REC, recursive=bool(kind & _MS_REC))


def new_mount(operation: NewMount, context: Context) -> None:
    with closing_descriptor(_new_place(operation, context)) as place:
        options = operation.options
        if operation.fstype == "tmpfs" and not any(one.startswith("mode=") for one in options):
            options = (*options, f"mode={stat.S_IMODE(os.fstat(place).st_mode):o}")
        tree = new_filesystem(operation.fstype, operation.source, options, operation.attributes.wanted)
        with closing_descriptor(tree):
            apply(tree, operation.attributes)
            if operation.copy_up:
                _copy_contents(place, tree)
            attach(tree, place)
            propagate(tree, operation.propagation)


def _new_place(operation: NewMount, context: Context) -> int:
    """For procfs and sysfs a real directory at this very path: a link would mislead checks of other paths."""
    if operation.fstype not in _REAL_DIRECTORIES:
        return find_or_make(context.root, operation.target, directory=True)
    os.close(make_directories(context.root, operation.target))
    rules = RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS
    try:
        name = operation.target.strip("/")
        return openat2(context.root, name, os.O_PATH | os.O_DIRECTORY, resolve=rules)
    except OSError as error:
        if error.errno != errno.ELOOP:
            raise
        text = f'filesystem "{operation.fstype}" must be mounted on ordinary directory'
        raise StepFailed(f"{text}: {operation.target} has a symbolic link in it", errno.ELOOP) from None


def _copy_contents(place: int, tree: int) -> None:
    """What the directory holds comes into the tmpfs, with modes, owners and links (tmpcopyup)."""
    flags = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC
    with closing_descriptor(os.open(".", flags, dir_fd=place)) as source:
        with closing_descriptor(os.open(".", flags, dir_fd=tree)) as target:
            _copy_directory(source, target)


def _copy_directory(source: int, target: int) -> None:
    for name in os.listdir(source):
        status = os.stat(name, dir_fd=source, follow_symlinks=False)
        kind = stat.S_IFMT(status.st_mode)
        if kind == stat.S_IFLNK:
            os.symlink(os.readlink(name, dir_fd=source), name, dir_fd=target)
        elif kind == stat.S_IFDIR:
            os.mkdir(name, 0o700, dir_fd=target)
            flags = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
            with closing_descriptor(os.open(name, flags, dir_fd=source)) as below:
                with closing_descriptor(os.open(name, flags, dir_fd=target)) as copy:
                    _copy_directory(below, copy)
        elif kind == stat.S_IFREG:
            _copy_file(source, target, name)
        else:
            os.mknod(name, status.st_mode, status.st_rdev, dir_fd=target)
        os.chown(name, status.st_uid, status.st_gid, dir_fd=target, follow_symlinks=False)
        if kind != stat.S_IFLNK:
            os.chmod(name, stat.S_IMODE(status.st_mode), dir_fd=target)
        times = (status.st_atime_ns, status.st_mtime_ns)
        os.utime(name, ns=times, dir_fd=target, follow_symlinks=False)


def _copy_file(source: int, target: int, name: str) -> None:
    reading = os.open(name, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC, dir_fd=source)
    with closing_descriptor(reading):
        flags = os.O_CREAT | os.O_EXCL | os.O_WRONLY | os.O_CLOEXEC
        with closing_descriptor(os.open(name, flags, 0o600, dir_fd=target)) as writing:
            while data := os.read(reading, 1 << 20):
                os.write(writing, data)


def remount(operation: Remount, context: Context) -> None:
    with closing_descriptor(open_inside(context.root, operation.target)) as place:
        with closing_descriptor(open_tree("", clone=False, directory=place)) as tree:
            apply(tree, operation.attributes)


def await_trees(operation: AwaitTrees, context: Context) -> None:
    context.tell({"ask": "trees"})
    (context.root,) = context.hear()
    context.place = operation.root.rootfs
    for _ in operation.binds:
        context.trees += context.hear()
    while operation.cgroups and (trees := context.hear()):
        context.cgroup_trees += trees
