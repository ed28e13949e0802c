"""The parent's side of a process that is set up: a fork, then messages over a socket pair (docs/adr/0024).

Nothing here waits unless it is called for a message that is there, so one loop can have many launches under
way. The caller has one thread. What is asked of us by the child is done by :meth:`Launch.advance`.
"""

import contextlib
import json
import os
import signal
import socket
from collections.abc import Callable, Iterator, Mapping
from enum import StrEnum
from typing import NamedTuple

from host.clone import CLONE_NEWNS, CLONE_NEWPID, fork, join
from host.fds import close_all, receive_message, send_message
from host.procfs import pid_of, write_in
from host.scheduling import set_io_priority, set_scheduler
from oci.run import limits
from oci.run.errors import StepFailed
from oci.run.operations import (
    AwaitTrees,
    IoPriority,
    NewTimeNamespace,
    OomScore,
    ParentOperation,
    Plan,
    Scheduler,
)
from oci.run.perform import cgroup_mount, isolation, mounting, root
from oci.run.perform.child import become
from oci.run.perform.context import MESSAGE_LIMIT, Context
from oci.run.words import explain


class Phase(StrEnum):
    """SETTING_UP until the child has said READY or FAILED; EXECUTED when it has become the program."""

    SETTING_UP = "setting up"
    READY = "ready"
    EXECUTED = "executed"
    FAILED = "failed"


class Duties(NamedTuple):
    """What a caller does when the child asks for it; the pid is the child's."""

    join_cgroup: Callable[[int], None]
    run_hooks: Callable[[int], None]
    take_listener: Callable[[int, int], None]  # pid, the number of its descriptor


class Gift(NamedTuple):
    """Descriptors and values that the child is born with; see Context."""

    procfs: int
    start: int = -1
    answer: int = -1
    console: int = -1
    root: int = -1
    cgroup: int | None = None  # a v2 directory to be born in
    cgroup_files: list[int] | None = None
    program: bytes = b""
    stdio: tuple[int, ...] = ()
    keep: int = 3
    listening: int = 0
    hook_state: Mapping[str, object] = {}


