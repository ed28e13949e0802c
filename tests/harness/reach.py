"""What other accounts of the machine can reach of files and processes: asked as one of them.

    for line in reachable([Path("/run/podwright")], NOBODY): …
    python3 -m tests.harness.reach /run/podwright

Root lists the names, so that what is only hidden by an unreadable directory counts too; another account then
asks the kernel about each (access(2)), which changes nothing.
"""

import json
import os
import subprocess
import sys
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from tests.harness.patience import patient

TIMEOUT_S = patient(120)
# These stand alone: they are run by another account, who cannot read the checkout.
_BECOME = """
import json, os, sys
uid, gid, groups = json.loads(sys.argv[1])
os.setgroups(groups)
os.setresgid(gid, gid, gid)
os.setresuid(uid, uid, uid)
paths = json.load(sys.stdin)
"""
_RIGHTS = """
found = {}
for path in paths:
    rights = "".join(letter for letter, mode in (("r", 4), ("w", 2), ("x", 1)) if os.access(path, mode))
    if rights:
        found[path] = rights
json.dump(found, sys.stdout)
"""
# Files of /proc may be opened by many and tell only some, so they are read.
_LOOK = """
def look(path):
    if path.rpartition("/")[2] in ("root", "cwd", "exe"):
        os.readlink(path)
    elif os.path.isdir(path):
        os.listdir(path)
    else:
        with open(path, "rb", buffering=0) as file:
            return file.read(1)
    return True

seen = []
for path in paths:
    try:
        if look(path):
            seen.append(path)
    except OSError:
        pass
json.dump(seen, sys.stdout)
"""
# Of a process: what tells of its memory, its environment, its files.
_PROCESS_FILES = ("environ", "maps", "mem", "auxv", "fd", "fdinfo", "map_files", "io", "root", "cwd", "exe")


@dataclass(frozen=True, slots=True)
class Account:
    """Another user of the machine."""

    uid: int
    gid: int
    groups: Sequence[int] = ()


NOBODY = Account(65534, 65534)


def rights(paths: Iterable[Path], account: Account) -> Mapping[str, str]:
    """Of those paths that ``account`` may read, write or execute (enter, if a directory): how, as in "rx"."""
    found: Mapping[str, str] = json.loads(_ask(_RIGHTS, [str(path) for path in paths], account))
    return found


def everything_below(tops: Iterable[Path]) -> list[Path]:
    """The tops and all below them, through mounts too; no links, for what they name is not theirs."""
    found = []
    for top in tops:
        found.append(top)
        for directory, names, files in os.walk(top):
            found += [Path(directory) / name for name in (*names, *files)]
    return [path for path in found if not path.is_symlink()]


def reachable(tops: Iterable[Path], account: Account) -> list[str]:
    """One line for each path at and below ``tops`` that ``account`` reaches: ``rx /run/podwright``."""
    return [f"{how} {path}" for path, how in rights(everything_below(tops), account).items()]


def main(tops: Sequence[str]) -> int:
    """Print what nobody reaches; for systems on which there is no test runner."""
    print("\n".join(reachable(map(Path, tops), NOBODY)), end="")
    return 0


def readable_of_process(pid: int, account: Account) -> list[str]:
    """What ``account`` gets to see of a process beyond its name and state."""
    paths = [f"/proc/{pid}/{name}" for name in _PROCESS_FILES]
    seen: list[str] = json.loads(_ask(_LOOK, paths, account))
    return seen


def _ask(script: str, paths: Sequence[str], account: Account) -> str:
    who = json.dumps([account.uid, account.gid, list(account.groups)])
    done = subprocess.run(
        [os.path.realpath(sys.executable), "-I", "-S", "-c", _BECOME + script, who],
        input=json.dumps(paths),
        capture_output=True,
        text=True,
        timeout=TIMEOUT_S,
        check=True,
    )
    return done.stdout


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
