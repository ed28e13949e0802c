"""create: everything up to the program, which then waits for start."""

import contextlib
import json
import os
import socket
from contextlib import ExitStack
from typing import NamedTuple

from host.clone import CLONE_NEWUSER
from host.fds import send_message
from host.security import selinux_enabled
from host.spawn import start_time
from host.syscalls import numbered
from oci.run import hooks
from oci.run.cgroups.choose import cgroup_for
from oci.run.cgroups.types import Cgroup
from oci.run.document import Table
from oci.run.errors import BadConfig, StepFailed
from oci.run.launch import Duties, Gift, Launch, Phase
from oci.run.operations import Plan
from oci.run.plan import create as planning
from oci.run.plan import filters, seccomp
from oci.run.plan import hooks as hook_plan
from oci.run.state import OCI_VERSION, Container, Place, now
from oci.run.verbs.entering import entry_of, failure_of, launch
from oci.run.verbs.settings import Procfs, Settings, state_document
from oci.run.words import explain

_FIRST_PRESERVED = 3


class Options(NamedTuple):
    """The options of the command line."""

    bundle: str
    pid_file: str = ""
    console_socket: str = ""
    pidfd_socket: str = ""
    preserve_fds: int = 0
    no_pivot: bool = False
    no_new_keyring: bool = False
    detach: bool = True


class Created(NamedTuple):
    """``terminal`` is the master of one that goes to no console socket, else -1."""

    container: Container
    pidfd: int
    terminal: int


def read_config(bundle: str) -> bytes:
    """
    Raises:
        BadConfig: there is no config.json.
    """
    try:
        with open(os.path.join(bundle, "config.json"), "rb") as file:
            return file.read()
    except FileNotFoundError:
        raise BadConfig("JSON specification file config.json not found") from None


def decode(content: bytes) -> Table:
    """
    Raises:
        BadConfig: it is no JSON object, or lacks what every configuration has.
    """
    try:
        spec = Table(json.loads(content))
    except ValueError as error:
        raise BadConfig(f"config.json: {error}") from None
    if not spec.text("ociVersion"):
        raise BadConfig("config.json: ociVersion is missing")
    if "linux" not in spec:
        raise BadConfig("config.json: linux is missing")
    if "process" not in spec:
        raise BadConfig("process property must not be empty")
    return spec


def plan_of(content: bytes, container_id: str, options: Options) -> tuple[Table, Plan]:
    """
    Raises:
        BadConfig: see decode and planning.plan.
    """
    spec = _without_label(decode(content))
    given = planning.Options(options.bundle, container_id, options.no_pivot, options.no_new_keyring)
    return spec, planning.plan(spec, given)


def _without_label(spec: Table) -> Table:
    """Where SELinux is not there no mount can have a label, and nobody would look at it."""
    if selinux_enabled() or not spec.table("linux").text("mountLabel"):
        return spec
    linux = {key: value for key, value in spec.table("linux").raw.items() if key != "mountLabel"}
    return Table({**spec.raw, "linux": linux})


def create(settings: Settings, container_id: str, options: Options) -> Created:
    """
    Raises:
        BadConfig, ContainerExists, StepFailed, OSError: nothing is left of it.
    """
    options = options._replace(bundle=os.path.realpath(options.bundle))
    content = read_config(options.bundle)
    handed = hand_on(options.preserve_fds)
    place = settings.place(container_id)
    spec, plan = plan_of(content, container_id, options)
    _check_console(spec, options)
    with ExitStack() as undo, Procfs() as procfs:
        place.reserve()
        undo.callback(place.remove)
        place.save_config(content)
        cgroup = cgroup_for(spec.raw, container_id, settings.systemd)
        cgroup.create(spec.table("linux").table("resources").raw)
        undo.callback(cgroup.delete)
        undo.callback(cgroup.kill)
        created = _launch(settings, place, spec, plan, options, cgroup, procfs, handed)
        undo.pop_all()
    return created


def _check_console(spec: Table, options: Options) -> None:
    terminal = spec.table("process").flag("terminal")
    if options.detach and terminal and not options.console_socket:
        raise BadConfig("cannot allocate tty if runc will detach without setting console socket")
    if options.console_socket and not (options.detach and terminal):
        raise BadConfig("cannot use console socket if runc will not detach or allocate tty")


class HandedOn(NamedTuple):
    """``end`` is the first descriptor that the program does not get; ``listening`` of them are systemd's."""

    end: int
    listening: int


def hand_on(count: int) -> HandedOn:
    """Have our caller's descriptors from 3 on for the program, those that systemd opened first.

    To be called before we open any of our own: one that is not open now would become ours.

    Raises:
        BadConfig: one of them is not open.
    """
    text = os.environ.get("LISTEN_FDS", "")
    listening = int(text) if text.isdecimal() else 0
    end = _FIRST_PRESERVED + listening + count
    for number in range(_FIRST_PRESERVED, end):
        try:
            os.set_inheritable(number, True)
        except OSError:
            raise BadConfig(f"please check that preserved-fd {number} (of {end - 3}) is present") from None
    return HandedOn(end, listening)


