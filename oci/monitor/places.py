"""Where containers' logs lie: directories made without following links, by processes that may hang for ever.

A container may own a part of the way to its log (a hostPath), and put a symbolic link there. So the path is
settled when the sandbox is made, before any container of the pod is: links above the pod's directory
(/var/log may be one) are resolved then, once, and none is followed anywhere on the way from then on.

A process that hangs in a file system cannot be killed, and would keep the daemon from ending, or the monitor
from serving. So neither touches these directories: helpers of the monitor do.
"""

import contextlib
import json
import os
import socket
import time
from collections import deque
from collections.abc import Callable
from typing import Any, NoReturn

from host.fds import receive_message, send_message
from host.openat2 import LinkOnTheWay, make_directories_without_links
from oci.monitor.children import Children
from oci.monitor.forked import fork
from oci.monitor.reactor import READ, Callback, Reactor, Timer
from oci.monitor.writer_words import HUNG, Refusal

_MODE = 0o755  # as the kubelet makes them: whoever ships logs may read there
_MESSAGE_BYTES = 64 * 1024
_SPARE = 1  # helpers that are kept for the next call
_AT_ONCE = 4  # calls that others wait for …
_PATIENCE_S = 0.1  # … for so long: they may hang
_HANGING = 64  # more are refused

Json = dict[str, Any]
Done = Callable[[Json, Refusal | None], None]


def settle(directory: str) -> Json:
    """Make a pod's log directory, and give it as ``path``, without links.

    Raises:
        LinkOnTheWay: it is itself a symbolic link.
    """
    parent, name = os.path.split(os.path.abspath(directory))
    _make_above(parent)
    settled = os.path.join(os.path.realpath(parent), name)
    os.close(make_directories_without_links(settled, _MODE))
    return {"path": settled}


def _make_above(directory: str) -> None:
    """Make what is missing above pods' directories; links are followed there."""
    if not os.path.isdir(directory):
        _make_above(os.path.dirname(directory))
        with contextlib.suppress(FileExistsError):
            os.mkdir(directory)
            os.chmod(directory, _MODE)  # whatever the umask


def prepare(directory: str) -> Json:
    """Make the directory of a container's log, below a settled one, and give its file system as ``device``.

    Raises:
        LinkOnTheWay: a part of the path is a symbolic link.
    """
    descriptor = make_directories_without_links(directory, _MODE)
    try:
        return {"device": os.fstat(descriptor).st_dev}
    finally:
        os.close(descriptor)


def remove(directory: str) -> Json:
    """Remove a directory with the logs in it; one that is gone is fine."""
    from pathlib import Path  # costs a megabyte, in the helper

    from host.files import remove_tree

    remove_tree(Path(directory))
    return {}


_VERBS = {"settle": settle, "prepare": prepare, "remove": remove}


def refusal_of(error: OSError) -> Refusal:
    """What is said of a path that cannot be opened or made."""
    kind = "log_refused" if isinstance(error, LinkOnTheWay) else "failed"
    where = f": {error.filename}" if error.filename else ""
    return Refusal(kind, f"{error.strerror}{where}")


def _help(sock: socket.socket) -> NoReturn:
    """A helper: one call after the other, until the monitor hangs up."""
    while True:
        data, _ = receive_message(sock, _MESSAGE_BYTES)
        if not data:
            os._exit(0)
        verb, directory = json.loads(data)
        try:
            answer: list[object] = [_VERBS[verb](directory), None]
        except OSError as error:
            answer = [{}, refusal_of(error)]
        try:
            send_message(sock, json.dumps(answer).encode())
        except OSError:
            os._exit(0)


class _Call:
    """One call under way."""

    def __init__(self, directory: str, done: Done) -> None:
        self.directory = directory
        self.done: Done | None = done
        self.timer: Timer | None = None
        self.again: Callback | None = None
        self.after: list[Callback] = []  # calls for the same directory

    def helper_died(self) -> None:
        """Do it again, once: every verb may be repeated. Its time begins anew."""
        if self.again is None or self.done is None:
            self.end({}, Refusal("failed", f"the process died that was at log directory {self.directory}"))
            return
        if self.timer is not None:
            self.timer.cancel()
        self.again()
        after, self.after = self.after, []
        for callback in after:
            callback()

    def end(self, result: Json, refusal: Refusal | None) -> None:
        """Tell who asked, once."""
        if self.timer is not None:
            self.timer.cancel()
        done, self.done = self.done, None
        if done is not None:
            done(result, refusal)
        after, self.after = self.after, []
        for callback in after:
            callback()


