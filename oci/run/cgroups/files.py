"""The cgroupfs driver: a container's cgroup is a directory in every hierarchy, which we make and remove."""

import contextlib
import errno
import os
import signal
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from host.bpf import load_device_program, set_device_program
from host.cgroup_limits import MissingController
from host.cgroups import V2, Tree, own_paths
from oci.run.cgroups import freezer
from oci.run.cgroups.apply import apply, put_back
from oci.run.cgroups.device_program import program
from oci.run.cgroups.devices import DeviceList, Rule
from oci.run.cgroups.making import make
from oci.run.cgroups.place import Place
from oci.run.cgroups.plan import Write, plan, tables
from oci.run.cgroups.statistics import oom_kills, statistics
from oci.run.cgroups.types import CgroupInUse, NotFrozen, Resources

# Controllers with another name in version 2.
_NAMES_IN_V2 = {"blkio": "io"}
_NOT_OURS = (errno.EACCES, errno.EPERM, errno.EROFS)
_DELEGATED = Path("/sys/kernel/cgroup/delegate")
_DELEGATED_AT_LEAST = ["cgroup.procs", "cgroup.subtree_control", "cgroup.threads"]
# Version 2: a container has made cgroups of its own in it and given them controllers; or it is gone.
_NOT_THIS_ONE = (errno.EBUSY, errno.EOPNOTSUPP, errno.ENOENT, errno.ENODEV)
KILL_ROUNDS = 20


class FilesCgroup:
    """See types.Cgroup. ``places``: one in each hierarchy.

    ``rootless``: a hierarchy that is not ours to write is done without, as long as no limit needs it.
    ``owner``: whose the version 2 directory becomes (runtime-spec, config-linux.md, Cgroup ownership).
    """

    def __init__(self, places: Sequence[Place], *, rootless: bool = False, owner: int | None = None) -> None:
        self._places = list(places)
        self._rootless = rootless
        self._owner = owner
        self._pure_v2 = bool(places) and all(place.tree.v2 for place in places)

    def create(self, resources: Resources | None) -> None:
        """See Cgroup."""
        made: list[Place] = []
        try:
            self._make(resources or {}, made)
            self._refuse_used(made)
            self._set(resources or {}, undo=False)
            self._give()
        except BaseException:
            for place in reversed(made):
                with contextlib.suppress(OSError):
                    place.remove()
            raise

    def adopt(self, resources: Resources) -> None:
        """Have what somebody else made, in all hierarchies, with ``resources``."""
        self._make(resources, [])
        self._set(resources, undo=False)
        self._give()

    def _make(self, resources: Resources, made: list[Place]) -> None:
        """Make the directories; ``made`` gets the new ones."""
        for place in list(self._places):
            try:
                make(place, resources, made, alone=self._pure_v2)
            except OSError as error:
                if not self._rootless or error.errno not in _NOT_OURS:
                    raise
                self._places.remove(place)

    def _refuse_used(self, made: list[Place]) -> None:
        """What was there already must be as good as new."""
        for place in self._places:
            if any(place is one for one in made):
                continue
            if pids := place.pids():
                raise CgroupInUse(f"cgroup {place.directory} is not empty: processes {sorted(pids)[:10]}")
            if _has_freezer(place) and freezer.is_frozen(place):
                raise CgroupInUse(f"cgroup {place.directory} is frozen")

    def _give(self) -> None:
        if self._owner is None or not self._pure_v2 or not self._places:
            return
        try:
            names = _DELEGATED.read_text().split()
        except OSError:
            names = _DELEGATED_AT_LEAST
        self._places[0].give(self._owner, names)

    def _set(self, resources: Resources, *, undo: bool) -> None:
        """Devices last: they are the one thing that is never put back."""
        done = apply(self.planned(resources), self._where, undo=undo)
        try:
            if "devices" in resources or not undo:
                self._set_devices(DeviceList.of(map(Rule.parse, tables(resources, "devices"))))
        except BaseException:
            put_back(done, self._where)
            raise

    def _set_devices(self, devices: DeviceList) -> None:
        """Devices are of the machine: who is root of a user namespace only has no say."""
        place = self._where("devices")
        try:
            if place is not None:
                before = DeviceList.shown(place.read("devices.list") or "")
                changes = devices.changes(before)
                apply([Write("devices", file, text) for file, text in changes], self._where, undo=False)
            elif self._pure_v2 and self._places:
                _attach(self._places[0], devices)
        except OSError as error:
            if error.errno not in _NOT_OURS or not _in_user_namespace():
                raise

    def join_paths(self) -> list[Path]:
        """See Cgroup."""
        return [place.directory / ("cgroup.procs" if place.tree.v2 else "tasks") for place in self._places]

    def join(self, pid: int, *, like: int | None = None) -> None:
        """See Cgroup."""
        try:
            for place in self._places:
                place.write("cgroup.procs", str(pid))
        except OSError as error:
            if like is None or error.errno not in _NOT_THIS_ONE:
                raise
            self._join_below(pid, like)

    def _join_below(self, pid: int, like: int) -> None:
        """Where the process ``like`` has gone by now; what it cannot choose is anything outside of ours."""
        theirs = own_paths(Path(f"/proc/{like}/cgroup").read_text())
        for place in self._places:
            name = V2 if place.tree.v2 else min(place.tree.controllers)
            path = theirs.get(name, "").strip("/")
            below = Place(place.tree, path) if path.startswith(f"{place.path}/") else place
            below.write("cgroup.procs", str(pid))

    def update(self, resources: Resources) -> None:
        """See Cgroup."""
        self._set(resources, undo=True)

    def planned(self, resources: Resources) -> list[Write]:
        """What ``update`` writes but for devices."""
        return plan(resources, self._version_of, self._read)

    @property
    def version(self) -> int:
        """2 when there is only the unified tree."""
        return 2 if self._pure_v2 else 1

    def freeze(self) -> None:
        """See Cgroup."""
        freezer.freeze(self._freezer())

    def thaw(self) -> None:
        """See Cgroup."""
        freezer.thaw(self._freezer())

    def frozen(self) -> bool:
        """See Cgroup."""
        return any(freezer.is_frozen(place) for place in self._places if _has_freezer(place))

    def _freezer(self) -> Place:
        for place in self._places:
            if "freezer" in place.tree.controllers or (self._pure_v2 and place.tree.v2):
                return place
        raise MissingController(
            "this needs the cgroup controller 'freezer', which is not mounted or not ours"
        )

    def pids(self) -> list[int]:
        """See Cgroup."""
        return sorted(set[int]().union(*(place.pids() for place in self._places)))

    def kill(self) -> None:
        """See Cgroup."""
        if self._killed_at_once():
            return
        frozen = False
        with contextlib.suppress(OSError, NotFrozen, MissingController):
            self.freeze()
            frozen = True
        try:
            self._signal_all(rounds=1 if frozen else KILL_ROUNDS)
        finally:
            with contextlib.suppress(OSError, MissingController):
                self.thaw()

    def _killed_at_once(self) -> bool:
        """By version 2, where it is all there is (since kernel 5.14); a process that is there in one of a
        hybrid's trees alone is not in its reach."""
        if not self._pure_v2 or not self._places:
            return False
        try:
            self._places[0].write("cgroup.kill", "1")
        except OSError as error:
            return error.errno == errno.ENOENT and not self._places[0].exists()
        return True

    def _signal_all(self, rounds: int) -> None:
        """Without a freezer what forks may get away once: again, until nobody new is there."""
        seen: set[int] = set()
        for _ in range(rounds):
            new = set(self.pids()) - seen
            for pid in new:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
            if not new:
                return
            seen |= new

    def stats(self) -> dict[str, Any]:
        """See Cgroup."""
        return statistics(self._version_of, self._read)

    def oom_kills(self) -> int:
        """See Cgroup."""
        return oom_kills(self._version_of("memory"), self._read)

    def delete(self) -> None:
        """See Cgroup."""
        for place in self._places:
            try:
                place.remove()
            except OSError as error:
                if not self._rootless or error.errno not in _NOT_OURS:
                    raise

    def facts(self) -> dict[str, Any]:
        """See Cgroup."""
        return {"driver": "cgroupfs", "rootless": self._rootless, "places": facts_of(self._places)}

    def _where(self, controller: str) -> Place | None:
        return _found(controller, self._places, self._pure_v2)

    def _read(self, controller: str, name: str) -> str | None:
        place = self._where(controller)
        return None if place is None else place.read(name)

    def _version_of(self, controller: str) -> int:
        place = self._where(controller)
        return 2 if place is not None and place.tree.v2 else self.version