def connect(path: str) -> socket.socket:
    """A stream connection to a unix socket, whose path may be longer than an address."""
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_CLOEXEC)
    try:
        directory = os.open(os.path.dirname(path) or ".", os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            sock.connect(f"/proc/self/fd/{directory}/{os.path.basename(path)}")
        finally:
            os.close(directory)
    except OSError as error:
        sock.close()
        raise OSError(error.errno, f"dial unix: {(error.strerror or '').lower()}", path) from error
    return sock


def _launch(
    settings: Settings,
    place: Place,
    spec: Table,
    plan: Plan,
    options: Options,
    cgroup: Cgroup,
    procfs: int,
    handed: HandedOn,
) -> Created:
    container = Container(
        id=place.id,
        pid=0,
        start_time=0,
        bundle=options.bundle,
        rootfs=planning.root_path(spec, options.bundle),
        created=now(),
        oci_version=spec.text("ociVersion", OCI_VERSION),
        annotations=spec.text_map("annotations"),
        cgroup=cgroup.facts(),
        no_keyring=options.no_new_keyring,
    )
    place.save(container)  # by this delete finds the cgroup of one whose creator was killed
    before = cgroup.oom_kills()
    with ExitStack() as stack:
        start, answer = place.make_fifos()
        stack.callback(os.close, start)
        stack.callback(os.close, answer)
        console = stack.enter_context(connect(options.console_socket)) if options.console_socket else None
        entry = entry_of(cgroup, stack, by_parent=bool(plan.flags & CLONE_NEWUSER))
        gift = Gift(
            procfs=procfs,
            start=start,
            answer=answer,
            console=-1 if console is None else console.fileno(),
            cgroup=entry.directory,
            cgroup_files=entry.files,
            program=filters.program(spec, settings.root),
            keep=handed.end,
            listening=handed.listening,
            hook_state=state_document(container, "creating"),
        )
        try:
            under_way = launch(plan, gift, _duties(spec, container, cgroup))
            while under_way.phase is Phase.SETTING_UP:
                under_way.advance()
            if under_way.phase is Phase.FAILED:
                raise failure_of(under_way, cgroup, before)
        except OSError as error:
            raise StepFailed(
                f"unable to start container process: {explain(error)}", error.errno or 0
            ) from error
        except StepFailed as error:
            raise StepFailed(f"unable to start container process: {error}", error.errno) from error
        return _complete(place, container, options, under_way, cgroup)


def _complete(
    place: Place, container: Container, options: Options, under_way: Launch, cgroup: Cgroup
) -> Created:
    try:
        container = container._replace(
            pid=under_way.pid, start_time=start_time(under_way.pid), cgroup=cgroup.facts()
        )
        pidfd = os.dup(under_way.pidfd)
        if options.pidfd_socket:
            with connect(options.pidfd_socket) as sock:
                send_message(sock, b"standard", (pidfd,))
        place.save(container)
        if options.pid_file:
            write_pid_file(options.pid_file, container.pid)
    except BaseException:
        under_way.abandon()
        raise
    under_way.close()
    return Created(container, pidfd, under_way.terminal)


def write_pid_file(path: str, pid: int) -> None:
    """By a temporary beside it; without a newline."""
    directory, name = os.path.split(path)
    temporary = os.path.join(directory, f".{name}")
    with contextlib.suppress(FileNotFoundError):
        os.unlink(temporary)
    descriptor = os.open(temporary, os.O_CREAT | os.O_EXCL | os.O_WRONLY | os.O_CLOEXEC, 0o644)
    with open(descriptor, "w", encoding="ascii") as file:
        os.fchmod(descriptor, 0o644)
        file.write(str(pid))
    os.rename(temporary, path)


def _duties(spec: Table, container: Container, cgroup: Cgroup) -> Duties:
    def run_hooks(pid: int) -> None:
        points = hook_plan.read(spec)
        state = state_document(container._replace(pid=pid), "creating")
        for point in ("prestart", "createRuntime"):
            hooks.run(point, points[point], state)

    def take_listener(pid: int, number: int) -> None:
        found = seccomp.read(spec.table("linux"))
        if found is not None:
            hand_listener_on(found, container._replace(pid=pid), pid, number)

    return Duties(cgroup.join, run_hooks, take_listener)


def hand_listener_on(found: seccomp.Filter, container: Container, pid: int, number: int) -> None:
    """Fetch the filter's listener out of process ``pid`` and send it to who is to listen
    (config-linux.md, the container process state)."""
    pidfd = os.pidfd_open(pid)
    try:
        listener = numbered("pidfd_getfd", pidfd, number, 0)
    finally:
        os.close(pidfd)
    try:
        document = {
            "ociVersion": OCI_VERSION,
            "fds": ["seccompFd"],
            "pid": pid,
            "metadata": found.metadata,
            "state": state_document(container, "creating"),
        }
        with connect(found.listener) as sock:
            send_message(sock, json.dumps(document).encode(), (listener,))
    finally:
        os.close(listener)
