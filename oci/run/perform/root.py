"""The root file system: entering it, devices, what is masked or read-only, and making it ``/``."""

import errno
import os
import stat

from host.inroot import find_or_make, is_directory, make_directories, open_inside
from host.mounts import (
    MNT_DETACH,
    MOUNT_ATTR_NODEV,
    MOUNT_ATTR_NOEXEC,
    MOUNT_ATTR_NOSUID,
    MOUNT_ATTR_RDONLY,
    MS_PRIVATE,
    MS_REC,
    MS_SLAVE,
    closing_descriptor,
    mount,
    umount,
)
from host.trees import attach, change_root_here, clone_of, new_filesystem, pivot_root_here, set_attributes
from oci.run.errors import StepFailed
from oci.run.operations import (
    ChangeRoot,
    DeviceLink,
    EnterRoot,
    MakeDevice,
    MakeDirectory,
    MaskPath,
    ReadonlyPath,
)
from oci.run.perform.context import Context

_KINDS = {"c": stat.S_IFCHR, "b": stat.S_IFBLK, "p": stat.S_IFIFO}
_MS_MOVE = 0x2000
_NULL = os.makedev(1, 3)


def enter_root(operation: EnterRoot, context: Context) -> None:
    context.root, context.place = root_tree(operation), operation.rootfs


def root_tree(operation: EnterRoot) -> int:
    """The descriptor of the root's mount, a copy attached at its own path; without a mount namespace (a
    propagation of -1) of the directory itself."""
    if operation.propagation < 0:
        return os.open(operation.rootfs, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    mount(None, "/", None, operation.propagation)
    _make_parent_private(operation.rootfs)
    with closing_descriptor(os.open(operation.rootfs, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)) as place:
        tree = clone_of(place, recursive=True)
        attach(tree, place)
    return tree


def _make_parent_private(path: str) -> None:
    """pivot_root(2) takes no root below a shared mount, and ours would show in the host."""
    path = os.path.realpath(path)
    while True:
        try:
            mount(None, path, None, MS_PRIVATE)
        except OSError as error:
            if error.errno != errno.EINVAL or path == "/":
                raise
            path = os.path.dirname(path)
        else:
            return


def make_device(operation: MakeDevice, context: Context) -> None:
    directory, name = os.path.split(operation.path)
    with closing_descriptor(make_directories(context.root, directory)) as parent:
        number = os.makedev(operation.major, operation.minor)
        kind = _KINDS[operation.kind]
        try:
            os.mknod(name, kind | operation.mode, number, dir_fd=parent)
        except FileExistsError:
            pass
        except PermissionError:
            _bind_from_host(operation, context)
            return
        with closing_descriptor(
            os.open(name, os.O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=parent)
        ) as node:
            status = os.fstat(node)
            if stat.S_IFMT(status.st_mode) != kind or (operation.kind != "p" and status.st_rdev != number):
                raise StepFailed(f"{operation.path} is there, and not this device", errno.EEXIST)
            own = f"/proc/self/fd/{node}"
            os.chmod(own, operation.mode)
            os.chown(own, operation.uid, operation.gid)


def _bind_from_host(operation: MakeDevice, context: Context) -> None:
    """Where no node may be made (a user namespace around us) the host's own is shown."""
    with closing_descriptor(os.open(operation.path, os.O_PATH | os.O_CLOEXEC)) as source:
        with closing_descriptor(clone_of(source, recursive=False)) as tree:
            with closing_descriptor(find_or_make(context.root, operation.path, directory=False)) as place:
                attach(tree, place)


def device_link(operation: DeviceLink, context: Context) -> None:
    directory, name = os.path.split(operation.path)
    with closing_descriptor(make_directories(context.root, directory)) as parent:
        try:
            os.symlink(operation.target, name, dir_fd=parent)
        except FileExistsError:
            if operation.replace and not stat.S_ISDIR(os.lstat(name, dir_fd=parent).st_mode):
                os.unlink(name, dir_fd=parent)
                os.symlink(operation.target, name, dir_fd=parent)


def change_root(operation: ChangeRoot, context: Context) -> None:
    if operation.how == "pivot":
        _pivot(context)
    else:
        os.fchdir(context.root)
        if operation.how == "move":
            mount(context.place, "/", None, _MS_MOVE)
            os.fchdir(context.root)
        change_root_here()
        os.chdir("/")
    os.close(context.root)
    context.root = os.open("/", os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    if operation.propagation:
        mount(None, "/", None, operation.propagation)


def _pivot(context: Context) -> None:
    """pivot_root(".", "."): the old root comes to lie over the new one, and is unmounted there."""
    with closing_descriptor(os.open("/", os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)) as old:
        os.fchdir(context.root)
        pivot_root_here()
        os.fchdir(old)
        mount(None, ".", None, MS_SLAVE | MS_REC)
        umount(".", MNT_DETACH)
    os.chdir("/")


def make_directory(operation: MakeDirectory, context: Context) -> None:
    os.close(make_directories(context.root, operation.path))


def readonly_path(operation: ReadonlyPath, context: Context) -> None:
    try:
        place = open_inside(context.root, operation.path)
    except FileNotFoundError:
        return
    with closing_descriptor(place), closing_descriptor(clone_of(place, recursive=True)) as tree:
        kept = MOUNT_ATTR_RDONLY | MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV | MOUNT_ATTR_NOEXEC
        set_attributes(tree, kept if _is_of_kernel(operation.path) else MOUNT_ATTR_RDONLY, 0)
        attach(tree, place)


def _is_of_kernel(path: str) -> bool:
    return path.startswith(("/proc/", "/sys/"))


def mask_path(operation: MaskPath, context: Context) -> None:
    try:
        place = open_inside(context.root, operation.path)
    except (FileNotFoundError, NotADirectoryError):
        return
    with closing_descriptor(place), closing_descriptor(_mask_for(place, operation, context)) as tree:
        attach(tree, place)


def _mask_for(place: int, operation: MaskPath, context: Context) -> int:
    if not is_directory(place):
        return null_tree(context)
    if context.mask < 0:
        options = ["nr_blocks=1", "nr_inodes=1"]
        options += [f"context={operation.label}"] if operation.label else []
        context.mask = new_filesystem("tmpfs", "tmpfs", options, MOUNT_ATTR_RDONLY)
        return os.dup(context.mask)
    return clone_of(context.mask, recursive=False)


def null_tree(context: Context) -> int:
    """A copy of the mount of the container's /dev/null, which is looked at before it covers anything."""
    with closing_descriptor(open_inside(context.root, "/dev/null")) as null:
        status = os.fstat(null)
        if not stat.S_ISCHR(status.st_mode) or status.st_rdev != _NULL:
            raise StepFailed("/dev/null of the container is another file", errno.EINVAL)
        return clone_of(null, recursive=False)
