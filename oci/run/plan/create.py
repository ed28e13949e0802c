"""The plan of a new container, in the order that facts of kernel and specification leave (docs/adr/0024):
cgroup, namespaces, ids, mounts, hooks, root, what is read-only or masked, rights, program.
"""

import posixpath
from typing import NamedTuple

from host.clone import (
    CLONE_NEWCGROUP,
    CLONE_NEWIPC,
    CLONE_NEWNET,
    CLONE_NEWNS,
    CLONE_NEWPID,
    CLONE_NEWTIME,
    CLONE_NEWUSER,
    CLONE_NEWUTS,
)
from host.mounts import MOUNT_ATTR_RDONLY, MS_REC, MS_SLAVE
from oci.run.document import Table
from oci.run.errors import BadConfig
from oci.run.operations import (
    AskParent,
    Attributes,
    AwaitMaps,
    AwaitTrees,
    BecomeRootInside,
    BindMount,
    CgroupMount,
    ChangeRoot,
    EnterRoot,
    Hook,
    JoinCgroup,
    JoinNamespaces,
    LoopbackUp,
    MakeDirectory,
    NewTimeNamespace,
    OomScore,
    OpenConsole,
    ParentOperation,
    Plan,
    Rebirth,
    RememberCgroups,
    Remount,
    RunHooks,
    SessionKeyring,
    Unshare,
)
from oci.run.plan import devices, hooks, mounts, namespaces, process, rights, sysctls
from oci.run.plan.namespaces import Namespaces
from oci.run.plan.options import PROPAGATION
from oci.run.plan.process import Process
from oci.run.process_operations import (
    AwaitStart,
    NoNewPrivileges,
    ReportReady,
    SetAffinity,
    SetDomainname,
    SetHostname,
)

Steps = list[NamedTuple]
# keyctl_setperm(3): the user, or the possessor, may search it.
_SEARCH_POSSESSOR = 0x08000000
_SEARCH_USER = 0x00080000
_UNSUPPORTED = ("intelRdt", "netDevices")


class Options(NamedTuple):
    """What the command line of create adds to config.json."""

    bundle: str
    container_id: str
    no_pivot: bool = False
    no_new_keyring: bool = False


def plan(spec: Table, options: Options) -> Plan:
    """
    Raises:
        BadConfig: config.json asks for what cannot be.
    """
    linux = spec.table("linux")
    _refuse_unsupported(linux)
    spaces = namespaces.read(linux)
    what = process.read(spec.table("process"))
    points = hooks.read(spec)
    _refuse_without_namespaces(spec, spaces)
    return Plan(
        flags=_flags_of_birth(spaces),
        pid_path=spaces.joined.get(CLONE_NEWPID, ""),
        uid_map=spaces.uid_map,
        gid_map=spaces.gid_map,
        child=(
            *_isolation(spaces, options, what),
            *_root(spec, spaces, options, what, points),
            *_settings(spec, linux, spaces, what, options),
            *rights.lose(what, linux),
            ReportReady(),
            AwaitStart(),
            *_start_hooks(points),
            *rights.execute(what, linux),
        ),
        outside=tuple(_outside(what)),
        limits=what.limits,
    )


def _refuse_unsupported(linux: Table) -> None:
    for key in _UNSUPPORTED:
        if linux.table(key):
            raise BadConfig(f"linux.{key} is not supported by this runtime")


def _refuse_without_namespaces(spec: Table, spaces: Namespaces) -> None:
    if spec.text("hostname") and not spaces.has(CLONE_NEWUTS):
        raise BadConfig("unable to set hostname without a private UTS namespace")
    if spec.text("domainname") and not spaces.has(CLONE_NEWUTS):
        raise BadConfig("unable to set domainname without a private UTS namespace")
    if not spaces.has(CLONE_NEWNS) and spec.tables("mounts"):
        raise BadConfig("unable to make mounts without a mount namespace")


def _born_twice(spaces: Namespaces) -> bool:
    """Whether a process in between is needed: a new PID namespace is to belong to a user namespace that we
    can only be in after the fork, or there is a new time namespace."""
    late_user = CLONE_NEWUSER in spaces.joined or not spaces.flags_early & CLONE_NEWUSER
    owner = spaces.has(CLONE_NEWUSER) and late_user
    return bool(spaces.new & CLONE_NEWTIME or (spaces.new & CLONE_NEWPID and owner))


def _flags_of_birth(spaces: Namespaces) -> int:
    return spaces.flags_early & ~(CLONE_NEWPID if _born_twice(spaces) else 0)


