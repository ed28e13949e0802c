"""Where a process may be killed: before and after all that it does to the world, and when it waits.

Nobody lists these points. They are found by what the process calls:

    functions of os, signal and fcntl     all of them but those that only ask, or only touch what dies with
    sendings of sockets                   the process (ASKING)
    files that are opened to be written
    statements of SQLite                  but queries
    calls of libc                         all but those that only ask
    turns of tasks                        before and after every await that really waits
    steps of operations                   for their names

so that whatever is added to a verb has its points too. Nothing of the process's own code knows: whoever is to
die replaces these calls before it begins (``put``).
"""

import asyncio
import builtins
import contextlib
import fcntl
import functools
import io
import os
import re
import signal
import socket
import sqlite3
import sys
import threading
import types
from collections.abc import Callable, Coroutine, Generator, Iterator
from contextlib import contextmanager
from typing import Any

import host.syscalls

Point = Callable[[str], None]

# What asks, and what is done to descriptors, memory and limits that are this process's alone.
ASKING = re.compile(
    r"_.*|W[A-Z]+|waitstatus_to_exitcode|fs.*|str.*|(l|f)?stat\w*|access|readlink|listdir|scandir|get.*|is.*"
    r"|p?readv?|preadv|urandom|cpu.*|sched_.*|device_.*|major|minor|makedev|times|(f?path)?conf|sysconf|confstr"
    r"|close\w*|dup2?|pipe2?|openpty|lseek|set_(inheritable|blocking)|umask|chdir|fchdir|memfd_create|eventfd.*"
    r"|pidfd_open|open|f?statvfs|terminal_size|ttyname|ctermid|login_tty|register_at_fork|DirEntry|abort"
    r"|signal|set_wakeup_fd|sig(pending|nals?|wait\w*|interrupt)|default_int_handler|pause|valid_signals"
    r"|pthread_sigmask|.*itimer|alarm|raise_signal|register.*|exec\w*|wait\d?|put(env)|unsetenv|uname|nice"
)
_LIBC_ASKS = re.compile(r"_.*|prctl|getxattr|lgetxattr|statx|gnu_.*|malloc_trim|mallopt")
_WRITING = os.O_WRONLY | os.O_RDWR | os.O_CREAT
_SENDING = ("send", "sendall", "sendto", "sendmsg", "connect", "bind", "listen")


class Points:
    """Counts the points that are passed while it is armed, and kills at the chosen one."""

    def __init__(
        self,
        told: Callable[[str], object],
        state: Callable[[], object] | None = None,
        seen: Callable[[str], object] = lambda _: None,
    ) -> None:
        """``told`` gets the name of the point at which it kills, ``seen`` that of each. With ``state``, which
        nothing can change but this process, a point is one only if that has changed since the one before."""
        self._seen = seen
        self.passed = 0
        self.statements = 0
        self._told = told
        self._state = state
        self._last: object = None
        self._armed = False
        self._at = 0
        self._one = threading.Lock()
        self._thread = threading.local()

    def arm(self, at: int) -> None:
        """Kill at the point ``at``, counted from 1 from now on; 0 only counts."""
        self._armed, self._at = True, at

    def stated(self) -> None:
        """A database is told something."""
        if not getattr(self._thread, "is_within", False):
            self.statements += 1

    def disarm(self) -> None:
        """Count no more; what was done until now is a point yet."""
        self("at the end")
        self._armed = False

    def __call__(self, name: str) -> None:
        if not self._armed or getattr(self._thread, "is_within", False):
            return
        with self.silent(), self._one:
            self._pass(name)

    @contextmanager
    def silent(self) -> Iterator[None]:
        """What this thread does in the block is no point: it stands for something that is done in one go."""
        before, self._thread.is_within = getattr(self._thread, "is_within", False), True
        try:
            yield
        finally:
            self._thread.is_within = before

    def _pass(self, name: str) -> None:
        if self._state is not None:
            state = self.statements, self._state()
            if state == self._last:
                return
            self._last = state
        self.passed += 1
        self._seen(name)
        if self.passed == self._at:
            self._told(name)
            os.kill(os.getpid(), signal.SIGKILL)
            signal.pause()


def put(point: Point, *, below: str = "/") -> None:
    """Have this process pass its points, for good; of files those below ``below``."""
    _files(point, below)
    _statements(point)
    for module in (os, signal, fcntl):
        _functions(module, point)
    for name in _SENDING:
        setattr(socket.socket, name, _announced(getattr(socket.socket, name), f"socket.{name}", point))
    if not isinstance(host.syscalls.libc, _Libc):
        _libc(point)


def steps(point: Point) -> None:
    """Announce the steps of operations, too."""
    from cri.operations import Operation

    timed = Operation.step

    @contextmanager
    def step(operation: Operation, name: str) -> Iterator[None]:
        point(f"before {operation.verb}: {name}")
        with timed(operation, name):
            yield
        point(f"after {operation.verb}: {name}")

    Operation.step = step  # type: ignore[method-assign,assignment]


