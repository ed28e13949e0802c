"""Stopping and letting go all processes of a cgroup, in both versions."""

import contextlib
import time

from oci.run.cgroups.place import Place
from oci.run.cgroups.types import NotFrozen

_V1_TRIES = 1000
_V1_LET_GO_EACH = 50
_STEP_S = 0.01
_V2_TRIES = 1000


def freeze(place: Place) -> None:
    """Raises NotFrozen: not within ten seconds; they were let go again."""
    try:
        frozen = _freeze_v2(place) if place.tree.v2 else _freeze_v1(place)
    except BaseException:
        with contextlib.suppress(OSError):
            thaw(place)
        raise
    if not frozen:
        thaw(place)
        raise NotFrozen(f"the kernel does not freeze all processes of {place.directory}")


def _freeze_v1(place: Place) -> bool:
    """What forks all the time can keep version 1 in FREEZING: writing again helps, so does to let go."""
    for attempt in range(1, _V1_TRIES + 1):
        place.write("freezer.state", "FROZEN")
        if _is_frozen_v1(place):
            return True
        if attempt % _V1_LET_GO_EACH == 0:
            place.write("freezer.state", "THAWED")
            time.sleep(_STEP_S)
        else:
            time.sleep(0.00001)
    return False


def _freeze_v2(place: Place) -> bool:
    place.write("cgroup.freeze", "1")
    for _ in range(_V2_TRIES):
        if _event(place, "frozen") == "1":
            return True
        time.sleep(_STEP_S if _event(place, "populated") == "1" else 0)
    return False


def thaw(place: Place) -> None:
    """Does not wait: what is thawed runs when it runs."""
    if place.tree.v2:
        place.write("cgroup.freeze", "0")
    else:
        place.write("freezer.state", "THAWED")


def is_frozen(place: Place) -> bool:
    """By its own state, not by that of what is above it."""
    if place.tree.v2:
        return place.read("cgroup.freeze") == "1"
    return _is_frozen_v1(place)


def _is_frozen_v1(place: Place) -> bool:
    return place.read("freezer.state") == "FROZEN" and place.read("freezer.self_freezing") == "1"


def _event(place: Place, name: str) -> str:
    for line in (place.read("cgroup.events") or "").splitlines():
        key, _, value = line.partition(" ")
        if key == name:
            return value
    return ""
