"""Whether the kernel killed a process of a container for its memory limit (cgroup v1, hybrid, v2).

The cgroup's counter tells of every kill before, so that reading it when the container has ended would do, if
the cgroup lived until the runtime's delete. But systemd removes that of a scope as soon as it is empty: on
version 2 the counter is therefore also read whenever the kernel says that it has changed, which is before the
victim's end, and again first of all when the container has ended.
"""

import os
import select

from oci.monitor.reactor import Reactor

_ROOT = "/sys/fs/cgroup"
_FILE_BYTES = 4096
# The kernel's word for a change of such a file (kernfs_fop_poll).
_CHANGED = select.EPOLLPRI
_V2_FILE = "/memory.events"


class Kills:
    """The OOM kills that one cgroup counts, seen until ``close``."""

    def __init__(self, reactor: Reactor, path: str | None) -> None:
        """Begin to look at ``path``, the file of memory_file(); without one, none are counted."""
        self._reactor = reactor
        self._seen = 0
        self._descriptor: int | None = None
        try:
            if path is not None:
                self._descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
                if path.endswith(_V2_FILE):
                    reactor.watch(self._descriptor, _CHANGED, self._changed)
        except OSError:
            return  # it is gone already

    def look(self) -> int:
        """How many there have been; of a cgroup that is gone, as many as were seen."""
        if self._descriptor is not None:
            try:
                self._seen = count(os.pread(self._descriptor, _FILE_BYTES, 0).decode("ascii"))
            except OSError:
                self.close()  # the kernel would tell of a change for ever
        return self._seen

    def _changed(self) -> None:
        self.look()

    def close(self) -> None:
        """Stop looking. Idempotent."""
        if self._descriptor is not None:
            self._reactor.unwatch(self._descriptor)
            os.close(self._descriptor)
            self._descriptor = None


def memory_file(pid: int) -> str | None:
    """The file of ``pid``'s memory cgroup that counts OOM kills; None without a controller or process."""
    try:
        with open(f"/proc/{pid}/cgroup", encoding="utf-8", errors="surrogateescape") as file:
            return counter_path(file.read(), unified=_is_unified())
    except OSError:
        return None


def counter_path(cgroups: str, *, unified: bool) -> str | None:
    """The same from the text of /proc/PID/cgroup (cgroups(7)); ``unified`` if only v2 is mounted."""
    for line in cgroups.splitlines():
        hierarchy, controllers, path = line.split(":", 2)
        if path in ("", "/"):
            continue  # the root's counters are not the container's
        if "memory" in controllers.split(","):
            return f"{_ROOT}/memory{path}/memory.oom_control"
        if unified and hierarchy == "0" and not controllers:
            return f"{_ROOT}{path}{_V2_FILE}"
    return None


def _is_unified() -> bool:
    try:
        with open(f"{_ROOT}/cgroup.controllers", encoding="ascii"):
            return True
    except FileNotFoundError:
        return False


def count(text: str) -> int:
    """The ``oom_kill`` line of memory.events (v2) or memory.oom_control (v1)."""
    for line in text.splitlines():
        name, _, value = line.partition(" ")
        if name == "oom_kill":
            return int(value)
    return 0
