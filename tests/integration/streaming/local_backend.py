"""A backend of real local processes: what a runtime does, without containers."""

import asyncio
import os
import signal
import socket
from collections.abc import Sequence

from api.errors import NotFound
from cri.streaming.backend import AttachRequest, ExecRequest, Stdio, Streams
from host.pty import set_window_size

# Whatever the caller of the tests ignores (nohup, a background job): the processes of a shell hear them.
DEFAULT_SIGNALS = (signal.SIGPIPE, signal.SIGINT, signal.SIGHUP, signal.SIGQUIT)


class LocalSession:
    """One spawned process; implements Session."""

    def __init__(self, pid: int, stdio: Stdio) -> None:
        self.pid = pid
        self.stdio = stdio
        self.closed = asyncio.Event()
        self._exit = asyncio.ensure_future(_exit_code(pid))

    async def wait(self) -> int:
        return await asyncio.shield(self._exit)

    async def resize(self, width: int, height: int) -> None:
        if self.stdio.tty is not None:
            set_window_size(self.stdio.tty, width, height)

    async def input_ended(self) -> None:
        pass  # the process reads the end of its pipe

    async def close(self, *, kill: bool) -> None:
        assert not self.closed.is_set(), "a session is closed once"
        self.closed.set()
        if kill:
            self.end()

    def end(self) -> None:
        if not self._exit.done():
            os.kill(self.pid, signal.SIGKILL)


class LocalBackend:
    """Runs commands on this host and dials its loopback; remembers what it started."""

    def __init__(self, attached: Sequence[str] = ("cat",)) -> None:
        self.sessions: list[LocalSession] = []
        self.dialled: list[tuple[str, int]] = []
        self.start_gate = asyncio.Event()
        self.start_gate.set()
        self._attached = tuple(attached)

    async def exec(self, request: ExecRequest) -> LocalSession:
        return await self._start(request.container_id, request.command, request.streams)

    async def attach(self, request: AttachRequest) -> LocalSession:
        return await self._start(request.container_id, self._attached, request.streams)

    async def dial(self, sandbox_id: str, port: int) -> socket.socket:
        self.dialled.append((sandbox_id, port))
        pod = socket.socket()
        pod.setblocking(False)
        try:
            await asyncio.get_running_loop().sock_connect(pod, ("127.0.0.1", port))
        except BaseException:
            pod.close()
            raise
        return pod

    async def _start(self, container_id: str, command: tuple[str, ...], streams: Streams) -> LocalSession:
        await self.start_gate.wait()
        if container_id == "missing":
            raise NotFound(f"container {container_id} is not there")
        if container_id == "broken":
            raise KeyError("a defect of the backend")
        session = LocalSession(*(_spawn_on_terminal(command) if streams.tty else _spawn(command, streams)))
        self.sessions.append(session)
        return session

    async def aclose(self) -> None:
        for session in self.sessions:
            session.end()
            await session.wait()


def _spawn(command: tuple[str, ...], streams: Streams) -> tuple[int, Stdio]:
    theirs: list[int] = []
    ours: list[int | None] = []
    for number, wanted in enumerate((streams.stdin, streams.stdout, streams.stderr)):
        if not wanted:
            theirs.append(os.open(os.devnull, os.O_RDWR | os.O_CLOEXEC))
            ours.append(None)
            continue
        read, write = os.pipe2(os.O_CLOEXEC)
        theirs.append(read if number == 0 else write)
        ours.append(write if number == 0 else read)
    actions = [(os.POSIX_SPAWN_DUP2, fd, number) for number, fd in enumerate(theirs)]
    pid = os.posix_spawnp(command[0], command, os.environ, file_actions=actions, setsigdef=DEFAULT_SIGNALS)
    for fd in theirs:
        os.close(fd)
    return pid, Stdio(*ours)


def _spawn_on_terminal(command: tuple[str, ...]) -> tuple[int, Stdio]:
    master, slave = os.openpty()
    # Opened by the new session leader, the terminal becomes its controlling one.
    actions = [
        (os.POSIX_SPAWN_OPEN, 0, os.ttyname(slave), os.O_RDWR, 0),
        (os.POSIX_SPAWN_DUP2, 0, 1),
        (os.POSIX_SPAWN_DUP2, 0, 2),
    ]
    pid = os.posix_spawnp(
        command[0], command, os.environ, file_actions=actions, setsid=True, setsigdef=DEFAULT_SIGNALS
    )
    os.close(slave)
    return pid, Stdio(tty=master)


async def _exit_code(pid: int) -> int:
    loop = asyncio.get_running_loop()
    ended = loop.create_future()
    descriptor = os.pidfd_open(pid)
    loop.add_reader(descriptor, lambda: None if ended.done() else ended.set_result(None))
    try:
        await ended
    finally:
        loop.remove_reader(descriptor)
        os.close(descriptor)
    return _reap(pid)


def _reap(pid: int) -> int:
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) % 256
