"""The operations of which a plan consists, in the words of config.json and the kernel. Values only.

Those of the child are done by the process that becomes the container, in their order; those of the parent by
the one that forked it, because they need privileges of the host.
"""

from typing import NamedTuple

Map = tuple[tuple[int, int, int], ...]  # (containerID, hostID, size), as the kernel's uid_map


class Attributes(NamedTuple):
    """MOUNT_ATTR_ bits to set and clear on a mount; ``recursive_`` on all below it too."""

    wanted: int = 0
    unwanted: int = 0
    recursive_wanted: int = 0
    recursive_unwanted: int = 0


class IdMap(NamedTuple):
    """How the ids of a mount are mapped; ``recursive`` maps the mounts below it too."""

    uids: Map
    gids: Map
    recursive: bool


class Hook(NamedTuple):
    """A program to run at a point of the life cycle; ``timeout_s`` 0 is none."""

    path: str
    args: tuple[str, ...]
    env: tuple[str, ...] | None
    timeout_s: int


# What the child does: namespaces.


class JoinCgroup(NamedTuple):
    """Enter the cgroup, by the files that we were born with or by the parent's doing."""


class JoinNamespaces(NamedTuple):
    """Enter namespaces that are there: (CLONE_NEW…, path) each. What we may not as root of the host we do
    as root of the user namespace among them."""

    namespaces: tuple[tuple[int, str], ...]


class RememberCgroups(NamedTuple):
    """Note which cgroups we are in, before a new cgroup namespace hides it."""


class Unshare(NamedTuple):
    """Make namespaces that could not be made by the fork."""

    flags: int


class ClockOffset(NamedTuple):
    """What a new time namespace adds to a clock (``monotonic``, ``boottime``)."""

    clock: str
    seconds: int
    nanoseconds: int


class NewTimeNamespace(NamedTuple):
    """One for those who are born from now on."""

    offsets: tuple[ClockOffset, ...]


class Rebirth(NamedTuple):
    """Fork a sibling, in new namespaces of ``flags``, that goes on in our place: PID and time namespaces take
    only those who are born in them."""

    flags: int


class AwaitMaps(NamedTuple):
    """Have the parent write the maps of our new user namespace, then be root in it."""


class BecomeRootInside(NamedTuple):
    """Be uid and gid 0 of the user namespace; further groups are dropped."""


class SessionKeyring(NamedTuple):
    """A session keyring of the container's own."""

    name: str
    permissions: int
    label: str


class LoopbackUp(NamedTuple):
    """Bring ``lo`` of the new network namespace up."""


# What the child does: the root file system.


class EnterRoot(NamedTuple):
    """Set the propagation of all mounts and make a mount of the root directory, whose descriptor is kept."""

    rootfs: str
    propagation: int


class AwaitTrees(NamedTuple):
    """Have the parent's helper open what a user namespace may not see: the root, sources of binds, and with
    ``cgroups`` the directories of our cgroups in hierarchies of version 1."""

    root: EnterRoot
    binds: "tuple[BindMount, ...]"
    cgroups: bool = False


class BindMount(NamedTuple):
    """Show ``source`` of the host at ``target``; ``tree`` numbers what AwaitTrees brought, else -1."""

    source: str
    target: str
    recursive: bool = True
    attributes: Attributes = Attributes()
    propagation: tuple[int, ...] = ()
    idmap: IdMap | None = None
    follow_source: bool = True
    follow_target: bool = True
    tree: int = -1


class NewMount(NamedTuple):
    """A new file system; ``options`` are flags and ``key=value`` pairs for fsconfig(2)."""

    fstype: str
    source: str
    target: str
    options: tuple[str, ...] = ()
    attributes: Attributes = Attributes()
    propagation: tuple[int, ...] = ()
    copy_up: bool = False


class Remount(NamedTuple):
    """Change the attributes of what is mounted at ``target``."""

    target: str
    attributes: Attributes


class CgroupMount(NamedTuple):
    """The cgroups of the container, in the form that this host has them."""

    target: str
    attributes: Attributes
    own_namespace: bool
    propagation: tuple[int, ...] = ()


class MakeDevice(NamedTuple):
    """A device node; ``kind`` is c, b or p."""

    path: str
    kind: str
    major: int
    minor: int
    mode: int
    uid: int
    gid: int


class DeviceLink(NamedTuple):
    """A link in /dev, unless the name is taken; ``replace`` takes it away first."""

    path: str
    target: str
    replace: bool = False


class AskParent(NamedTuple):
    """Let the parent do its part of this name before we go on."""

    what: str


class RunHooks(NamedTuple):
    """Hooks that run in the container's namespaces."""

    point: str
    status: str
    hooks: tuple[Hook, ...]


class ChangeRoot(NamedTuple):
    """Make the root mount ``/``: by ``pivot``, by ``move`` of the mount, or by ``chroot`` alone."""

    how: str
    propagation: int


class MakeDirectory(NamedTuple):
    """A directory, with those above it, unless it is there."""

    path: str


class OpenConsole(NamedTuple):
    """A terminal of the container's own for descriptors 0 to 2; its master goes to the console socket."""

    width: int
    height: int
    mount: bool


class MaskPath(NamedTuple):
    """Cover a path by something empty that nobody can read or write."""

    path: str
    label: str


class ReadonlyPath(NamedTuple):
    """Make a path, and all below it, read-only."""

    path: str


# What the parent does.


class OomScore(NamedTuple):
    value: int


class Scheduler(NamedTuple):
    policy: int
    flags: int
    nice: int
    priority: int
    times_ns: tuple[int, int, int]


class IoPriority(NamedTuple):
    io_class: int
    priority: int


class ResourceLimit(NamedTuple):
    """``name`` is RLIMIT_…; -1 is unlimited."""

    name: str
    soft: int
    hard: int


ParentOperation = OomScore | Scheduler | IoPriority | ResourceLimit


class Plan(NamedTuple):
    """How a process comes to be: born in new namespaces of ``flags``, and in the PID namespace at
    ``pid_path`` unless that is "". The parent does ``outside`` after the fork and sets ``limits`` last.
    """

    flags: int
    pid_path: str
    uid_map: Map
    gid_map: Map
    child: tuple[NamedTuple, ...]
    outside: tuple[ParentOperation, ...]
    limits: tuple[ResourceLimit, ...]


def describe(operation: NamedTuple) -> dict[str, object]:
    """The operation for printing: its name and its fields, those of none left out."""
    fields = {name: value for name, value in operation._asdict().items() if value not in (None, ())}
    return {"operation": type(operation).__name__, **fields}