class Launch:
    """One process on its way; ``fileno()`` turns readable when :meth:`advance` has something to do."""

    def __init__(self, plan: Plan, gift: Gift, duties: Duties) -> None:
        """Fork.

        Raises:
            OSError: no process could be made, or what the parent does at once was refused.
        """
        self._plan = plan
        self._duties = duties
        self._procfs = gift.procfs
        self._helpers: list[int] = []
        self.phase = Phase.SETTING_UP
        self.failure: StepFailed | None = None
        self.terminal = -1  # the master of a terminal that has no console socket to go to
        self._channel, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET | socket.SOCK_CLOEXEC)
        with theirs, _born_in(plan.pid_path):
            self.pid, self.pidfd = fork(plan.flags, cgroup=gift.cgroup)
            if self.pid == 0:
                self._channel.close()
                become(plan.child, _context(theirs, gift))
        self._do_at_once()

    def fileno(self) -> int:
        """The channel's descriptor."""
        return self._channel.fileno()

    def _do_at_once(self) -> None:
        try:
            for operation in self._plan.outside:
                if isinstance(operation, OomScore):
                    self._do(operation)
        except OSError:
            self.abandon()
            raise

    def advance(self) -> Phase:
        """Receive one message, blocking if none is there, and do what it asks."""
        try:
            payload, descriptors = receive_message(self._channel, MESSAGE_LIMIT)
        except ConnectionResetError:  # it has ended without hearing what we said last
            payload, descriptors = b"", []
        if not payload:
            return self._ended()
        message = json.loads(payload)
        if "failed" in message:
            close_all(descriptors)
            return self._fail(str(message["failed"]), int(message["errno"]))
        try:
            self._obey(message, descriptors)
        except OSError as error:
            self._refuse(explain(error), error.errno or 0)
        except StepFailed as error:
            self._refuse(str(error), error.errno)
        return self.phase

    def _ended(self) -> Phase:
        """The channel's other end is closed: by the execution, or with the process."""
        if self.phase is Phase.READY:
            self.phase = Phase.EXECUTED
            return self.phase
        return self._fail("the process that was set up ended without a word: killed?", 0)

    def _fail(self, text: str, errno: int) -> Phase:
        self.failure = self.failure or StepFailed(text, errno)
        self.phase = Phase.FAILED
        return self.phase

    def _refuse(self, text: str, errno: int) -> None:
        """Tell the child that our part failed; it ends with these words."""
        self.failure = StepFailed(text, errno)
        self._answer({"failed": text, "errno": errno})

    def _answer(self, message: Mapping[str, object], descriptors: tuple[int, ...] = ()) -> None:
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):
            send_message(self._channel, json.dumps(message).encode(), descriptors)

    def go_on(self) -> None:
        """Let a child that waits for its parent become the program."""
        self._answer({"go": True})

    def _obey(self, message: Mapping[str, object], descriptors: list[int]) -> None:
        match message:
            case {"reborn": _}:
                self._adopt(descriptors[0])
            case {"console": _}:
                self.terminal = descriptors[0]
            case {"ready": _}:
                self._do_last()
                self.phase = Phase.READY
            case {"ask": "trees"}:
                self._helpers.append(self._open_trees())
            case {"ask": "cgroup"}:
                self._duties.join_cgroup(self.pid)
                self._answer({"done": "cgroup"})
            case {"ask": "maps"}:
                mounting.write_maps(self._procfs, self.pid, self._plan.uid_map, self._plan.gid_map)
                self._answer({"done": "maps"})
            case {"ask": "clocks"}:
                self._set_clocks()
                self._answer({"done": "clocks"})
            case {"ask": "hooks"}:
                self._duties.run_hooks(self.pid)
                self._answer({"done": "hooks"})
            case {"ask": "listener", "descriptor": int(number)}:
                self._duties.take_listener(self.pid, number)
                self._answer({"done": "listener"})
            case _:
                raise StepFailed(f"the process that is set up says {message!r}")

    def _set_clocks(self) -> None:
        order = next(step for step in self._plan.child if isinstance(step, NewTimeNamespace))
        for offset in order.offsets:
            line = f"{offset.clock} {offset.seconds} {offset.nanoseconds}\n"
            write_in(self._procfs, f"{self.pid}/timens_offsets", line)

    def _adopt(self, pidfd: int) -> None:
        """A sibling goes on in the child's place."""
        os.waitpid(self.pid, 0)  # it has nothing to do any more but to end
        os.close(self.pidfd)
        self.pidfd = pidfd
        self.pid = pid_of(self._procfs, pidfd)

    def _do_last(self) -> None:
        for operation in (*self._plan.outside, *self._plan.limits):
            if not isinstance(operation, OomScore):
                self._do(operation)

    def _do(self, operation: ParentOperation) -> None:
        match operation:
            case OomScore(value=value):
                write_in(self._procfs, f"{self.pid}/oom_score_adj", str(value))
            case Scheduler():
                set_scheduler(self.pid, *operation)
            case IoPriority():
                set_io_priority(self.pid, *operation)
            case _:
                limits.set_limit(self.pid, operation)

    def _open_trees(self) -> int:
        """Fork a helper that enters the child's mount namespace with our privileges, and sends it what a user
        namespace may not reach (unreadable directories, ids to be mapped)."""
        order = next(step for step in self._plan.child if isinstance(step, AwaitTrees))
        pid, pidfd = fork()
        if pid:
            os.close(pidfd)
            return pid
        try:
            self._send_trees(order)
        except OSError as error:
            self._answer({"failed": explain(error), "errno": error.errno or 0})
        finally:
            os._exit(0)

    def _send_trees(self, order: AwaitTrees) -> None:
        namespace = os.open(f"{self.pid}/ns/mnt", os.O_RDONLY | os.O_CLOEXEC, dir_fd=self._procfs)
        join(namespace, CLONE_NEWNS)
        self._answer({"tree": "root"}, (root.root_tree(order.root),))
        context = Context(self._channel, self._procfs)
        for bind in order.binds:
            try:
                tree = mounting.source_tree(bind, context)
            except OSError as error:
                title = f'error mounting "{bind.source}" to rootfs at "{bind.target}"'
                self._answer({"failed": f"{title}: {explain(error)}", "errno": error.errno or 0})
                return
            self._answer({"tree": bind.target}, (tree,))
            os.close(tree)
        if order.cgroups:
            self._send_cgroups(context)

    def _send_cgroups(self, context: Context) -> None:
        isolation.remember_cgroups_of(str(self.pid), context)
        table = cgroup_mount.mount_table(context)
        for one in () if cgroup_mount.is_unified(table) else cgroup_mount.hierarchies(table):
            tree = cgroup_mount.own_directory(one, context)
            self._answer({"tree": one.name}, (tree,))
            os.close(tree)
        self._answer({"done": "trees"})

    def abandon(self) -> None:
        """Kill the child, and reap it and its helpers."""
        with contextlib.suppress(ProcessLookupError):
            signal.pidfd_send_signal(self.pidfd, signal.SIGKILL)
        self.reap()

    def reap(self) -> None:
        """Wait for a child that has ended or is about to."""
        for pid in (self.pid, *self._helpers):
            with contextlib.suppress(ChildProcessError):
                os.waitpid(pid, 0)
        self._helpers.clear()
        self.close()

    def close(self) -> None:
        """Let go of the channel and the pidfd; helpers have long ended when the child is ready."""
        for pid in self._helpers:
            with contextlib.suppress(ChildProcessError):
                os.waitpid(pid, 0)
        self._helpers.clear()
        self._channel.close()
        if self.pidfd >= 0:
            os.close(self.pidfd)
            self.pidfd = -1


def _context(channel: socket.socket, gift: Gift) -> Context:
    context = Context(channel, gift.procfs)
    context.start, context.answer, context.console = gift.start, gift.answer, gift.console
    context.cgroup_files, context.program, context.keep = gift.cgroup_files, gift.program, gift.keep
    context.hook_state, context.root = gift.hook_state, gift.root
    context.sockets, context.stdio = gift.listening, gift.stdio
    return context


@contextlib.contextmanager
def _born_in(path: str) -> Iterator[None]:
    """Children of this block are born in the PID namespace at ``path``, those after it in ours again."""
    if not path:
        yield
        return
    own = os.open("/proc/self/ns/pid", os.O_RDONLY | os.O_CLOEXEC)
    try:
        theirs = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        try:
            join(theirs, CLONE_NEWPID)
        finally:
            os.close(theirs)
        try:
            yield
        finally:
            join(own, CLONE_NEWPID)
    finally:
        os.close(own)
