"""Where a kubelet keeps the cgroups of its pods, by either driver.

cgroupfs   /<name>/kubepods/<class>/pod<uid>/podwright-<id>; the name is made up for each kubelet
systemd    /kubepods.slice/kubepods-<class>.slice/kubepods-<class>-pod<uid>.slice/podwright-<id>.scope,
           as on any node: a slice of systemd's own making would lack the controller hugetlb
"""

import os
import re
import secrets
import subprocess

from cri.cgroups.choose import is_systemd
from host import slices
from host.cgroups import Hierarchy
from tests.harness.patience import patient

UNIT_TIMEOUT_S = patient(60)
_OF_A_POD = re.compile(r"(^|-)pod[0-9a-f_-]+(\.slice)?$")


class Cgroups:
    """Those of one kubelet; ``name`` is found in the path of each."""

    def __init__(self) -> None:
        self.hierarchy = Hierarchy.detect()
        self.driver = "systemd" if is_systemd("auto", self.hierarchy) else "cgroupfs"
        made_up = f"podwright-kubelet-{secrets.token_hex(4)}"
        self.name = "kubepods" if self.driver == "systemd" else made_up

    @property
    def kubelet_root(self) -> str:
        """What the kubelet calls cgroupRoot."""
        return "/" if self.driver == "systemd" else f"/{self.name}"

    @property
    def path(self) -> str:
        """What has nothing but these in it."""
        return f"/{self.name}" + (slices.SLICE if self.driver == "systemd" else "")

    def create(self) -> None:
        """Make the root, which the kubelet wants to find."""
        if self.driver == "cgroupfs":
            self.hierarchy.create(self.path)

    def remove(self) -> None:
        """End what is still in there, and remove all."""
        self.hierarchy.kill(self.path)
        if self.driver == "cgroupfs":
            self.hierarchy.remove(self.path)
        elif self.hierarchy.exists(self.path):
            unit = f"{self.name}{slices.SLICE}"
            subprocess.run(["systemctl", "stop", unit], check=True, timeout=UNIT_TIMEOUT_S)

    def pods(self) -> set[str]:
        """The names of those of pods, in any hierarchy."""
        found: set[str] = set()
        for directory in self.hierarchy.directories(self.path):
            # Unlike glob, walk bears directories that go away meanwhile.
            found |= {name for _, names, _ in os.walk(directory) for name in names if _OF_A_POD.search(name)}
        return found

    def of_container(self, uid: str, container_id: str, quality: str = "besteffort") -> str:
        """That of a container in a pod of this class (``besteffort`` or ``burstable``)."""
        if self.driver == "systemd":
            pod = slices.path_of(f"{self.name}-{quality}-pod{uid.replace('-', '_')}{slices.SLICE}")
            return f"{pod}/podwright-{container_id}{slices.SCOPE}"
        return f"{self.path}/kubepods/{quality}/pod{uid}/podwright-{container_id}"
