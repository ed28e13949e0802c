"""What the process that is set up knows and has open. It has one thread, and talks to its parent alone."""

import json
import os
import socket
from collections.abc import Mapping

from host.fds import receive_message, send_message
from oci.run.errors import StepFailed

MESSAGE_LIMIT = 65536


class Context:
    """The state of one setting-up; descriptors are -1 where there is none."""

    def __init__(self, channel: socket.socket, procfs: int) -> None:
        self.channel = channel
        self.procfs = procfs
        self.root = -1  # the root mount, by O_PATH
        self.place = ""  # the path it was attached at
        self.start = -1  # a byte comes here when the program is to be executed
        self.answer = -1  # our words about that go here; closed by the execution
        self.console = -1  # a connected console socket
        self.cgroup_files: list[int] | None = None
        self.cgroups: list[tuple[str, str]] = []  # (controllers, path) of each hierarchy
        self.trees: list[int] = []  # sources that the parent's helper opened
        self.cgroup_trees: list[
            int
        ] = []  # directories of version 1 that it opened, in the order of mountinfo
        self.maps: dict[tuple[object, object], int] = {}  # user namespaces that hold a mount's maps
        self.program = b""  # the compiled seccomp filter
        self.environment: tuple[str, ...] = ()
        self.path = ""  # of the program
        self.stdio: tuple[int, ...] = ()  # what becomes descriptors 0, 1 and 2, unless they stay as they are
        self.keep = 3  # descriptors below it are the program's
        self.sockets = 0  # how many of them are listening ones of systemd's (sd_listen_fds(3))
        self.hook_state: Mapping[str, object] = {}
        self.in_directory = False
        self.listening = False  # our words go to the answer, no longer to the parent
        self.mask = -1  # the empty directory that covers others

    def own_descriptors(self) -> set[int]:
        """What we were born with and need until the execution."""
        single = (self.channel.fileno(), self.procfs, self.start, self.answer, self.console, self.root)
        return {number for number in (*single, *(self.cgroup_files or ())) if number >= 0}

    def tell(self, message: Mapping[str, object], descriptors: tuple[int, ...] = ()) -> None:
        """Send the parent a message."""
        send_message(self.channel, json.dumps(message).encode(), descriptors)

    def hear(self) -> list[int]:
        """Wait for the parent's next message; its descriptors.

        Raises:
            StepFailed: the parent could not do its part, or is gone.
        """
        payload, descriptors = receive_message(self.channel, MESSAGE_LIMIT)
        if not payload:
            raise StepFailed("the runtime that sets this container up is gone")
        message = json.loads(payload)
        if message.get("failed"):
            raise StepFailed(str(message["failed"]), int(message.get("errno", 0)))
        return descriptors

    def ask(self, what: str) -> list[int]:
        """Have the parent do something, and wait until it is done."""
        self.tell({"ask": what})
        return self.hear()

    def report(self, message: str, errno: int) -> None:
        """Say why this process will not become the program."""
        content = json.dumps({"failed": message, "errno": errno}).encode()[:MESSAGE_LIMIT]
        if self.listening:
            os.write(self.answer, content)
        else:
            send_message(self.channel, content)
