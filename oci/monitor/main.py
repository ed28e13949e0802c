"""The monitor process: one for a node, one thread, the standard library only.

It touches no file system of logs: its log writers do (oci/monitor/writers.py).

    <directory>/monitor.sock   SOCK_SEQPACKET, 0600; speaks oci.monitor.protocol
    <directory>/monitor.lock   held while it lives: there is one monitor for a directory
    <directory>/monitor.log    its complaints (standard error)
    <directory>/exits/         records of containers that have ended
    <directory>/scratch/       files of runtime commands that are running

It lives on when the daemon stops or dies, in a session of its own; execs, which nobody waits for then, end. A
SIGTERM ends it if nothing lives that would suffer, and is ignored otherwise; SIGHUP, SIGINT and SIGQUIT are
ignored.
"""

import contextlib
import fcntl
import gc
import os
import resource
import signal
import sys

from host.environment import of_helpers
from host.memory import keep_freed_memory
from host.spawn import IGNORED, become_subreaper, keep_to_itself
from oci.monitor.complaints import Complaints
from oci.monitor.node import Node
from oci.monitor.reactor import Reactor, complain
from oci.monitor.upgrade import resumed

_OOM_SCORE = b"-999"


def main() -> None:
    """Serve ``sys.argv[-1]``, the directory; write a byte to standard output once listening."""
    directory = sys.argv[-1]
    if len(sys.argv) < 2 or not os.path.isabs(directory):
        sys.exit("usage: podwright-monitor DIRECTORY (absolute; the daemon starts it by itself)")
    before = resumed(sys.argv[-2])
    lock = _lock(f"{directory}/monitor.lock") if before is None else before.lock
    if lock is None:
        sys.exit(f"a monitor for {directory} is running")
    sys.stderr = Complaints(sys.stderr.fileno())
    _settle_down()
    reactor = Reactor()
    node = Node(reactor, directory, of_helpers(os.environ), lock, before)
    _mind_signals(reactor, node)
    os.write(1, b"\n")
    _detach_output()
    gc.collect()
    gc.freeze()
    reactor.run()
    node.close()


def _lock(path: str) -> int | None:
    """Become the directory's monitor; None if there is one."""
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(descriptor)
        return None
    return descriptor


def _settle_down() -> None:
    """Take on a supervisor's properties, as far as this machine lets us."""
    become_subreaper()
    keep_to_itself()
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    keep_freed_memory(1 << 20)
    os.chdir("/")
    os.umask(0o077)  # host/private.py
    with contextlib.suppress(OSError), open("/proc/self/oom_score_adj", "wb", buffering=0) as file:
        file.write(_OOM_SCORE)  # needs CAP_SYS_RESOURCE


def _mind_signals(reactor: Reactor, node: Node) -> None:
    def terminate(*_: object) -> None:
        if node.idle:
            reactor.stop()
        else:
            complain("SIGTERM ignored: containers live")

    for number in IGNORED:
        signal.signal(number, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, terminate)


def _detach_output() -> None:
    """Standard output was for the one byte; whoever waits for it sees its end."""
    null = os.open(os.devnull, os.O_RDWR | os.O_CLOEXEC)
    os.dup2(null, 1)
    os.close(null)
