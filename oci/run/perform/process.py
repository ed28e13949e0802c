"""What the process is and may, up to the execution of the program."""

import contextlib
import ctypes
import errno
import os
import signal
import socket
import stat

from host import credentials, scheduling
from host.console import open_terminal, take_terminal
from host.fds import send_message
from host.inroot import make_file, open_inside, read_bounded
from host.mounts import closing_descriptor
from host.procfs import open_handle, write_in
from host.pty import set_window_size
from host.syscalls import SYS_CLOSE_RANGE, libc, syscall
from host.trees import attach, clone_of
from oci.run import hooks
from oci.run.errors import StepFailed
from oci.run.operations import AskParent, OpenConsole, RunHooks
from oci.run.perform.context import Context
from oci.run.process_operations import (
    ApparmorProfile,
    AwaitParent,
    AwaitStart,
    ChangeDirectory,
    Execute,
    FindProgram,
    KeepCapabilities,
    LimitBoundingSet,
    LoadSeccomp,
    NoNewPrivileges,
    OwnStdio,
    ReportReady,
    SelinuxLabel,
    SetCapabilities,
    SetDomainname,
    SetEnvironment,
    SetGroups,
    SetHostname,
    SetMemoryPolicy,
    SetPersonality,
    SetUmask,
    SetUser,
    WriteSysctl,
)

_PASSWD_LIMIT = 1 << 20
_IGNORED_BY_PYTHON = (
    signal.SIGPIPE,
    signal.SIGXFSZ,
)  # what is ignored stays so across execve(2)
_LAST_DESCRIPTOR = (1 << 32) - 1
_CLOSE_RANGE_CLOEXEC = 4


def ask_parent(operation: AskParent, context: Context) -> None:
    context.ask(operation.what)


def run_hooks(operation: RunHooks, context: Context) -> None:
    state = {**context.hook_state, "status": operation.status, "pid": os.getpid()}
    hooks.run(operation.point, operation.hooks, state, context.environment)


