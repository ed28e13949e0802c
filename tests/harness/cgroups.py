"""Processes in a container's cgroup (oci.run.cgroups)."""

import os
import subprocess
import threading
import time
from collections.abc import Callable

from oci.run.cgroups.types import Cgroup
from tests.harness.patience import patient

BOUND_S = patient(30)


class Sleeper:
    """A process in the cgroup, reaped as soon as it ends."""

    def __init__(self, cgroup: Cgroup, line: str = "exec sleep 1000") -> None:
        self.process = subprocess.Popen(["sh", "-c", line])
        cgroup.join(self.process.pid)
        self.reaper = threading.Thread(target=self.process.wait)
        self.reaper.start()

    def end(self) -> None:
        self.process.kill()
        self.reaper.join()


def wait_for(condition: Callable[[], object]) -> None:
    deadline = time.monotonic() + BOUND_S
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def opens(cgroup: Cgroup, *nodes: tuple[str, int]) -> list[bool]:
    """Whether a process in the cgroup may open these nodes."""
    read, write = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            for path in cgroup.join_paths():
                path.write_text("0")
            for node, flags in nodes:
                try:
                    os.close(os.open(node, flags | os.O_NONBLOCK))
                except PermissionError:
                    os.write(write, b"-")
                except OSError:
                    os.write(write, b"+")  # nothing is behind the node: it was not the cgroup that said no
                else:
                    os.write(write, b"+")
        finally:
            os._exit(0)
    os.close(write)
    os.waitpid(child, 0)
    with os.fdopen(read, "rb") as answers:
        return [byte == ord("+") for byte in answers.read()]
