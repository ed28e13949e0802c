"""Where an operation is, or where it failed: whose fault that is likely to be, and what to do about it.

A row for each kind of step and of error, by the words that the code itself gives them.
"""

import re
from dataclasses import dataclass
from typing import NamedTuple


@dataclass(frozen=True, slots=True)
class Fault:
    """``whose`` completes "this is the matter of …"; ``advice`` is a sentence in the imperative."""

    whose: str
    advice: str


class _Row(NamedTuple):
    pattern: re.Pattern[str]
    whose: str
    advice: str


def _row(pattern: str, whose: str, advice: str) -> _Row:
    return _Row(re.compile(pattern, re.IGNORECASE), whose, advice)


# By the words of an error; the first that fits.
_ERRORS = (
    _row(
        r"no space left|out of room|disk quota|make room|disk is full|database or disk is full",
        "a full disk of this node",
        "make room on the file system that the error names, or remove pods and images, which works even now",
    ),
    _row(
        r"architecture|platform|no (image|manifest) for|image is for|exec format error",
        "whoever built the image: it is made for other machines",
        "build or choose one for this node's architecture, or have the scheduler choose another node",
    ),
    _row(
        r"(range|address|ip)\S* .*(exhausted|all (in use|taken)|no free|full)|no (free )?(ip|address)",
        "the address range of the pod network: it is used up",
        "remove pods, or give the network a larger range; podwright check shows leases of pods that are gone",
    ),
    _row(
        r"unauthorized|denied|credentials|401|403",
        "the credentials for the registry, or whoever may read there",
        "check imagePullSecrets, or the auth file of this node",
    ),
    _row(
        r"not found|manifest unknown|404",
        "whoever wrote the name: the registry has no such image",
        "correct the name or the tag, or push the image",
    ),
    _row(
        r"too slow|RegistryUnavailable|connection|resolve|gave way|came at",
        "the registry, or the network on the way to it",
        "try it with curl from this node; a mirror can stand in (docs/registries.md)",
    ),
)

# By the name of a step, innermost first; the first that fits.
_STEPS = (
    _row(
        r"^CNI (?:plugin )?(?P<name>.+)",
        "the CNI plugin {name}",
        "look at its log and at the agent that it asks; cni_add_timeout of [crio.network] bounds it",
    ),
    _row(r"^network", "the pod network (CNI)", "look at the plugins of the network, and at podwright check"),
    _row(
        r"^(?:manifest|config|\d+ layers) from (?P<name>\S+)",
        "the registry {name}, or the network on the way to it",
        "try it with curl from this node; pull_progress_timeout of [crio.image] bounds silence",
    ),
    _row(
        r"^wait for (?P<name>\S+)",
        "another operation on the same object: {name}",
        "look at that one: podwright ops",
    ),
    _row(
        r"^signal ",
        "the program in the container: it has been told to end, and does not",
        "wait for the end of its grace period, after which it is killed",
    ),
    _row(
        r"^kill",
        "a process in uninterruptible sleep: SIGKILL does not end it",
        "look at its /proc/PID/stack and at the storage that it waits for",
    ),
    _row(
        r"^runtime|^pause",
        "the OCI runtime{handler}",
        "look at its processes (ps); container_create_timeout of its table and runtime_command_timeout_s "
        "bound it",
    ),
    _row(
        r"^(?:spec|look at the outcome)",
        "a volume: its file system does not answer",
        "look at the mounts that the pod's volumes are on (NFS, FUSE); stopping the pod gives up the wait",
    ),
    _row(
        r"^log directory",
        "the file system of the container logs",
        "look at the disk below the pod's log directory; log_timeout_s bounds it",
    ),
    _row(r"^(?:cgroup|limits)", "systemd or the kernel's cgroups", "look at systemctl list-jobs"),
    _row(
        r"^(?:root file system|file system release|files)",
        "this node's storage",
        "look at the kernel's log and at the disk of root (iostat)",
    ),
    _row(
        r"^stop |^remove container", "a container that is to end", "look at its own operation: podwright ops"
    ),
)
_NOBODY = Fault("this node", "look at podwright check and the daemon's log")


def of_step(step: str, handler: str = "") -> Fault:
    """Who is to blame while an operation is in this step."""
    return _first(_STEPS, step, f" {handler}" if handler else "") or _NOBODY


def of_error(error: str, step: str = "", handler: str = "") -> Fault:
    """Who is to blame for an error: by its words, else by the step that failed."""
    return _first(_ERRORS, error, "") or of_step(step, handler)


def _first(rows: tuple[_Row, ...], text: str, handler: str) -> Fault | None:
    for row in rows:
        if (match := row.pattern.search(text)) is not None:
            name = match.groupdict().get("name", "")
            return Fault(row.whose.format(name=name, handler=handler), row.advice)
    return None
