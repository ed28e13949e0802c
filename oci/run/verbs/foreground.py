"""A process that the caller waits for: its terminal, the signals meant for it, its exit code."""

import contextlib
import os
import select
import signal
import socket
import termios
import tty
from collections.abc import Iterator

from host.pty import set_window_size, window_size
from host.spawn import become_subreaper, exit_code_of
from oci.run.errors import NoSuchContainer, NotRunning, WrongState
from oci.run.verbs import control, create
from oci.run.verbs.settings import Settings

_NOT_FORWARDED = frozenset(
    (signal.SIGCHLD, signal.SIGPIPE, signal.SIGURG, signal.SIGKILL, signal.SIGSTOP, signal.SIGWINCH)
)
_CHUNK = 65536


def run(
    settings: Settings, container_id: str, options: create.Options, *, keep: bool, subreaper: bool
) -> int:
    """create, start and, unless it is detached, wait and delete; the exit code."""
    if subreaper and not options.detach:
        become_subreaper()
    created = create.create(settings, container_id, options)
    try:
        control.start(settings, container_id)
        if options.detach:
            return 0
        return attend(created.container.pid, created.pidfd, created.terminal)
    except BaseException:
        with contextlib.suppress(NoSuchContainer, WrongState):
            control.delete(settings, container_id, force=True)
        raise
    finally:
        if not options.detach and not keep:
            with contextlib.suppress(NoSuchContainer, NotRunning):
                control.delete(settings, container_id, force=True)


def attend(pid: int, pidfd: int, terminal: int) -> int:
    """Pass signals on, and bytes between our terminal and the process's, until it ends; its exit code."""
    with _signals(pidfd, terminal) as wakeup, _raw_terminal(terminal):
        _relay(pidfd, wakeup, terminal)
    return exit_code_of(os.waitpid(pid, 0)[1])


@contextlib.contextmanager
def _signals(pidfd: int, terminal: int) -> Iterator[socket.socket]:
    """Every signal that can be is sent on; the socket wakes whoever waits."""
    ours, theirs = socket.socketpair()
    for end in (ours, theirs):
        end.setblocking(False)

    def forward(number: int, _: object) -> None:
        with contextlib.suppress(ProcessLookupError):
            signal.pidfd_send_signal(pidfd, number)

    def resize(_: int, __: object) -> None:
        _copy_size(terminal)

    signal.set_wakeup_fd(theirs.fileno())
    for number in signal.valid_signals() - _NOT_FORWARDED:
        with contextlib.suppress(OSError, ValueError):
            signal.signal(number, forward)
    signal.signal(signal.SIGWINCH, resize)
    with ours, theirs:
        yield ours
        signal.set_wakeup_fd(-1)


def _copy_size(terminal: int) -> None:
    if terminal >= 0 and os.isatty(0):
        with contextlib.suppress(OSError):
            set_window_size(terminal, *window_size(0))


@contextlib.contextmanager
def _raw_terminal(terminal: int) -> Iterator[None]:
    if terminal < 0 or not os.isatty(0):
        yield
        return
    _copy_size(terminal)
    before = termios.tcgetattr(0)
    tty.setraw(0)
    try:
        yield
    finally:
        termios.tcsetattr(0, termios.TCSADRAIN, before)


def _relay(pidfd: int, wakeup: socket.socket, terminal: int) -> None:
    sources = [wakeup.fileno(), pidfd, *([terminal, 0] if terminal >= 0 else [])]
    while True:
        ready = select.select(sources, [], [])[0]
        if wakeup.fileno() in ready:
            with contextlib.suppress(BlockingIOError):
                wakeup.recv(_CHUNK)
        if terminal in ready and not _copy(terminal, 1):
            sources.remove(terminal)
        elif 0 in ready and terminal >= 0 and not _copy(0, terminal):
            sources.remove(0)
        elif pidfd in ready and terminal not in ready:
            return


def _copy(source: int, target: int) -> bool:
    """False at the end of the source."""
    try:
        data = os.read(source, _CHUNK)
    except OSError:  # EIO: the other end of a terminal is closed
        return False
    while data:
        data = data[os.write(target, data) :]
        if not data:
            return True
    return False
