"""Run a command where it can touch nothing of the host: own network, mount and process namespaces.

    python -m tests.harness.private COMMAND ARGUMENT…

Inside, ``lo`` is the only link and it is up; /run is an empty tmpfs, and so is /var/lib/cni where that
exists. Mounts made inside stay inside. The cgroup hierarchies are the host's (`ip netns exec` would remount
/sys and lose them), on a /sys/fs/cgroup of our own where they are of version 1: a hierarchy that is missing
there is mounted, and a directory made beside the mounts does not stay on the host. This process is pid 1
there: it reaps every orphan at once, and whatever still runs when the command ends is killed. Cgroups are
what can outlive it: whoever makes them removes them.

On a machine that is there for tests alone, PODWRIGHT_PRIVATE=1 lets them have the whole of it: its systemd
makes scopes only of processes that it sees under the same number.
"""

import os
import signal
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from tests.harness.patience import patient

INSIDE = "PODWRIGHT_PRIVATE"
CGROUP = Path("/sys/fs/cgroup")
STEP_TIMEOUT_S = patient(30)


def command_line(argv: Sequence[str]) -> list[str]:
    """What to execute so that ``argv`` runs inside; ``argv`` itself when we already are."""
    if os.environ.get(INSIDE):
        return list(argv)
    unshare = ["unshare", "--net", "--mount", "--propagation", "private", "--pid", "--fork", "--kill-child"]
    return [*unshare, "--mount-proc", sys.executable, "-m", "tests.harness.private", "--inside", *argv]


def prepare() -> None:
    """Furnish the new namespaces."""
    _run("ip", "link", "set", "lo", "up")
    for directory in (Path("/run"), Path("/var/lib/cni")):
        if directory.is_dir():
            _run("mount", "-t", "tmpfs", "-o", "mode=0755", "tmpfs", str(directory))
    Path("/run/lock").mkdir()
    furnish_cgroups()


def furnish_cgroups() -> None:
    """Mount every version 1 hierarchy that there is, and hugetlb as one if a hybrid v2 tree has it.

    A controller that some namespace has mounted as version 1 is gone from the version 2 tree for all; who
    does not mount it too finds a plain directory in its place, which runtimes take for a hierarchy and fill.
    And crun 1.8 refuses a hybrid layout while its v2 tree has controllers ("cgroups in hybrid mode not
    supported").
    """
    if not (CGROUP / "unified").is_dir():
        return
    _own_directory()
    lines = Path("/proc/self/cgroup").read_text().splitlines()
    bound = {controllers for _, controllers, _ in (line.split(":", 2) for line in lines)}
    lone = (CGROUP / "unified/cgroup.controllers").read_text().split()
    for controllers in sorted({*bound, *{"hugetlb"}.intersection(lone)}):
        target = CGROUP / controllers.removeprefix("name=")
        if controllers and not target.is_dir():
            target.mkdir()
            _run("mount", "-t", "cgroup", "-o", controllers, "cgroup", str(target))
            print(f"note: mounted the controller {controllers} as cgroup v1 for this run")


def _own_directory() -> None:
    """Lay a tmpfs over /sys/fs/cgroup, with the mounts and links that were there."""
    _run("mount", "--rbind", str(CGROUP), "/mnt")
    _run("mount", "-t", "tmpfs", "-o", "mode=0755", "tmpfs", str(CGROUP))
    for old in sorted(Path("/mnt").iterdir()):
        if old.is_symlink():
            (CGROUP / old.name).symlink_to(old.readlink())
        elif old.is_mount():
            (CGROUP / old.name).mkdir()
            _run("mount", "--move", str(old), str(CGROUP / old.name))
    _run("umount", "/mnt")


def _run(*argv: str) -> None:
    subprocess.run(argv, check=True, timeout=STEP_TIMEOUT_S)


def supervise(argv: Sequence[str]) -> int:
    """Run ``argv`` as pid 1 does: pass signals on, reap everything, end with its exit code.

    What the caller ignores (nohup, a background job) is not ignored inside: tests send these signals.
    """
    for number in (signal.SIGINT, signal.SIGHUP, signal.SIGQUIT):
        signal.signal(number, signal.SIG_DFL)
    child = subprocess.Popen(argv, env={**os.environ, INSIDE: "1"})
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(number, lambda received, _: child.send_signal(received))
    while True:
        pid, status = os.waitpid(-1, 0)
        if pid == child.pid:
            code = os.waitstatus_to_exitcode(status)
            return code if code >= 0 else 128 - code


def main(argv: Sequence[str]) -> int:
    if argv[:1] == ["--inside"]:
        prepare()
        return supervise(argv[1:])
    if not argv:
        sys.exit("usage: python -m tests.harness.private COMMAND ARGUMENT…")
    if os.geteuid() != 0:
        sys.exit("this needs root: it makes namespaces, mounts and cgroups of its own")
    line = command_line(argv)
    return os.execvp(line[0], line)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
