"""Whether the kernel killed a process of a container for its memory limit (cgroup v1, hybrid, v2).

The cgroup's counter tells of every kill before, so that reading it when the container has ended would do, if
the cgroup lived until the runtime's delete. But systemd removes that of a scope as soon as it is empty. On
version 2 the counter is therefore also read whenever the kernel says that it has changed, which is before the
victim's end; and where even that came too late, the cgroup above has counted the kill, too.
"""

import os
import select
from weakref import WeakValueDictionary

from host.lines import lines
from oci.monitor.reactor import Reactor

_ROOT = "/sys/fs/cgroup"
_FILE_BYTES = 4096
# The kernel's word for a change of such a file (kernfs_fop_poll).
_CHANGED = select.EPOLLPRI
_V2_FILE = "/memory.events"


class Above:
    """The counter of the cgroup above those of some containers: it counts theirs and lives longer."""

    def __init__(self, path: str) -> None:
        """What it has counted before is nobody's."""
        self._path = path
        self._explained = self._count()
        self._members: set[Kills] = set()

    def join(self, member: "Kills") -> None:
        """Look after one more; what it counts already is in our count, too."""
        self._explained -= member.look()
        self._members.add(member)

    def leave(self, member: "Kills") -> None:
        """Look after one less."""
        if member in self._members:
            self._explained += member.look()
            self._members.remove(member)

    def take_rest(self) -> int:
        """The kills that no member has counted: of the one that asks, whose own counter is gone."""
        rest = self._count() - self._explained - sum(member.look() for member in self._members)
        self._explained += max(0, rest)
        return max(0, rest)

    def _count(self) -> int:
        try:
            with open(self._path, encoding="ascii") as file:
                return count(file.read())
        except OSError:
            return 0


class Kills:
    """The OOM kills that one cgroup counts, seen until ``close``."""

    def __init__(self, reactor: Reactor, path: str | None, above: Above | None = None) -> None:
        """Begin to look at ``path``, the file of memory_file(); without one, none are counted."""
        self.path = path
        self._reactor = reactor
        self._above = above
        self._seen = 0
        self._descriptor: int | None = None
        try:
            if path is not None:
                self._descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
                if path.endswith(_V2_FILE):
                    reactor.watch(self._descriptor, _CHANGED, self._changed)
        except OSError:
            return  # it is gone already
        finally:
            if above is not None:
                above.join(self)

    def look(self) -> int:
        """How many there have been; of a cgroup that is gone, as many as were seen."""
        if self._descriptor is not None:
            try:
                self._seen = count(os.pread(self._descriptor, _FILE_BYTES, 0).decode("ascii"))
            except OSError:
                self._let_go()  # the kernel would tell of a change for ever
        return self._seen

    def at_end(self, *, killed: bool) -> bool:
        """Whether there were some, now that the first process has ended; ``killed``: by SIGKILL."""
        if self.look() > 0:
            return True
        is_gone = self._descriptor is None
        return killed and is_gone and self._above is not None and self._above.take_rest() > 0

    def _changed(self) -> None:
        self.look()

    def _let_go(self) -> None:
        if self._descriptor is not None:
            self._reactor.unwatch(self._descriptor)
            os.close(self._descriptor)
            self._descriptor = None

    def close(self) -> None:
        """Stop looking. Idempotent."""
        if self._above is not None:
            self._above.leave(self)
        self._let_go()


class Counters:
    """The counters of all containers, by what is above them."""

    def __init__(self, reactor: Reactor) -> None:
        self._reactor = reactor
        self._above: WeakValueDictionary[str, Above] = WeakValueDictionary()

    def of(self, pid: int, path: str | None = None) -> Kills:
        """That of ``pid``'s cgroup, whose file ``path`` is if it is known."""
        path = path or memory_file(pid)
        return Kills(self._reactor, path, self._over(path))

    def _over(self, path: str | None) -> Above | None:
        if path is None or not path.endswith(_V2_FILE):
            return None  # version 1: nobody removes cgroups but the runtime
        parent = os.path.dirname(path.removesuffix(_V2_FILE)) + _V2_FILE
        above = self._above.get(parent)
        if above is None:
            above = self._above[parent] = Above(parent)
        return above


def memory_file(pid: int) -> str | None:
    """The file of ``pid``'s memory cgroup that counts OOM kills; None without a controller or process."""
    try:
        with open(f"/proc/{pid}/cgroup", encoding="utf-8", errors="surrogateescape") as file:
            return counter_path(file.read(), unified=_is_unified())
    except OSError:
        return None


def counter_path(cgroups: str, *, unified: bool) -> str | None:
    """The same from the text of /proc/PID/cgroup (cgroups(7)); ``unified`` if only v2 is mounted."""
    for line in lines(cgroups):
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