def turns(loop: asyncio.AbstractEventLoop, point: Point) -> None:
    """Announce each await of this loop's tasks that really waits."""

    def factory(
        loop: asyncio.AbstractEventLoop,
        coroutine: Coroutine[Any, Any, Any] | Generator[Any, None, Any],
        **more: Any,
    ) -> asyncio.Task[Any]:
        return asyncio.Task(_Turns(coroutine, point), loop=loop, **more)

    loop.set_task_factory(factory)


class _Turns(Coroutine[Any, Any, Any]):
    """A coroutine, with a point at the end of each of its turns."""

    def __init__(self, inner: Any, point: Point) -> None:
        self._inner = inner
        self._point = point

    def send(self, value: Any) -> Any:
        if self._inner.cr_frame is not None and self._inner.cr_await is not None:
            self._point(f"after an await in {_place(self._inner)}")
        waits_for = self._inner.send(value)
        self._point(f"before an await in {_place(self._inner)}")
        return waits_for

    def throw(self, *arguments: Any) -> Any:
        waits_for = self._inner.throw(*arguments)
        self._point(f"before an await in {_place(self._inner)}")
        return waits_for

    def close(self) -> None:
        self._inner.close()

    def __await__(self) -> Generator[Any, Any, Any]:
        return self._inner.__await__()  # type: ignore[no-any-return]


def _place(coroutine: Any) -> str:
    """The innermost coroutine of ours that waits."""
    name = getattr(coroutine, "__qualname__", "?")
    while (coroutine := getattr(coroutine, "cr_await", None)) is not None and hasattr(coroutine, "cr_await"):
        name = coroutine.__qualname__
    return str(name)


def _functions(module: types.ModuleType, point: Point) -> None:
    for name, function in list(vars(module).items()):
        if isinstance(function, types.BuiltinFunctionType) and not ASKING.fullmatch(name):
            setattr(module, name, _announced(function, f"{module.__name__}.{name}", point))


def _announced(function: Callable[..., Any], name: str, point: Point) -> Callable[..., Any]:
    @functools.wraps(function)
    def announced(*arguments: Any, **more: Any) -> Any:
        point(f"before {name}")
        result = function(*arguments, **more)
        point(f"after {name}")
        return result

    return announced


class _Libc:
    """The handle of libc, whose functions are announced."""

    def __init__(self, inner: Any, point: Point) -> None:
        self.__dict__["_inner"], self.__dict__["_point"] = inner, point

    def __getattr__(self, name: str) -> Any:
        function = getattr(self._inner, name)
        if _LIBC_ASKS.fullmatch(name):
            return function
        made = self.__dict__[name] = _Function(function, name, self._point)
        return made


class _Function:
    """A function of libc, with the attributes that tell ctypes its types."""

    def __init__(self, function: Any, name: str, point: Point) -> None:
        self.__dict__.update(_function=function, _name=name, _point=point)

    def __call__(self, *arguments: Any) -> Any:
        self._point(f"before libc.{self._name}")
        result = self._function(*arguments)
        if result is None or not isinstance(result, int) or result >= 0:
            self._point(f"after libc.{self._name}")  # else errno is asked for first
        return result

    def __getattr__(self, name: str) -> Any:
        return getattr(self._function, name)

    def __setattr__(self, name: str, value: Any) -> None:
        setattr(self._function, name, value)


def _libc(point: Point) -> None:
    """In every module that has taken the handle, or will."""
    inner = host.syscalls.libc
    for module in list(sys.modules.values()):
        if getattr(module, "libc", None) is inner:
            module.libc = _Libc(inner, point)  # type: ignore[attr-defined]


def _files(point: Point, below: str) -> None:
    """Between its opening and its first write a new file is there, and empty."""

    def announced(open_: Callable[..., Any], writes: Callable[..., bool]) -> Callable[..., Any]:
        told = _announced(open_, "open of a file to be written", point)

        @functools.wraps(open_)
        def opened(path: Any, *arguments: Any, **more: Any) -> Any:
            is_told = writes(*arguments, **more) and _is_below(path, below)
            return (told if is_told else open_)(path, *arguments, **more)

        return opened

    builtins.open = io.open = announced(io.open, lambda mode="r", *_, **__: mode.strip("rbt") != "")
    os.open = announced(os.open, lambda flags, *_, **__: bool(flags & _WRITING))


def _statements(point: Point) -> None:
    connect = sqlite3.connect

    def statement(text: str) -> None:
        if not text.lstrip().upper().startswith("SELECT"):
            if isinstance(point, Points):
                point.stated()
            point(f"before {' '.join(text.split()[:3])}")

    def connected(*arguments: Any, **more: Any) -> sqlite3.Connection:
        connection: sqlite3.Connection = connect(*arguments, **more)
        connection.set_trace_callback(statement)
        return connection

    sqlite3.connect = connected  # type: ignore[assignment]


def _is_below(path: Any, below: str) -> bool:
    """Also what is named by the descriptor of a directory."""
    with contextlib.suppress(TypeError, ValueError):
        text = os.fsdecode(path)
        return text.startswith(below) or not text.startswith("/")
    return False
