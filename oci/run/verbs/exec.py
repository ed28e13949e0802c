"""exec: a further process in a container that runs."""

import os
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from typing import NamedTuple

from host.cgroups import Hierarchy, own_paths
from host.clone import CLONE_NEWNS
from host.fds import send_message
from oci.run.cgroups.types import Cgroup
from oci.run.document import Table
from oci.run.errors import BadConfig, StepFailed, WrongState
from oci.run.launch import Duties, Gift, Phase
from oci.run.plan import exec as planning
from oci.run.plan import filters, process, seccomp
from oci.run.plan.namespaces import KINDS
from oci.run.state import Container, Place, is_alive
from oci.run.verbs.create import HandedOn, connect, hand_listener_on, hand_on, write_pid_file
from oci.run.verbs.entering import entry_of, failure_of, launch
from oci.run.verbs.settings import Procfs, Settings, cgroup_of, status_of
from oci.run.words import explain

_STOPPED = "cannot exec in a stopped container: container not running"
_FILES = {"network": "net", "mount": "mnt"}  # others have the kind's name below /proc/PID/ns


class Options(NamedTuple):
    """The options of the command line, but for those that change the process object."""

    pid_file: str = ""
    console_socket: str = ""
    pidfd_socket: str = ""
    preserve_fds: int = 0
    detach: bool = False
    ignore_paused: bool = False


class Executed(NamedTuple):
    """See create.Created."""

    pid: int
    pidfd: int
    terminal: int


def execute(
    settings: Settings, container_id: str, document: Mapping[str, object], options: Options
) -> Executed:
    """Start the process that ``document`` (config.md, process) describes.

    Raises:
        BadConfig, NoSuchContainer, WrongState, StepFailed: nothing runs.
    """
    handed = hand_on(options.preserve_fds)
    place = settings.place(container_id)
    container = place.load()
    _require_running(place, container, options)
    what = process.read(Table(document, "process"))
    if options.detach and what.terminal and not options.console_socket:
        raise BadConfig("cannot allocate tty if runc will detach without setting console socket")
    if options.console_socket and not (options.detach and what.terminal):
        raise BadConfig("cannot use console socket if runc will not detach or allocate tty")
    try:
        return _launch(settings, place, container, what, options, handed)
    except OSError as error:
        raise StepFailed(
            f"exec failed: unable to start container process: {explain(error)}", error.errno or 0
        ) from error
    except StepFailed as error:
        raise StepFailed(f"exec failed: unable to start container process: {error}", error.errno) from error


def _require_running(place: Place, container: Container, options: Options) -> None:
    status = status_of(place, container)
    if status == "stopped":
        raise WrongState(_STOPPED)
    if status == "paused" and not options.ignore_paused:
        raise WrongState("cannot exec in a paused container (use --ignore-paused to override)")


def _launch(
    settings: Settings,
    place: Place,
    container: Container,
    what: process.Process,
    options: Options,
    handed: HandedOn,
) -> Executed:
    spec = place.config()
    joined = foreign_namespaces(container.pid)
    own_root = CLONE_NEWNS not in joined
    keyring = "" if container.no_keyring else f"_ses.{container.id}"
    plan = planning.plan(what, spec, joined, own_root=own_root, keyring=keyring)
    cgroup = cgroup_of(container)
    before = cgroup.oom_kills()
    with ExitStack() as stack:
        procfs = stack.enter_context(Procfs())
        console = stack.enter_context(connect(options.console_socket)) if options.console_socket else None
        root = -1
        if own_root:
            root = os.open(f"/proc/{container.pid}/root", os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
            stack.callback(os.close, root)
        entry = entry_of(cgroup, stack, by_parent=False)
        gift = Gift(
            procfs=procfs,
            console=-1 if console is None else console.fileno(),
            root=root,
            cgroup=entry.directory,
            cgroup_files=entry.files,
            program=filters.program(spec, settings.root),
            keep=handed.end,
            listening=handed.listening,
        )

        def take_listener(pid: int, number: int) -> None:
            found = seccomp.read(spec.table("linux"))
            if found is not None:
                hand_listener_on(found, container, pid, number)

        under_way = launch(plan, gift, Duties(_joining(cgroup, container), _no_hooks, take_listener))
        while under_way.phase is Phase.SETTING_UP:
            under_way.advance()
        if under_way.phase is Phase.READY:
            if not is_alive(container):  # what we joined may be of another process with its number
                under_way.abandon()
                raise WrongState(_STOPPED)
            if options.pidfd_socket:
                with connect(options.pidfd_socket) as sock:
                    send_message(sock, b"setns", (under_way.pidfd,))
            under_way.go_on()
            under_way.advance()
        if under_way.phase is not Phase.EXECUTED:
            raise failure_of(under_way, cgroup, before)
        if options.pid_file:
            write_pid_file(options.pid_file, under_way.pid)
        pidfd = os.dup(under_way.pidfd)
        under_way.close()
        return Executed(under_way.pid, pidfd, under_way.terminal)


def _joining(cgroup: Cgroup, container: Container) -> Callable[[int], None]:
    """Into the container's cgroup, or where that is gone or has others below it: into its first process's."""

    def join(pid: int) -> None:
        try:
            cgroup.join(pid)
        except OSError:
            with open(f"/proc/{container.pid}/cgroup", encoding="utf-8") as file:
                own = own_paths(file.read())
            hierarchy = Hierarchy.detect()
            for controller, path in own.items():
                directory = hierarchy.directory(path, controller)
                if directory is not None:
                    (directory / "cgroup.procs").write_text(str(pid))

    return join


def _no_hooks(_: int) -> None:
    """An exec has none."""


def foreign_namespaces(pid: int) -> dict[int, str]:
    """The namespaces of a process that are not ours: by CLONE_NEW… flag, with the files to enter them."""
    found = {}
    for kind, flag in KINDS.items():
        name = _FILES.get(kind, kind)
        path = f"/proc/{pid}/ns/{name}"
        try:
            if os.readlink(path) != os.readlink(f"/proc/self/ns/{name}"):
                found[flag] = path
        except FileNotFoundError:  # a kernel without this kind
            if not os.path.exists(f"/proc/{pid}"):
                raise WrongState(_STOPPED) from None
    return found
