"""podwright-zygote: a process of the monitor's that has all of oci.run in memory, and forks workers.

It does nothing but receive orders and fork: so it has one thread, waits for nobody but the monitor, and
learns nothing from containers. A worker is a child of the monitor (CLONE_PARENT), which reaps it and, as a
subreaper, gets what it leaves behind. It ends with the monitor.

Workers go into containers, whose processes may come to have their executable open: it is one that nobody can
write to (host/sealing.py, CVE-2019-5736), and none of them can be looked into (PR_SET_DUMPABLE).
"""

import gc
import os
import signal
import socket
import sys
from typing import NoReturn

from host.clone import fork
from host.fds import close_all, receive_message, send_message
from host.process_name import set_name
from host.sealing import is_sealed, sealed_copy
from host.spawn import IGNORED, PR_SET_PDEATHSIG, keep_to_itself, prctl
from oci.inside.words import MESSAGE_LIMIT, encode_failure

NAME = "podwright-zygote"
_SOCKET = 3


def main() -> None:
    """Serve the socket that is descriptor 3, with a sealed interpreter."""
    if not is_sealed():
        descriptor = sealed_copy(os.path.realpath(sys.executable))
        os.execve(f"/proc/self/fd/{descriptor}", sys.orig_argv, os.environ)
    prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    keep_to_itself()
    for number in (signal.SIGTERM, *IGNORED):
        signal.signal(number, signal.SIG_IGN)
    os.umask(0o077)
    set_name(NAME, f"{NAME}: waits for orders")
    from oci.inside import worker  # what takes long to import, when there is somebody to whom it is told

    worker.warm_up()
    gc.collect()
    gc.freeze()
    serve(socket.socket(fileno=_SOCKET))


def serve(sock: socket.socket) -> NoReturn:
    """Fork a worker for each order, until the monitor is gone."""
    from oci.inside import worker

    while True:
        payload, descriptors = receive_message(sock, MESSAGE_LIMIT)
        if not payload:
            os._exit(0)
        try:
            pid, pidfd = fork(sibling=True)
        except OSError as error:
            _refuse(descriptors[0], f"no process for an order: {error.strerror}")
            continue
        if pid == 0:
            sock.close()
            worker.work(payload, descriptors)
        os.close(pidfd)
        close_all(descriptors)


def _refuse(descriptor: int, words: str) -> None:
    with socket.socket(fileno=descriptor) as channel:
        send_message(channel, encode_failure(words))
