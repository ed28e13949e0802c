"""events: a container's counters now and then, and each time the kernel kills one of it for memory."""

import json
import sys
import time

from oci.run.cgroups.types import Cgroup
from oci.run.cli.words import Usage
from oci.run.errors import NotRunning
from oci.run.state import is_alive
from oci.run.verbs.settings import Settings, cgroup_of

_UNITS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0}
_LOOK_S = 0.25


def follow(settings: Settings, container_id: str, interval: str, *, once: bool) -> None:
    """Print a JSON line for each event, until the container ends.

    Raises:
        NotRunning: it has ended.
        Usage: an interval that is none.
    """
    period_s = seconds(interval)
    place = settings.place(container_id)
    container = place.load()
    if not is_alive(container):
        raise NotRunning
    cgroup = cgroup_of(container)
    if once:
        _print("stats", container_id, cgroup.stats())
        return
    kills, due = cgroup.oom_kills(), time.monotonic() + period_s
    while is_alive(container):
        time.sleep(min(_LOOK_S, period_s))
        kills = _tell_kills(cgroup, container_id, kills)
        if time.monotonic() >= due:
            _print("stats", container_id, cgroup.stats())
            due += period_s


def _tell_kills(cgroup: Cgroup, container_id: str, before: int) -> int:
    kills = cgroup.oom_kills()
    for _ in range(kills - before):
        _print("oom", container_id, None)
    return kills


def _print(kind: str, container_id: str, data: object) -> None:
    event = {"type": kind, "id": container_id}
    sys.stdout.write(json.dumps(event if data is None else {**event, "data": data}) + "\n")
    sys.stdout.flush()


def seconds(text: str) -> float:
    """``500ms``, ``5s``, ``1m`` as Go writes durations.

    Raises:
        Usage: it is none, or not above 0.
    """
    digits = text.rstrip("hms")
    unit = text[len(digits) :]
    try:
        value = float(digits) * _UNITS[unit]
    except (ValueError, KeyError):
        raise Usage(f"duration {text!r} is invalid") from None
    if value <= 0:
        raise Usage("duration interval must be greater than 0")
    return value
