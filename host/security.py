"""What this process may grant: capabilities, OOM score, resource limits (capabilities(7), getrlimit(2)).

A daemon in a nested VM or a container holds less than a full root: what cannot be granted is cut down to what
can, and limitations() says once, in words, what that means.
"""

import logging
import os
import resource
from collections.abc import Iterable
from pathlib import Path

from api.kernel import CAPABILITIES, RLIMITS

log = logging.getLogger(__name__)


def names_from_bits(bits: int) -> frozenset[str]:
    """CAP_ names of the set bits; bits that have no name yet are left out."""
    return frozenset(name for number, name in enumerate(CAPABILITIES) if bits >> number & 1)


def bits_from_names(names: Iterable[str]) -> int:
    """The mask for CAP_ names.

    Raises:
        ValueError: a name is not a capability.
    """
    return sum(1 << CAPABILITIES.index(name) for name in set(names))


def capability_sets(status: str) -> dict[str, frozenset[str]]:
    """ "inheritable", "permitted", "effective", "bounding", "ambient" out of /proc/<pid>/status text."""
    keys = {"CapInh": "inheritable", "CapPrm": "permitted", "CapEff": "effective"}
    keys |= {"CapBnd": "bounding", "CapAmb": "ambient"}
    sets = {}
    for line in status.splitlines():
        key, _, value = line.partition(":")
        if key in keys:
            sets[keys[key]] = names_from_bits(int(value.strip(), 16))
    return sets


def bounding_set() -> frozenset[str]:
    """What this process can hand to a child: its bounding set, as far as it is permitted too."""
    sets = capability_sets(Path("/proc/self/status").read_text())
    return sets["bounding"] & sets["permitted"]


def oom_score_adj_floor(held: frozenset[str]) -> int:
    """The lowest oom_score_adj that a child may be given.

    Without CAP_SYS_RESOURCE the kernel refuses to go below the lowest value that a privileged process had set
    for us, which cannot be read: our own value is what surely works.
    """
    if "CAP_SYS_RESOURCE" in held:
        return -1000
    return int(Path("/proc/self/oom_score_adj").read_text())


def rlimit_ceilings(held: frozenset[str], proc: Path = Path("/proc")) -> dict[str, int]:
    """Hard limits by RLIMIT_ name that a child cannot pass; unlimited ones are left out.

    With CAP_SYS_RESOURCE that is open files only, which fs.nr_open bounds for everybody (proc(5)).
    """
    ceilings = {}
    try:
        ceilings["RLIMIT_NOFILE"] = int((proc / "sys/fs/nr_open").read_text())
    except (OSError, ValueError):  # hidden in a sandbox: the kernel will say what it refuses
        pass
    if "CAP_SYS_RESOURCE" in held:
        return ceilings
    for name in RLIMITS:
        number = getattr(resource, f"RLIMIT_{name}", None)
        hard = resource.RLIM_INFINITY if number is None else resource.getrlimit(number)[1]
        if hard != resource.RLIM_INFINITY:
            ceilings[f"RLIMIT_{name}"] = min(hard, ceilings.get(f"RLIMIT_{name}", hard))
    return ceilings


def limitations(held: frozenset[str]) -> list[str]:
    """What this process cannot grant, a sentence each; empty for a full root."""
    said = []
    known = min(len(CAPABILITIES), _last_capability() + 1)
    missing = [name for name in CAPABILITIES[:known] if name not in held]
    if missing:
        said.append(
            f"{', '.join(missing)} not held: privileged containers and 'ALL' capabilities get the rest only"
        )
    if "CAP_SYS_RESOURCE" in missing:
        floor = oom_score_adj_floor(held)
        said.append(f"oom_score_adj of containers cannot go below {floor}: lower requests are raised to it")
        said.append(
            "hard resource limits cannot be raised: larger default_ulimits are cut to the daemon's own"
        )
    return said


def say_limitations(held: frozenset[str]) -> None:
    """Log limitations() as warnings; call it once, at start."""
    for sentence in limitations(held):
        log.warning("restricted host: %s", sentence)


def apparmor_enabled(sysfs: Path = Path("/sys")) -> bool:
    """Whether the kernel enforces AppArmor."""
    return _starts_with(sysfs / "module/apparmor/parameters/enabled", "Y")


def selinux_enabled(sysfs: Path = Path("/sys")) -> bool:
    """Whether SELinux is loaded with a policy (selinuxfs has its enforce file)."""
    return (sysfs / "fs/selinux/enforce").exists()


def seccomp_actions(proc: Path = Path("/proc")) -> frozenset[str]:
    """Seccomp filter actions of the kernel ("errno", "trap", "kill_process" ...); empty without filters."""
    try:
        return frozenset((proc / "sys/kernel/seccomp/actions_avail").read_text().split())
    except OSError:
        return frozenset()


def _last_capability() -> int:
    try:
        return int(Path("/proc/sys/kernel/cap_last_cap").read_text())
    except (OSError, ValueError):
        return len(CAPABILITIES) - 1


def _starts_with(file: Path, text: str) -> bool:
    try:
        return file.read_text().startswith(text)
    except OSError:
        return False


def effective_uid_is_root() -> bool:
    """Whether we run as uid 0 (of our user namespace)."""
    return os.geteuid() == 0
