"""`make bench`: cribench against Podwright and Debian's containerd, side by side in one run.

The benchmark is not part of this repository: it lies in ../shared/bench, or where BENCH points. Arguments go
to it; without --parts, --pods and --only it measures latency and density at 50 pods of both runtimes with
crun.
"""

import fcntl
import os
import shutil
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from tests.harness import private
from tests.harness.cache import PROJECT, cache_root
from tests.harness.debian import PackagesUnavailable, find, unpacked
from tests.harness.registry import registry_program

DEFAULT_PLACE = PROJECT.parent / "shared/bench"
# Runs share the names of cgroups, and would disturb one another's timing.
LOCK = Path("/var/tmp/podwright-bench.lock")
# cribench makes its image of /bin/busybox alone: inside the private namespace that is a static one.
STATIC_BUSYBOX = ("sh", "-c", 'mount --bind "$0" /bin/busybox && exec "$@"')
DEFAULTS: Mapping[str, Sequence[str]] = {
    "--parts": ("latency,density",),
    "--pods": ("50",),
    "--only": ("podwright-crun", "ctd16-crun"),
}


def main(arguments: Sequence[str]) -> int:
    place = Path(os.environ.get("BENCH") or DEFAULT_PLACE)
    program = place / "cribench.py"
    if not program.exists():
        print(
            f"the benchmark is not at {program}: put the directory with cribench.py there, "
            "or name it: make bench BENCH=DIRECTORY",
            file=sys.stderr,
        )
        return 1
    if missing := [name for name in ("containerd", "cc", "busybox") if shutil.which(name) is None]:
        print(
            f"missing: {', '.join(missing)}: apt-get install containerd gcc libc6-dev busybox",
            file=sys.stderr,
        )
        return 1
    try:
        registry = registry_program()
        busybox = find(unpacked(["busybox-static"])[0], "busybox")
    except PackagesUnavailable as error:
        print(error, file=sys.stderr)
        return 1
    with LOCK.open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        line = [*STATIC_BUSYBOX, str(busybox), *command(place, registry, arguments)]
        return subprocess.run(private.command_line(line), cwd=PROJECT, check=False).returncode


def command(place: Path, registry: Path, arguments: Sequence[str]) -> list[str]:
    """cribench's command line: both runtimes' targets, and the defaults that ``arguments`` do not set."""
    line = [sys.executable, str(place / "cribench.py")]
    line += ["--targets", str(PROJECT / "bench/targets/podwright.json")]
    line += ["--targets", str(place / "targets/containerd.json")]
    line += ["--cache", str(cache_root() / "bench"), "--registry-command", str(registry)]
    line += ["--out", str(PROJECT / "build/bench.json")]
    for name, values in DEFAULTS.items():
        if not any(word == name or word.startswith(f"{name}=") for word in arguments):
            line += [word for value in values for word in (name, value)]
    return [*line, *arguments]


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