def _isolation(spaces: Namespaces, options: Options, what: Process) -> Steps:
    joined = {kind: path for kind, path in spaces.joined.items() if kind != CLONE_NEWPID}
    steps: Steps = [JoinCgroup(), SetAffinity(()), RememberCgroups()]
    if joined:
        steps.append(JoinNamespaces(tuple(joined.items())))
    if spaces.new & CLONE_NEWUSER:
        steps += [] if spaces.flags_early & CLONE_NEWUSER else [Unshare(CLONE_NEWUSER)]
        steps.append(AwaitMaps())
    if spaces.has(CLONE_NEWUSER):
        steps.append(BecomeRootInside())
    if spaces.new & CLONE_NEWTIME:
        steps.append(NewTimeNamespace(spaces.offsets))
    if _born_twice(spaces):
        steps.append(Rebirth(spaces.new & CLONE_NEWPID))
    others = CLONE_NEWNS | CLONE_NEWUTS | CLONE_NEWIPC | CLONE_NEWNET | CLONE_NEWCGROUP
    if spaces.new & others:
        steps.append(Unshare(spaces.new & others))
    if not options.no_new_keyring:
        search = _SEARCH_POSSESSOR if spaces.has(CLONE_NEWUSER) else _SEARCH_USER
        steps.append(SessionKeyring(f"_ses.{options.container_id}", search, what.selinux))
    if spaces.new & CLONE_NEWNET:
        steps.append(LoopbackUp())
    return steps


def _root(
    spec: Table,
    spaces: Namespaces,
    options: Options,
    what: Process,
    points: dict[str, tuple[Hook, ...]],
) -> Steps:
    rootfs = root_path(spec, options.bundle)
    if not spaces.has(CLONE_NEWNS):
        return [EnterRoot(rootfs, -1), *_hook_steps(points), ChangeRoot("chroot", 0)]
    propagation = _propagation(spec.table("linux"))
    enter = EnterRoot(rootfs, propagation or MS_SLAVE | MS_REC)
    mounted = mounts.mounts(spec, spaces, options.bundle)
    nodes = devices.devices(spec, spaces)
    late = [one for one in mounted if isinstance(one, Remount)]
    early: Steps = [*(one for one in mounted if not isinstance(one, Remount)), *nodes, *devices.links(spec)]
    early = _by_helper(enter, early) if spaces.has(CLONE_NEWUSER) else [enter, *early]
    how = "move" if options.no_pivot else "pivot"
    steps: Steps = [*early, *_hook_steps(points), ChangeRoot(how, propagation), MakeDirectory(what.cwd)]
    if what.terminal:
        steps.append(OpenConsole(what.width, what.height, mount=True))
    steps += late
    if spec.table("root").flag("readonly"):
        steps.append(Remount("/", Attributes(wanted=MOUNT_ATTR_RDONLY)))
    return steps


def root_path(spec: Table, bundle: str) -> str:
    """root.path, absolute."""
    path = spec.table("root").text("path")
    if not path:
        raise BadConfig("root.path is missing")
    return posixpath.join(bundle, path)


def _propagation(linux: Table) -> int:
    text = linux.text("rootfsPropagation")
    if text and text not in PROPAGATION:
        raise BadConfig(f"rootfsPropagation={text!r} is not supported")
    return PROPAGATION[text] if text else 0


def _by_helper(enter: EnterRoot, steps: Steps) -> Steps:
    """Number the binds: their sources are opened by a process that may pass all the directories above."""
    binds = [step for step in steps if isinstance(step, BindMount)]
    numbers = {id(step): number for number, step in enumerate(binds)}
    numbered = [
        step._replace(tree=numbers[id(step)]) if isinstance(step, BindMount) else step for step in steps
    ]
    cgroups = any(isinstance(step, CgroupMount) and not step.own_namespace for step in steps)
    return [AwaitTrees(enter, tuple(binds), cgroups), *numbered]


def _hook_steps(points: dict[str, tuple[Hook, ...]]) -> Steps:
    steps: Steps = []
    if points["prestart"] or points["createRuntime"]:
        steps.append(AskParent("hooks"))
    if points["createContainer"]:
        steps.append(RunHooks("createContainer", "created", points["createContainer"]))
    return steps


def _start_hooks(points: dict[str, tuple[Hook, ...]]) -> Steps:
    found = points["startContainer"]
    return [RunHooks("startContainer", "created", found)] if found else []


def _settings(spec: Table, linux: Table, spaces: Namespaces, what: Process, options: Options) -> Steps:
    steps: Steps = [rights.umask(what)]
    if spec.text("hostname"):
        steps.append(SetHostname(spec.text("hostname")))
    if spec.text("domainname"):
        steps.append(SetDomainname(spec.text("domainname")))
    steps += rights.apparmor(what)
    steps += sysctls.sysctls(linux, spaces)
    steps += mounts.masks(linux, spaces)
    steps += [NoNewPrivileges()] if what.no_new_privileges else []
    steps += [step for step in (process.personality(linux), process.memory_policy(linux)) if step]
    return steps


def _outside(what: Process) -> list[ParentOperation]:
    steps: list[ParentOperation] = []
    if what.oom_score is not None:
        steps.append(OomScore(what.oom_score))
    return steps + [step for step in (what.scheduler, what.io_priority) if step is not None]
