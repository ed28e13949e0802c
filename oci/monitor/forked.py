"""Processes that the monitor forks to do what may hang: with its code in memory already, they cost little.

Such a process keeps nothing of the monitor's but the socket pair between them and what it is given, cannot
return into the monitor's code, and ends with the monitor, unless it is made to outlive it.
"""

import gc
import os
import signal
import socket
from collections.abc import Callable
from typing import NoReturn

from host.process_name import set_name
from host.spawn import IGNORED, PR_SET_PDEATHSIG, prctl
from oci.monitor.reactor import complain

NAME = "podwright-logs"
KEEPER = "podwright-keeper"


def fork(
    what: str, main: Callable[[socket.socket], NoReturn], *kept: int, name: str = NAME, outlives: bool = False
) -> tuple[int, socket.socket]:
    """Run ``main`` with its end of a socket pair (SOCK_SEQPACKET) in a new process, ``name`` and ``what`` for
    ps(1).

    The process has the descriptors ``kept``, too. One that ``outlives`` us has a session of its own. Gives
    its pid and our end, which does not block.
    """
    ours, its = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    ours.setblocking(False)
    try:
        pid = os.fork()
    except OSError:
        ours.close()
        its.close()
        raise
    if pid == 0:
        _become(f"{name}: {what}", main, its, kept, outlives=outlives)
    its.close()
    return pid, ours


def _become(
    title: str,
    main: Callable[[socket.socket], NoReturn],
    sock: socket.socket,
    kept: tuple[int, ...],
    *,
    outlives: bool,
) -> NoReturn:
    try:
        gc.freeze()  # objects of the monitor must not close descriptors that are ours by now
        signal.set_wakeup_fd(-1)
        for number in (signal.SIGTERM, *IGNORED):
            signal.signal(number, signal.SIG_IGN)
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        if outlives:
            os.setsid()
        else:
            prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
        _close_all_but(0, 1, 2, sock.fileno(), *kept)
        set_name(title.partition(":")[0], title)
        main(sock)
    except BaseException:
        complain(f"{title} ends", trace=True)
    finally:
        os._exit(1)


def _close_all_but(*kept: int) -> None:
    """Close every descriptor but these."""
    low = 0
    for descriptor in (*sorted(kept), os.sysconf("SC_OPEN_MAX")):
        if low < descriptor:  # CPython takes an empty range for all there are
            os.closerange(low, descriptor)
        low = descriptor + 1
