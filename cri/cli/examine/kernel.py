"""The kernel and what this process may do with it."""

import errno
import re
from collections.abc import Callable, Iterator
from pathlib import Path

from cri.cli.examine.findings import Finding, fails, ok, warning
from host import security

OLDEST = (5, 6)  # openat2, without which layers cannot be unpacked safely
SUPPORTED = (5, 15)

# Without these no container can be set up, whatever it asks for.
NEEDED = frozenset(
    {
        "CAP_CHOWN",
        "CAP_DAC_OVERRIDE",
        "CAP_FOWNER",
        "CAP_KILL",
        "CAP_MKNOD",
        "CAP_NET_ADMIN",
        "CAP_SETGID",
        "CAP_SETPCAP",
        "CAP_SETUID",
        "CAP_SYS_ADMIN",
        "CAP_SYS_CHROOT",
    }
)


def kernel(release: str) -> Iterator[Finding]:
    """``release`` as in uname(2)."""
    match = re.match(r"(\d+)\.(\d+)", release)
    version = (int(match[1]), int(match[2])) if match else (0, 0)
    if version < OLDEST:
        yield fails("kernel", f"{release} lacks openat2", "use Linux 5.15 or later")
    elif version < SUPPORTED:
        yield warning("kernel", f"{release} is older than what Podwright supports", "use Linux 5.15 or later")
    else:
        yield ok("kernel", release)


def privileges(status: str) -> Iterator[Finding]:
    """``status`` is the text of /proc/self/status."""
    uid = re.search(r"^Uid:\s+\d+\s+(\d+)", status, re.MULTILINE)
    if uid is None or uid[1] != "0":
        yield fails("user", "the daemon must run as root", "run this command as root too")
        return
    sets = security.capability_sets(status)
    held = sets["bounding"] & sets["permitted"]
    missing = sorted(NEEDED - held)
    if missing:
        yield fails("capabilities", f"{', '.join(missing)} not held", "start the daemon with them")
    said = security.limitations(held)
    yield from (warning("capabilities", sentence) for sentence in said)
    if not said and not missing:
        yield ok("capabilities", "all held")


def root(in_chroot: Callable[[], bool]) -> Iterator[Finding]:
    """Whether / is where the mount namespace begins; ``in_chroot`` raises OSError when we may not look."""
    try:
        chroot = in_chroot()
    except OSError:
        return
    if chroot:
        yield warning(
            "root",
            "this is a chroot: commands executed in a container run outside of it, at the machine's root, "
            "because runtimes enter a mount namespace at its own root",
            "run the daemon where / is the root of its mount namespace: on the machine, or after pivot_root",
        )


def seccomp(proc: Path = Path("/proc")) -> Iterator[Finding]:
    """Whether filters can be loaded."""
    if "errno" in security.seccomp_actions(proc):
        yield ok("seccomp", "filters can be used")
    else:
        yield warning(
            "seccomp",
            "the kernel has no seccomp filters: pods that ask for a profile fail",
            "use a kernel with CONFIG_SECCOMP_FILTER",
        )


def security_modules(sysfs: Path = Path("/sys")) -> Iterator[Finding]:
    """AppArmor and SELinux, either of which may be absent."""
    if security.apparmor_enabled(sysfs):
        yield ok("AppArmor", "enabled")
    else:
        yield ok("AppArmor", "not enabled: pods that name a profile fail, all others are unaffected")
    if security.selinux_enabled(sysfs):
        yield warning("SELinux", "enabled, but containers are not labelled by default yet")
    else:
        yield ok("SELinux", "not enabled")


def overlay(filesystems: str, add_layer: Callable[[], None]) -> Iterator[Finding]:
    """Overlay mounts.

    Args:
        filesystems: The text of /proc/filesystems. A module that nothing has used yet is not in it.
        add_layer: Tries fsconfig's ``lowerdir+`` on an unmounted context, which loads the module; OSError
            says what is missing, EINVAL that it is the key only.
    """
    try:
        add_layer()
    except OSError as error:
        if error.errno != errno.EINVAL and not re.search(r"\boverlay$", filesystems, re.MULTILINE):
            yield fails("overlayfs", f"the kernel does not offer it ({error.strerror})", "modprobe overlay")
            return
        text = f"layers cannot be added one by one ({error.strerror}): images of very many layers may fail"
        yield warning("overlayfs", text, "use Linux 6.8 or later")
    else:
        yield ok("overlayfs", "layers can be added one by one, so their number is not limited")
