"""The plan of a further process in a container that runs."""

from host.clone import CLONE_NEWPID, CLONE_NEWUSER
from oci.run.document import Table
from oci.run.operations import (
    BecomeRootInside,
    ChangeRoot,
    JoinCgroup,
    JoinNamespaces,
    OomScore,
    OpenConsole,
    ParentOperation,
    Plan,
    SessionKeyring,
)
from oci.run.plan import process, rights
from oci.run.process_operations import AwaitParent, NoNewPrivileges, ReportReady, SetAffinity

_SEARCH_USER = 0x00080000


def plan(
    what: process.Process,
    spec: Table,
    joined: dict[int, str],
    *,
    own_root: bool,
    keyring: str,
) -> Plan:
    """``joined`` are the namespaces of the container that are not ours: by CLONE_NEW… flag, with paths.

    ``own_root`` says that the container has no mount namespace: its root is the kept directory then.
    """
    linux = spec.table("linux")
    here = {kind: path for kind, path in joined.items() if kind != CLONE_NEWPID}
    steps: rights.Steps = [SetAffinity(what.affinity_initial)] if what.affinity_initial else []
    steps.append(JoinCgroup())
    steps += [] if what.affinity_initial or what.affinity_final else [SetAffinity(())]
    steps += [JoinNamespaces(tuple(here.items()))] if here else []
    steps += [ChangeRoot("chroot", 0)] if own_root else []
    steps += [BecomeRootInside()] if CLONE_NEWUSER in joined else []
    steps += [SetAffinity(what.affinity_final)] if what.affinity_final else []
    steps += [SessionKeyring(keyring, _SEARCH_USER, what.selinux)] if keyring else []
    steps += [OpenConsole(what.width, what.height, mount=False)] if what.terminal else []
    steps += [NoNewPrivileges()] if what.no_new_privileges else []
    steps += [rights.umask(what)]
    steps += [step for step in (process.personality(linux), process.memory_policy(linux)) if step]
    steps += rights.apparmor(what)
    steps += rights.lose(what, linux)
    steps += [ReportReady(), AwaitParent(), *rights.execute(what, linux)]
    outside: list[ParentOperation] = [OomScore(what.oom_score)] if what.oom_score is not None else []
    outside += [step for step in (what.scheduler, what.io_priority) if step is not None]
    return Plan(
        flags=0,
        pid_path=joined.get(CLONE_NEWPID, ""),
        uid_map=(),
        gid_map=(),
        child=tuple(steps),
        outside=tuple(outside),
        limits=what.limits,
    )