def open_console(operation: OpenConsole, context: Context) -> None:
    if context.root < 0:  # we have joined a mount namespace, whose root is ours
        context.root = os.open("/", os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    master, peer, name = open_terminal(context.root)
    with closing_descriptor(master), closing_descriptor(peer):
        if operation.width and operation.height:
            set_window_size(peer, operation.width, operation.height)
        if operation.mount:
            with closing_descriptor(make_file(context.root, "/dev/console", 0o666)) as place:
                with closing_descriptor(clone_of(peer, recursive=False)) as tree:
                    attach(tree, place)
        if context.console < 0:
            context.tell({"console": name}, (master,))
        else:
            with socket.socket(fileno=os.dup(context.console)) as sock:
                send_message(sock, name.encode(), (master,))
        take_terminal(peer)


def set_hostname(operation: SetHostname, _: Context) -> None:
    socket.sethostname(operation.name)


def set_domainname(operation: SetDomainname, _: Context) -> None:
    encoded = operation.name.encode()
    if libc.setdomainname(encoded, len(encoded)) < 0:
        raise OSError(errno.EPERM, os.strerror(errno.EPERM), operation.name)


def write_sysctl(operation: WriteSysctl, _: Context) -> None:
    handle = open_handle(only_processes=False)
    with closing_descriptor(handle):
        write_in(handle, f"sys/{operation.file}", operation.value)


def set_umask(operation: SetUmask, _: Context) -> None:
    os.umask(operation.mask)


def set_personality(operation: SetPersonality, _: Context) -> None:
    scheduling.set_personality(operation.persona)


def set_memory_policy(operation: SetMemoryPolicy, _: Context) -> None:
    scheduling.set_memory_policy(operation.mode, operation.nodes)


def apparmor_profile(operation: ApparmorProfile, context: Context) -> None:
    try:
        write_in(context.procfs, "self/attr/apparmor/exec", f"exec {operation.name}")
    except FileNotFoundError:
        write_in(context.procfs, "self/attr/exec", f"exec {operation.name}")


def selinux_label(operation: SelinuxLabel, context: Context) -> None:
    write_in(context.procfs, "self/attr/exec", operation.label)


def no_new_privileges(_: NoNewPrivileges, __: Context) -> None:
    credentials.no_new_privileges()


def load_seccomp(operation: LoadSeccomp, context: Context) -> None:
    if not operation.listens:
        credentials.load_filter(context.program, operation.flags)
        return
    # From here on a call may wait for the listener: the parent gets it by a write, which none may watch.
    descriptor = credentials.load_filter(context.program, operation.flags)
    os.write(context.channel.fileno(), b'{"ask":"listener","descriptor":%d}' % descriptor)
    context.hear()
    os.close(descriptor)


def set_environment(operation: SetEnvironment, context: Context) -> None:
    entries = [entry for entry in operation.entries if entry != "HOME="]
    if not any(entry.startswith("HOME=") for entry in entries):
        entries.append(f"HOME={_home(context.root, operation.uid)}")
    if context.sockets:
        entries += [f"LISTEN_FDS={context.sockets}", "LISTEN_PID=1"]
    context.environment = tuple(entries)


def _home(root: int, uid: int) -> str:
    """The home directory by the container's /etc/passwd, of which a bounded part is read; else ``/``."""
    directory = root if root >= 0 else os.open("/", os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    for line in read_bounded(directory, "/etc/passwd", _PASSWD_LIMIT).split(b"\n"):
        fields = line.split(b":")
        if len(fields) >= 6 and fields[2] == str(uid).encode() and fields[5]:
            return os.fsdecode(fields[5])
    return "/"


def change_directory(operation: ChangeDirectory, context: Context) -> None:
    """Without following links of procfs, and only to what is below our root: a descriptor that leaked into us
    would be a way out (CVE-2024-21626)."""
    if context.in_directory:
        return
    try:
        with closing_descriptor(os.open("/", os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)) as root:
            with closing_descriptor(open_inside(root, operation.path, os.O_PATH | os.O_DIRECTORY)) as place:
                os.fchdir(place)
    except PermissionError:
        if operation.required:
            raise
        return
    try:
        reached = os.getcwd()
    except FileNotFoundError:
        reached = ""
    if not reached.startswith("/"):
        raise StepFailed(
            f"cwd {operation.path!r} is outside of the container's mount namespace root", errno.ENOENT
        )
    context.in_directory = True


def own_stdio(operation: OwnStdio, _: Context) -> None:
    for number in range(3):
        try:
            status = os.fstat(number)
            if status.st_uid == operation.uid or _is_null(status):
                continue
            os.fchown(number, operation.uid, -1)
        except OSError as error:
            if error.errno not in (errno.EBADF, errno.EPERM, errno.EROFS, errno.EINVAL, errno.EACCES):
                raise


def _is_null(status: os.stat_result) -> bool:
    return stat.S_ISCHR(status.st_mode) and status.st_rdev == os.makedev(1, 3)


def set_groups(operation: SetGroups, context: Context) -> None:
    try:
        os.setgroups(operation.gids)
    except PermissionError:
        if operation.gids:
            raise
    del context


def set_user(operation: SetUser, _: Context) -> None:
    credentials.become(operation.uid, operation.gid)


def keep_capabilities(operation: KeepCapabilities, _: Context) -> None:
    credentials.keep_capabilities(yes=operation.yes)


def limit_bounding_set(operation: LimitBoundingSet, _: Context) -> None:
    credentials.limit_bounding_set(operation.bits)


def set_capabilities(operation: SetCapabilities, _: Context) -> None:
    inheritable = operation.inheritable
    credentials.set_capabilities(operation.effective, operation.permitted, inheritable)
    credentials.set_ambient(operation.ambient)


def find_program(operation: FindProgram, context: Context) -> None:
    name = operation.name
    if "/" in name:
        _require_executable(name, f'exec: "{name}"')
        context.path = name
        return
    path = next((entry[5:] for entry in context.environment if entry.startswith("PATH=")), "")
    denied = False
    for directory in path.split(":"):
        candidate = os.path.join(directory or ".", name)
        with contextlib.suppress(OSError):
            if os.path.isfile(candidate):
                if os.access(candidate, os.X_OK):
                    context.path = candidate
                    return
                denied = True
    number = errno.EACCES if denied else errno.ENOENT
    text = "permission denied" if denied else "executable file not found in $PATH"
    raise StepFailed(f'exec: "{name}": {text}', number)


def _require_executable(name: str, prefix: str) -> None:
    try:
        status = os.stat(name)
    except OSError as error:
        raise StepFailed(
            f"{prefix}: stat {name}: {(error.strerror or '').lower()}", error.errno or 0
        ) from None
    if stat.S_ISDIR(status.st_mode):
        raise StepFailed(f"{prefix}: is a directory", errno.EISDIR)
    if not os.access(name, os.X_OK):
        raise StepFailed(f"{prefix}: permission denied", errno.EACCES)


def report_ready(_: ReportReady, context: Context) -> None:
    context.tell({"ready": True})


def await_start(_: AwaitStart, context: Context) -> None:
    context.listening = True
    context.channel.close()
    while not os.read(context.start, 1):
        pass


def await_parent(_: AwaitParent, context: Context) -> None:
    context.hear()


def execute(operation: Execute, context: Context) -> None:
    for number in _IGNORED_BY_PYTHON:
        signal.signal(number, signal.SIG_DFL)
    credentials.execute(context.path, operation.arguments, context.environment)


def keep_descriptors(context: Context) -> None:
    """Close what the parent had open for others, and let the execution close what is ours; of the rest, the
    program's, the first three are those that we were told."""
    for number, descriptor in enumerate(context.stdio):
        os.dup2(descriptor, number)
    first = context.keep
    for descriptor in sorted(context.own_descriptors()):
        if descriptor > first:
            _close_range(first, descriptor - 1)
        first = max(first, descriptor + 1)
    _close_range(first, _LAST_DESCRIPTOR)
    _close_range(context.keep, _LAST_DESCRIPTOR, _CLOSE_RANGE_CLOEXEC)


def _close_range(first: int, last: int, flags: int = 0) -> None:
    syscall("close_range", SYS_CLOSE_RANGE, ctypes.c_uint(first), ctypes.c_uint(last), ctypes.c_uint(flags))
