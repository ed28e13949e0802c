"""What a machine holds that pods could leave behind: taken before and after, and compared.

Processes are those of the own process namespace, mounts and links those of the own mount and network
namespace, so that the counts are exact inside tests.harness.private and merely indicative outside of it.
"""

import contextlib
import json
import os
import re
import shutil
import subprocess
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from tests.harness import processes
from tests.harness.patience import patient

COMMAND_TIMEOUT_S = patient(30)
CGROUP_PATTERN = re.compile(r"podwright|[0-9a-f]{64}")
# What changes with every listing although nothing was added.
NFT_VOLATILE = ("handle", "counter", "expires", "metainfo")


@dataclass(frozen=True, slots=True)
class Counts:
    """A snapshot: for each kind of thing, how often each one is there."""

    kinds: Mapping[str, Counter[str]]

    @classmethod
    def take(cls, files_below: Sequence[Path] = (), *, cgroups: re.Pattern[str] = CGROUP_PATTERN) -> Self:
        """Look now; ``files_below`` are state directories, ``cgroups`` finds the paths of interest."""
        return cls(
            {
                "process": Counter(_processes()),
                "mount": Counter(_mounts()),
                "network namespace": Counter(_network_namespaces()),
                "link": Counter(_links()),
                "cgroup": Counter(_cgroups(cgroups)),
                "file": Counter(path for root in files_below for path in _files(root)),
                "nft": Counter(_nft()),
            }
        )

    def left_over(self, later: "Counts") -> list[str]:
        """What ``later`` has more than this, one line each: ``mount: /run/x``."""
        return [
            f"{kind}: {name}" + (f" ({number} times)" if number > 1 else "")
            for kind, before in self.kinds.items()
            for name, number in sorted((later.kinds[kind] - before).items())
        ]

    def processes(self, words: str) -> int:
        """How many processes have these words in their command line."""
        return sum(number for line, number in self.kinds["process"].items() if words in line)


def _processes() -> Iterator[str]:
    """``pid command line`` of all but kernel threads, and what systemd runs in services other than ours."""
    own = _service("self")
    for pid in processes.everyone():
        service, line = _service(pid), processes.command_line(pid)
        if service in ("", own) and (line or processes.state(pid) == processes.ZOMBIE):
            yield f"{pid} {line or '(zombie)'}"


def _service(pid: processes.Pid) -> str:
    """The systemd service that a process belongs to; empty for none."""
    found = re.search(r"/([^/\n]+\.service)(?:/|$)", processes.cgroup(pid), re.MULTILINE)
    return found[1] if found else ""


def _mounts() -> Iterator[str]:
    for line in Path("/proc/self/mountinfo").read_text().splitlines():
        yield line.split()[4]


def _network_namespaces() -> Iterator[str]:
    """Those that a process lives in; pinned ones show as mounts."""
    seen: set[str] = set()
    for pid in processes.everyone():
        with contextlib.suppress(PermissionError):  # of others, where we are not root
            seen.add(processes.link(pid, "ns/net"))
    yield from seen - {""}


def _links() -> Iterator[str]:
    output = subprocess.run(
        ["ip", "-json", "link", "show"], capture_output=True, text=True, timeout=COMMAND_TIMEOUT_S, check=True
    ).stdout
    yield from (link["ifname"] for link in json.loads(output))


def _cgroups(pattern: re.Pattern[str]) -> Iterator[str]:
    for root in cgroup_roots():
        for directory, _, _ in os.walk(root):
            if pattern.search(directory):
                yield directory


def cgroup_roots() -> list[Path]:
    """The mount points of every cgroup hierarchy, v1 and v2."""
    roots = []
    for line in Path("/proc/self/mountinfo").read_text().splitlines():
        place, _, kind = line.partition(" - ")
        if kind.split()[0] in ("cgroup", "cgroup2"):
            roots.append(Path(place.split()[4]))
    return roots


def _files(root: Path) -> Iterator[str]:
    """All below it; directories may be removed meanwhile, which os.walk, unlike rglob, takes as empty."""
    for directory, names, files in os.walk(root):
        yield from (f"{directory}/{name}" for name in (*names, *files))


def _nft() -> Iterator[str]:
    """Tables, chains, rules, sets and each element of them."""
    program = shutil.which("nft")
    if program is None:
        return
    output = subprocess.run(
        [program, "-j", "list", "ruleset"],
        capture_output=True,
        text=True,
        timeout=COMMAND_TIMEOUT_S,
        check=True,
    ).stdout
    for item in json.loads(output)["nftables"]:
        for kind, body in _without_volatile(item).items():
            elements = body.pop("elem", [])
            yield f"{kind} {json.dumps(body, sort_keys=True)}"
            yield from (
                f"{kind} {body.get('name', '')} element {json.dumps(element)}" for element in elements
            )


def _without_volatile(value: object) -> dict[str, dict[str, list[object]]]:
    cleaned: dict[str, dict[str, list[object]]] = json.loads(
        json.dumps(value),
        object_hook=lambda read: {key: item for key, item in read.items() if key not in NFT_VOLATILE},
    )
    return cleaned
