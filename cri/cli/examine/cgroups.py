"""The cgroup hierarchies."""

from collections.abc import Callable, Iterator
from pathlib import Path

from api.errors import PodwrightError
from cri.cgroups.choose import SYSTEMD_RUNS, NoSystemdDriver, is_systemd
from cri.cli.examine.findings import Finding, fails, ok, warning
from host.cgroups import Hierarchy, Tree
from host.lines import lines

NEEDED = ("cpu", "memory")
WANTED = ("cpuset", "pids")
V1_NEEDED = ("devices", "freezer", "cpuacct")


def cgroups(hierarchy: Hierarchy, membership: str, default_runtime: str) -> Iterator[Finding]:
    """The layout, its controllers, and whether the default runtime can work with it.

    Args:
        hierarchy: What is mounted.
        membership: The text of /proc/self/cgroup: every hierarchy that there is, mounted here or not.
        default_runtime: File name of the default handler's binary; crun is particular about hybrid layouts.
    """
    if not hierarchy.trees:
        yield fails("cgroups", "no hierarchy is mounted", "mount -t cgroup2 none /sys/fs/cgroup")
        return
    version_2 = hierarchy.version == 2
    hybrid = [tree for tree in hierarchy.trees if tree.v2 and not version_2]
    yield ok("cgroups", "version 2" if version_2 else "hybrid" if hybrid else "version 1")
    yield from _controllers(hierarchy, version_2)
    yield from _unmounted(hierarchy, membership)
    for tree in hybrid:
        yield from _hybrid(tree, default_runtime)


def driver(
    manager: str, hierarchy: Hierarchy, systemd_version: Callable[[], str], runs: Path = SYSTEMD_RUNS
) -> Finding:
    """Who will make cgroups, by cgroup_manager, and whether it answers.

    Args:
        manager: As configured.
        hierarchy: What is mounted.
        systemd_version: What systemd says over the system bus; PodwrightError when it says nothing.
        runs: There where systemd is process 1.
    """
    try:
        if not is_systemd(manager, hierarchy, runs):
            return ok("cgroups", "driver cgroupfs")
    except NoSystemdDriver as error:
        text, _, way_out = str(error).partition(": ")
        return fails("cgroups", text, way_out)
    try:
        return ok("cgroups", f"driver systemd, version {systemd_version()}")
    except PodwrightError as error:
        text = f"driver systemd, but it does not answer: {error}"
        return fails("cgroups", text, 'apt-get install dbus, or set cgroup_manager = "cgroupfs"')


def _controllers(hierarchy: Hierarchy, version_2: bool) -> Iterator[Finding]:
    offered = hierarchy.controllers
    needed = NEEDED if version_2 else NEEDED + V1_NEEDED
    way_out = "enable them on the kernel's command line, or mount their hierarchies"
    if missing := [name for name in needed if name not in offered]:
        yield fails("cgroups", f"controllers missing: {', '.join(missing)}", way_out)
    if missing := [name for name in WANTED if name not in offered]:
        yield warning(
            "cgroups", f"limits of {', '.join(missing)} cannot be kept: no such controller", way_out
        )


def _unmounted(hierarchy: Hierarchy, membership: str) -> Iterator[Finding]:
    """A controller that somebody has bound to version 1 is in no other hierarchy, whoever looks."""
    for line in lines(membership):
        number, names, _ = line.split(":", 2)
        if number == "0" or names.startswith("name=") or set(names.split(",")) <= hierarchy.controllers:
            continue
        target = hierarchy.trees[0].root.parent / names
        if hierarchy.version == 2:
            target = Path("/mnt") / names
        text = (
            f"{names} is bound to a version 1 hierarchy that is not mounted here: its limits cannot be kept"
        )
        if hierarchy.version == 1:
            text += f", and runtimes take a plain directory {target} for it"
        mount = f"mkdir -p {target} && mount -t cgroup -o {names} cgroup {target}"
        yield warning("cgroups", text, mount)


def _hybrid(tree: Tree, default_runtime: str) -> Iterator[Finding]:
    if not tree.controllers:
        return
    names = sorted(tree.controllers)
    text = f"the version 2 tree of this hybrid layout has {', '.join(names)}, which crun refuses"
    base = tree.root.parent
    way_out = "; ".join(
        f"mkdir -p {base / name} && mount -t cgroup -o {name} cgroup {base / name}" for name in names
    )
    if default_runtime == "crun":
        yield fails("cgroups", text, way_out)
    else:
        yield warning("cgroups", text, way_out)
