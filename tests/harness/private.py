"""Run a command where it can touch nothing of the host: own network, mount and process namespaces.

    python -m tests.harness.private COMMAND ARGUMENT…

Inside, ``lo`` is the only link and it is up; /run is an empty tmpfs, and so is /var/lib/cni where that
exists. Mounts made inside stay inside. The cgroup hierarchies are the host's (`ip netns exec` would remount
/sys and lose them), of which the run sees a part of its own as the root (a cgroup namespace). Where they are
of version 1, they lie on a /sys/fs/cgroup of our own: a hierarchy that is missing there is mounted, and a
directory made beside the mounts does not stay on the host.

Four processes: the guard, which sees to it that nothing of the run stays (tests.harness.runs), unshare(1),
pid 1 of the new namespaces, which reaps every orphan at once, and the command. When that ends, whatever
still runs is killed; when the guard is killed, so is everything else, and the next run cleans up.

On a machine that is there for tests alone, PODWRIGHT_PRIVATE=1 lets them have the whole of it: its systemd
makes scopes only of processes that it sees under the same number.
"""

import contextlib
import os
import signal
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from host.cgroups import Hierarchy, Tree
from host.spawn import prctl
from tests.harness import runs
from tests.harness.patience import patient
from tests.harness.processes import children
from tests.harness.runs import SCRATCH, Run

INSIDE = "PODWRIGHT_PRIVATE"
CGROUP = Path("/sys/fs/cgroup")
STEP_TIMEOUT_S = patient(30)
PR_SET_PDEATHSIG = 1


def command_line(argv: Sequence[str]) -> list[str]:
    """What to execute so that ``argv`` runs inside; ``argv`` itself when we already are."""
    if os.environ.get(INSIDE):
        return list(argv)
    return ["unshare", "--mount", "--propagation", "private", *_step("--guard"), *argv]


def go_inside(module: str, arguments: Sequence[str]) -> None:
    """Be ``python -m module`` inside, when we are not there yet: for programs that would change the host."""
    if not os.environ.get(INSIDE):
        line = command_line([sys.executable, "-m", module, *arguments])
        os.execvp(line[0], line)


def _step(name: str) -> list[str]:
    return [sys.executable, "-m", "tests.harness.private", name]


def guard(argv: Sequence[str]) -> int:
    """Run ``argv`` inside and take away what it leaves; in a mount namespace of our own."""
    furnish_cgroups()
    run = Run.begin(Hierarchy.detect())
    try:
        environment = {**os.environ, SCRATCH: str(run.directory)}
        child = subprocess.Popen([*_step("--enter"), run.name, *argv], env=environment)
        signal.signal(signal.SIGINT, lambda *_: None)  # a terminal sends it to all of us
        for number in (signal.SIGTERM, signal.SIGHUP):
            signal.signal(number, lambda received, _: _forward(child.pid, received))
        code = child.wait()
    finally:
        run.close()
    return code if code >= 0 else 128 - code


def _forward(unshare: int, number: int) -> None:
    """Signal pid 1 of the run's namespaces; unshare(1) itself ignores signals meanwhile."""
    for pid in children(unshare) or [unshare]:
        with contextlib.suppress(ProcessLookupError):  # it ends already
            os.kill(pid, number)


def enter(name: str, argv: Sequence[str]) -> None:
    """Put ourselves into the run's cgroups and become unshare(1), which ends with the guard."""
    prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    runs.enter(Hierarchy.detect(), name)
    unshare = ["unshare", "--net", "--mount", "--propagation", "private", "--pid", "--fork", "--kill-child"]
    line = [*unshare, "--mount-proc", *_step("--inside"), *argv]
    os.execvp(line[0], line)


def prepare() -> None:
    """Furnish the new namespaces."""
    _run("ip", "link", "set", "lo", "up")
    for directory in (Path("/run"), Path("/var/lib/cni")):
        if directory.is_dir():
            _run("mount", "-t", "tmpfs", "-o", "mode=0755", "tmpfs", str(directory))
    Path("/run/lock").mkdir()
    for tree in Hierarchy.detect().trees:
        _mount_again(tree)


def _mount_again(tree: Tree) -> None:
    """A mount shows the cgroup namespace that it was made in."""
    names = ",".join(f"none,{name}" if "=" in name else name for name in sorted(tree.controllers))
    _run("umount", str(tree.root))
    kind = ["-t", "cgroup2"] if tree.v2 else ["-t", "cgroup", "-o", names]
    _run("mount", *kind, "cgroup", str(tree.root))


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
    match argv:
        case ["--guard", *command]:
            return guard(command)
        case ["--enter", name, *command]:
            enter(name, command)
        case ["--inside", *command]:
            prepare()
            return supervise(command)
    if not argv:
        sys.exit("usage: python -m tests.harness.private COMMAND ARGUMENT…")
    if os.geteuid() != 0:
        sys.exit("this needs root: it makes namespaces, mounts and cgroups of its own")
    line = command_line(argv)
    return os.execvp(line[0], line)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