class _Helper:
    """A helper process, and the call that it is at."""

    def __init__(self, pid: int, sock: socket.socket) -> None:
        self.pid = pid
        self.sock = sock
        self.call: _Call | None = None


class Places:
    """Calls to file systems of logs; one that hangs holds up its own directory alone.

    Calls for one directory are made one after the other.
    """

    def __init__(self, reactor: Reactor, children: Children) -> None:
        """No helper yet."""
        self._reactor = reactor
        self._children = children
        self._idle: list[_Helper] = []
        self._busy: dict[str, _Helper] = {}
        self._waiting: deque[tuple[Timer, Callback]] = deque()

    def call(
        self,
        verb: str,
        directory: str,
        timeout_s: float,
        done: Done,
        is_second: bool = False,
        *,
        is_patient: bool = False,
    ) -> None:
        """Do one of ``settle``, ``prepare`` and ``remove``; ``done`` once, with its result or a refusal.

        While an earlier call for the directory hangs, or too many others do, it is refused at once.
        """
        hung = Refusal(HUNG, f"the file system of log directory {directory} has not answered")
        before = self._busy.get(directory)
        if before is not None and before.call is not None and before.call.done is not None:
            before.call.after.append(lambda: self.call(verb, directory, timeout_s, done))
            return
        hanging = sum(one.call is not None and one.call.done is None for one in self._busy.values())
        if before is not None or hanging >= _HANGING:
            done({}, hung)
            return
        if not self._idle and len(self._busy) - hanging >= _AT_ONCE and not is_patient:
            self._wait(lambda: self.call(verb, directory, timeout_s, done, is_second, is_patient=True))
            return
        try:
            helper = self._idle.pop() if self._idle else self._start()
        except OSError as error:
            done({}, refusal_of(error))
            return
        self._busy[directory] = helper
        call = helper.call = _Call(directory, done)
        call.timer = self._reactor.later(timeout_s, lambda: call.end({}, hung))
        if not is_second:
            call.again = lambda: self.call(verb, directory, timeout_s, done, is_second=True)
        with contextlib.suppress(OSError):  # it is dead: _ended() comes, with another
            send_message(helper.sock, json.dumps([verb, directory]).encode())

    def _wait(self, go_on: Callback) -> None:
        """Call later: when a helper is free, or when those before take too long."""
        timer = self._reactor.later(_PATIENCE_S, self._go_on)
        self._waiting.append((timer, go_on))

    def _go_on(self) -> None:
        """With the call that has waited longest."""
        if self._waiting:
            timer, go_on = self._waiting.popleft()
            timer.cancel()
            go_on()

    def _start(self) -> _Helper:
        since = time.monotonic()
        pid, sock = fork("directories", _help)
        helper = _Helper(pid, sock)
        self._children.watch(pid, since, lambda _: self._ended(helper))
        self._reactor.watch(sock.fileno(), READ, lambda: self._answered(helper))
        return helper

    def _answered(self, helper: _Helper) -> None:
        try:
            data, _ = receive_message(helper.sock, _MESSAGE_BYTES)
        except BlockingIOError:
            return
        except OSError:
            data = b""
        if not data:
            self._reactor.unwatch(helper.sock.fileno())
            return  # _ended() comes
        result, refusal = json.loads(data)
        call = self._free(helper)
        if len(self._idle) < _SPARE:
            self._idle.append(helper)
        else:
            self._hang_up(helper)
        if call is not None:
            call.end(result, None if refusal is None else Refusal(*refusal))
        self._go_on()

    def _free(self, helper: _Helper) -> _Call | None:
        call, helper.call = helper.call, None
        if call is not None:
            self._busy.pop(call.directory, None)
        return call

    def _ended(self, helper: _Helper) -> None:
        """The process has ended: killed, or since we hung up."""
        self._hang_up(helper)
        if helper in self._idle:
            self._idle.remove(helper)
        call = self._free(helper)
        if call is not None:
            call.helper_died()

    def _hang_up(self, helper: _Helper) -> None:
        if helper.sock.fileno() >= 0:
            self._reactor.unwatch(helper.sock.fileno())
            helper.sock.close()

    @property
    def are_asked(self) -> bool:
        """Whether somebody waits for an answer."""
        return bool(self._waiting) or any(
            one.call is not None and one.call.done is not None for one in self._busy.values()
        )

    def close(self) -> None:
        """End the helpers that do not hang."""
        for helper in (*self._idle, *self._busy.values()):
            self._hang_up(helper)
        for helper in self._idle:
            with contextlib.suppress(ChildProcessError):
                os.waitpid(helper.pid, 0)  # a matter of microseconds, at the end of its one call
