"""Whether the kernel killed a process of a container for its memory limit (cgroup v1, hybrid, v2).

Read when the container has ended: the cgroup lives until the runtime's delete, and its counter tells of
every kill before, so no watch is needed that could miss one.
"""

_ROOT = "/sys/fs/cgroup"


def memory_file(pid: int) -> str | None:
    """The file of ``pid``'s memory cgroup that counts OOM kills; None without a memory controller."""
    with open(f"/proc/{pid}/cgroup", encoding="utf-8", errors="surrogateescape") as file:
        return counter_path(file.read(), unified=_is_unified())


def counter_path(cgroups: str, *, unified: bool) -> str | None:
    """The same from the text of /proc/PID/cgroup (cgroups(7)); ``unified`` if only v2 is mounted."""
    for line in cgroups.splitlines():
        hierarchy, controllers, path = line.split(":", 2)
        if path in ("", "/"):
            continue  # the root's counters are not the container's
        if "memory" in controllers.split(","):
            return f"{_ROOT}/memory{path}/memory.oom_control"
        if unified and hierarchy == "0" and not controllers:
            return f"{_ROOT}{path}/memory.events"
    return None


def _is_unified() -> bool:
    try:
        with open(f"{_ROOT}/cgroup.controllers", encoding="ascii"):
            return True
    except FileNotFoundError:
        return False


def kills(path: str | None) -> int:
    """The counter's value; 0 if it cannot be read."""
    if path is None:
        return 0
    try:
        with open(path, encoding="ascii") as file:
            return count(file.read())
    except OSError:
        return 0


def count(text: str) -> int:
    """The ``oom_kill`` line of memory.events (v2) or memory.oom_control (v1)."""
    for line in text.splitlines():
        name, _, value = line.partition(" ")
        if name == "oom_kill":
            return int(value)
    return 0
