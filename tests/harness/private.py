"""Run a command where it can touch nothing of the host: own network, mount and process namespaces.

    python -m tests.harness.private COMMAND ARGUMENT…

Inside, ``lo`` is the only link and it is up; /run is an empty tmpfs, and so is /var/lib/cni where that
exists. Mounts made inside stay inside. The cgroup mounts are the host's (`ip netns exec` would remount /sys
and lose them). This process is pid 1 there: it reaps every orphan at once, and whatever still runs when the
command ends is killed. Cgroups are what can outlive it: whoever makes them removes them.

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
    satisfy_crun()


def satisfy_crun() -> None:
    """Give a lone hugetlb controller of a hybrid v2 tree to v1.

    crun 1.8 refuses a hybrid layout while its v2 tree has controllers ("cgroups in hybrid mode not
    supported").
    """
    controllers = CGROUP / "unified/cgroup.controllers"
    if not controllers.exists() or "hugetlb" not in controllers.read_text().split():
        return
    target = CGROUP / "hugetlb"
    target.mkdir(exist_ok=True)
    _run("mount", "-t", "cgroup", "-o", "hugetlb", "cgroup", str(target))
    print(
        "note: mounted the hugetlb controller as cgroup v1 for this run: crun refuses the hybrid layout else"
    )


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
