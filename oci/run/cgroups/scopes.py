"""The systemd driver: a container's cgroup is that of a scope, which systemd makes around its first process,
or of a slice; limits are told to systemd and then written as by the cgroupfs driver, whose word is last."""

import contextlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Self

from host.cgroups import Hierarchy
from host.slices import SLICE, path_of
from host.systemd import BlockingManager, NoSuchUnit, UnitExists
from host.unit_properties import Property
from oci.run.cgroups import properties
from oci.run.cgroups.devices import DeviceList, Rule
from oci.run.cgroups.files import FilesCgroup, facts_of, places_of
from oci.run.cgroups.place import Place
from oci.run.cgroups.plan import plan, tables
from oci.run.cgroups.types import CgroupInUse, NoCgroup, Resources

_DEVICES = Path("/proc/devices")


class ScopeCgroup:
    """See types.Cgroup."""

    def __init__(
        self,
        unit: str,
        parent: str,
        hierarchy: Hierarchy,
        *,
        container: str,
        annotations: Mapping[str, str],
        user: bool = False,
        owner: int | None = None,
    ) -> None:
        self._unit = unit
        self._parent = parent
        self._hierarchy = hierarchy
        self._container = container
        self._annotations = annotations
        self._user = user
        self._owner = owner
        self._resources: Resources = {}
        self._files: FilesCgroup | None = None
        self._places: list[Place] = []

    @classmethod
    def again(cls, facts: Mapping[str, Any]) -> Self:
        """The one that ``facts`` are of."""
        found = cls(
            facts["unit"],
            facts["slice"],
            Hierarchy(()),
            container="",
            annotations={},
            user=bool(facts["user"]),
        )
        found._have(places_of(facts["places"]))
        return found

    def create(self, resources: Resources | None) -> None:
        """See Cgroup; a scope is made by the first ``join``, so here its limits are only looked at."""
        self._resources = resources or {}
        for place in self._expected():
            if pids := place.pids():
                raise CgroupInUse(f"cgroup {place.directory} is not empty: processes {sorted(pids)[:10]}")
        self._properties(None, 0)
        if self._unit.endswith(SLICE):
            self._start(None)

    def _expected(self) -> list[Place]:
        """Where a unit of the system's manager will lie; that of a user's is not known before."""
        above = "" if self._parent == "-.slice" or self._user else path_of(self._parent)
        path = path_of(self._unit) if self._unit.endswith(SLICE) else f"{above}/{self._unit}"
        return [] if self._user else [Place(tree, path.strip("/")) for tree in self._hierarchy.trees]

    def _start(self, pid: int | None) -> None:
        with self._systemd() as manager:
            asked = self._properties(pid, manager.version())
            try:
                manager.start(self._unit, asked)
            except UnitExists:
                manager.reset_failed(self._unit)
                manager.start(self._unit, asked)
            try:
                path = manager.control_group(self._unit).strip("/")
                self._have([Place(tree, path) for tree in self._hierarchy.trees])
                self._made().adopt(self._resources)
                if pid is not None:
                    self._made().join(pid)
            except BaseException:
                self._files = None
                manager.stop(self._unit)
                raise

    def _properties(self, pid: int | None, systemd: int) -> list[Property]:
        version = self._hierarchy.version
        writes = plan(self._resources, lambda _: version, lambda *_: None)
        devices = DeviceList.of(map(Rule.parse, tables(self._resources, "devices")))
        return [
            *properties.of_unit(self._unit, self._parent, self._container, pid, version=version),
            *properties.of_writes(writes, systemd=systemd, version=version),
            *(properties.of_devices(devices, _driver_name) if version == 1 else ()),
            *properties.of_annotations(self._annotations),
        ]

    def join_paths(self) -> list[Path]:
        """See Cgroup."""
        return [] if self._files is None else self._files.join_paths()

    def join(self, pid: int, *, like: int | None = None) -> None:
        """See Cgroup."""
        if self._files is None:
            self._start(pid)
        else:
            self._files.join(pid, like=like)

    def update(self, resources: Resources) -> None:
        """See Cgroup: files first, for the kernel refuses what systemd would only log; then again, for
        systemd rounds what it writes."""
        files = self._made()
        files.update(resources)
        with self._systemd() as manager:
            found = properties.of_writes(
                files.planned(resources), systemd=manager.version(), version=files.version
            )
            if found:
                with contextlib.suppress(NoSuchUnit):  # it ends just now
                    manager.set_properties(self._unit, found)
                    files.update(resources)

    def freeze(self) -> None:
        """See Cgroup."""
        self._made().freeze()

    def thaw(self) -> None:
        """See Cgroup."""
        self._made().thaw()

    def frozen(self) -> bool:
        """See Cgroup."""
        return self._files is not None and self._files.frozen()

    def pids(self) -> list[int]:
        """See Cgroup."""
        return [] if self._files is None else self._files.pids()

    def kill(self) -> None:
        """See Cgroup."""
        if self._files is not None:
            self._files.kill()

    def stats(self) -> dict[str, Any]:
        """See Cgroup."""
        return self._made().stats()

    def oom_kills(self) -> int:
        """See Cgroup."""
        return 0 if self._files is None else self._files.oom_kills()

    def delete(self) -> None:
        """See Cgroup; a unit that failed would stay among systemd's."""
        if self._files is None:
            return
        with self._systemd() as manager:
            manager.stop(self._unit)
            self._files.delete()
            manager.reset_failed(self._unit)

    def facts(self) -> dict[str, Any]:
        """See Cgroup; before it is there, where it will be, so that what is left half way is found."""
        return {
            "driver": "systemd",
            "unit": self._unit,
            "slice": self._parent,
            "user": self._user,
            "places": facts_of(self._places or self._expected()),
        }

    def _have(self, places: list[Place]) -> None:
        self._places = places
        self._files = FilesCgroup(places, owner=self._owner)

    def _made(self) -> FilesCgroup:
        if self._files is None:
            raise NoCgroup(f"the scope {self._unit} is made when its first process joins it")
        return self._files

    def _systemd(self) -> contextlib.closing[BlockingManager]:
        return contextlib.closing(BlockingManager(user=self._user))


def _driver_name(kind: str, major: int) -> str | None:
    return properties.driver_name(_DEVICES.read_text(), kind, major)
