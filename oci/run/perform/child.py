"""The process that is set up: the operations of a plan, one after the other, and what to say if one fails."""

import os
from collections.abc import Callable, Iterable
from typing import Any, NamedTuple, NoReturn

from host.spawn import PR_SET_DUMPABLE, prctl
from oci.run import operations as op
from oci.run import process_operations as pop
from oci.run.errors import StepFailed
from oci.run.perform import cgroup_mount, isolation, mounting, process, root
from oci.run.perform.context import Context
from oci.run.words import explain

_FAILED = 1
_PERFORM: dict[type[Any], Callable[[Any, Context], None]] = {
    op.JoinCgroup: isolation.join_cgroup,
    op.RememberCgroups: isolation.remember_cgroups,
    op.JoinNamespaces: isolation.join_namespaces,
    op.Unshare: isolation.unshare_namespaces,
    op.AwaitMaps: isolation.await_maps,
    op.BecomeRootInside: isolation.become_root_inside,
    op.NewTimeNamespace: isolation.new_time_namespace,
    op.Rebirth: isolation.rebirth,
    pop.SetAffinity: isolation.set_affinity,
    op.SessionKeyring: isolation.session_keyring,
    op.LoopbackUp: isolation.loopback_up,
    op.AwaitTrees: mounting.await_trees,
    op.BindMount: mounting.bind_mount,
    op.NewMount: mounting.new_mount,
    op.Remount: mounting.remount,
    op.CgroupMount: cgroup_mount.cgroup_mount,
    op.EnterRoot: root.enter_root,
    op.MakeDevice: root.make_device,
    op.DeviceLink: root.device_link,
    op.ChangeRoot: root.change_root,
    op.MakeDirectory: root.make_directory,
    op.MaskPath: root.mask_path,
    op.ReadonlyPath: root.readonly_path,
    op.AskParent: process.ask_parent,
    op.RunHooks: process.run_hooks,
    op.OpenConsole: process.open_console,
    pop.SetHostname: process.set_hostname,
    pop.SetDomainname: process.set_domainname,
    pop.WriteSysctl: process.write_sysctl,
    pop.SetUmask: process.set_umask,
    pop.SetPersonality: process.set_personality,
    pop.SetMemoryPolicy: process.set_memory_policy,
    pop.ApparmorProfile: process.apparmor_profile,
    pop.SelinuxLabel: process.selinux_label,
    pop.NoNewPrivileges: process.no_new_privileges,
    pop.LoadSeccomp: process.load_seccomp,
    pop.ChangeDirectory: process.change_directory,
    pop.OwnStdio: process.own_stdio,
    pop.SetGroups: process.set_groups,
    pop.SetUser: process.set_user,
    pop.KeepCapabilities: process.keep_capabilities,
    pop.LimitBoundingSet: process.limit_bounding_set,
    pop.SetCapabilities: process.set_capabilities,
    pop.FindProgram: process.find_program,
    pop.SetEnvironment: process.set_environment,
    pop.ReportReady: process.report_ready,
    pop.AwaitStart: process.await_start,
    pop.AwaitParent: process.await_parent,
    pop.Execute: process.execute,
}


def become(steps: Iterable[NamedTuple], context: Context) -> NoReturn:
    """Perform the steps, of which the last executes the program; a failure is told and ends the process."""
    try:
        prctl(PR_SET_DUMPABLE, 0)
        os.umask(0)
        os.setsid()
        process.keep_descriptors(context)
        for step in steps:
            perform(step, context)
    except BaseException as error:
        message, errno = _words(error)
        try:
            context.report(message, errno)
        finally:
            os._exit(_FAILED)
    os._exit(_FAILED)


def perform(step: NamedTuple, context: Context) -> None:
    """
    Raises:
        StepFailed: with what was tried, on what, and the kernel's answer.
    """
    try:
        _PERFORM[type(step)](step, context)
    except OSError as error:
        raise StepFailed(f"{_title(step)}: {explain(error)}", error.errno or 0) from error


def _title(step: NamedTuple) -> str:
    match step:
        case op.NewMount(fstype=fstype, target=target):
            return f'error mounting "{fstype}" to rootfs at "{target}"'
        case op.BindMount(source=source, target=target):
            return f'error mounting "{source}" to rootfs at "{target}"'
        case op.CgroupMount(target=target):
            return f'error mounting "cgroup" to rootfs at "{target}"'
        case pop.ChangeDirectory(path=path):
            return f"chdir to cwd ({path!r}) set in config.json failed"
        case op.EnterRoot(rootfs=rootfs):
            return f"error preparing rootfs {rootfs}"
        case pop.WriteSysctl(name=name, value=value):
            return f"sysctl {name} = {value!r}"
        case pop.Execute(arguments=arguments):
            return f"exec {arguments[0]}"
        case op.MakeDevice(path=path) | op.MaskPath(path=path) | op.ReadonlyPath(path=path):
            return f"{type(step).__name__} {path}"
        case pop.ApparmorProfile(name=name):
            return f"unable to apply apparmor profile {name}"
        case _:
            return type(step).__name__


def _words(error: BaseException) -> tuple[str, int]:
    if isinstance(error, StepFailed):
        return str(error), error.errno
    return f"{type(error).__name__}: {error}", 0
