"""From root to the container's user, and the program: the last operations of create and of exec."""

from typing import NamedTuple

from oci.run.document import Table
from oci.run.plan import seccomp
from oci.run.plan.process import Process
from oci.run.process_operations import (
    ApparmorProfile,
    ChangeDirectory,
    Execute,
    FindProgram,
    KeepCapabilities,
    LimitBoundingSet,
    LoadSeccomp,
    OwnStdio,
    SelinuxLabel,
    SetCapabilities,
    SetEnvironment,
    SetGroups,
    SetUmask,
    SetUser,
)

Steps = list[NamedTuple]


def umask(what: Process) -> SetUmask:
    """process.user.umask."""
    return SetUmask(what.umask)


def apparmor(what: Process) -> Steps:
    """The profile that the program is to get."""
    return [ApparmorProfile(what.apparmor)] if what.apparmor not in ("", "unconfined") else []


def lose(what: Process, linux: Table) -> Steps:
    """All that is given up before the wait for start.

    A filter needs CAP_SYS_ADMIN or no_new_privs: without the latter it is loaded while there is the former.
    One that listens is loaded here always, as only create has a parent that hands its listener on.
    """
    load = _filter(what, linux)
    early = load is not None and (not what.no_new_privileges or load.listens)
    steps: Steps = [SelinuxLabel(what.selinux)] if what.selinux else []
    steps += [SetEnvironment(what.env, what.uid), ChangeDirectory(what.cwd, required=False)]
    steps += [load] if early and load is not None else []
    if what.capabilities is not None:
        steps += [LimitBoundingSet(what.capabilities.bounding), KeepCapabilities(yes=True)]
    steps += [OwnStdio(what.uid), SetGroups(what.groups), SetUser(what.uid, what.gid)]
    steps.append(ChangeDirectory(what.cwd, required=True))
    if what.capabilities is not None:
        sets = what.capabilities
        steps.append(KeepCapabilities(yes=False))
        steps.append(SetCapabilities(sets.effective, sets.permitted, sets.inheritable, sets.ambient))
    steps.append(FindProgram(what.args[0]))
    return steps


def execute(what: Process, linux: Table) -> Steps:
    """The filter, unless it is loaded, and the program."""
    load = _filter(what, linux)
    late = load is not None and what.no_new_privileges and not load.listens
    return [*([load] if late and load is not None else []), Execute(what.args)]


def _filter(what: Process, linux: Table) -> LoadSeccomp | None:
    found = seccomp.read(linux)
    return found.load if found is not None else None
