"""The streaming process: started by the daemon, which gives it

    descriptor 3   a SOCK_SEQPACKET socket to the daemon (cri.streaming.control); its end is ours
    descriptor 4   the listening socket, which outlives us

and then its settings as the first message. It is of no use to anybody else.
"""

import asyncio
import codecs
import logging
import os
import signal
import socket
import sys
from typing import Final

from cri.logs import set_up
from cri.streaming import control
from cri.streaming.control import Json
from cri.streaming.process import confine
from cri.streaming.process.front import Front
from cri.streaming.process.remote import Daemon
from cri.streaming.settings import Settings
from cri.streaming.tls import BadTls, received_context
from host.fds import close_all, receive_message
from host.spawn import IGNORED, PR_SET_NAME
from host.syscalls import libc

logger = logging.getLogger(__name__)

CONTROL: Final = 3
LISTENER: Final = 4
# Codecs are modules that are loaded at their first use, when no file can be opened any more.
_CODECS: Final = ("ascii", "latin-1", "utf-8", "idna", "unicode_escape")


def main() -> None:
    """Serve until the daemon closes its end."""
    if len(sys.argv) < 2:
        sys.exit("usage: podwright-streaming RUNROOT (the daemon starts it by itself)")
    libc.prctl(PR_SET_NAME, b"podwright-strea")
    os.closerange(LISTENER + 1, os.sysconf("SC_OPEN_MAX"))  # of a daemon whose own starter left some open
    os.chdir("/")
    for number in IGNORED:
        signal.signal(number, signal.SIG_IGN)
    with socket.socket(fileno=CONTROL) as daemon, socket.socket(fileno=LISTENER) as listener:
        first, descriptors = receive_message(daemon, control.ANSWER_BYTES)
        close_all(descriptors)
        if not first:
            return
        settings = Settings.of_message(control.decode(first))
        set_up(settings.log_level, settings.log_form, threaded=False)  # see confine_self
        for name in _CODECS:
            codecs.lookup(name)
        with asyncio.Runner() as runner:
            runner.get_loop()
            # Above it are those of clients and sessions; below it connections of port-forward have room, too.
            highest = confine.open_files() * 3 // 4
            confine.confine_self()
            runner.run(_serve(daemon, listener, settings, highest))


async def _serve(
    daemon_socket: socket.socket, listener: socket.socket, settings: Settings, highest: int
) -> None:
    over: asyncio.Future[str] = asyncio.get_running_loop().create_future()

    def lost(reason: str) -> None:
        if not over.done():
            over.set_result(reason)

    def told(message: Json, descriptors: list[int]) -> None:
        if "tls" not in message:
            close_all(descriptors)
            return
        try:
            front.tls = received_context(message["tls"], descriptors)
        except BadTls as error:
            logger.error("streaming TLS files are not usable, the former ones stay error=%s", error)

    daemon = Daemon(daemon_socket, tell=told, lost=lost, highest_descriptor=highest)
    listener.setblocking(False)
    front = Front(listener, daemon, settings)
    front.open()
    daemon.say(control.Ready())
    await over
    # Everything that is open ends with the process, as it does when that is killed.
    logging.shutdown()
    os._exit(0)


if __name__ == "__main__":
    main()