def facts_of(places: Iterable[Place]) -> list[dict[str, Any]]:
    """Places as JSON."""
    return [
        {
            "root": str(place.tree.root),
            "controllers": sorted(place.tree.controllers),
            "v2": place.tree.v2,
            "path": place.path,
        }
        for place in places
    ]


def places_of(facts: Sequence[Mapping[str, Any]]) -> list[Place]:
    """The places again, from our own state."""
    return [
        Place(Tree(Path(one["root"]), frozenset(one["controllers"]), bool(one["v2"])), str(one["path"]))
        for one in facts
    ]


def _found(controller: str, places: Sequence[Place], pure_v2: bool) -> Place | None:
    """Version 1's tree of a controller before version 2's; version 2 has files of no controller, too."""
    for place in places:
        if controller in place.tree.controllers and not place.tree.v2:
            return place
    name = _NAMES_IN_V2.get(controller, controller)
    for place in places:
        if place.tree.v2 and (name in place.tree.controllers or (pure_v2 and name in _OF_V2_ITSELF)):
            return place
    return None


# What every version 2 cgroup has files of; cpu.stat is there without the controller.
_OF_V2_ITSELF = frozenset({V2, "cgroup", "cpuacct"})


def _has_freezer(place: Place) -> bool:
    return "freezer" in place.tree.controllers or place.tree.v2


def _attach(place: Place, devices: DeviceList) -> None:
    with place.opened() as directory:
        loaded = load_device_program(program(devices))
        try:
            set_device_program(directory, loaded)
        finally:
            os.close(loaded)


def _in_user_namespace() -> bool:
    return Path("/proc/self/uid_map").read_text().split() != ["0", "0", "4294967295"]
