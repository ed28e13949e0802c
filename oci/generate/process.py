"""The process object: command, working directory, user, limits (config.md, process)."""

import posixpath
from collections.abc import Mapping, Sequence
from typing import Any

from api.kernel import rlimit
from oci.generate.capabilities import capability_sets
from oci.generate.environment import environment
from oci.generate.inputs import BadContainer, ContainerInput, HostView, Identity, Ulimit
from oci.generate.labels import apparmor_profile, process_label
from oci.generate.resources import oom_score_adj

RLIM_INFINITY = 0xFFFFFFFFFFFFFFFF


def process(container: ContainerInput, host: HostView) -> dict[str, Any]:
    """The process object of a container."""
    document: dict[str, Any] = {
        "terminal": container.tty,
        "user": user(container.identity),
        "args": command_line(container),
        "env": environment(container),
        "cwd": working_directory(container),
        "capabilities": capability_sets(container.security, container.defaults, host),
        "noNewPrivileges": container.security.no_new_privs,
    }
    limits = rlimits(container.defaults.ulimits, host)
    if limits:
        document["rlimits"] = limits
    if container.resources is not None:
        document["oomScoreAdj"] = oom_score_adj(container.resources.oom_score_adj, host)
    # Keys with an empty text would not do: crun takes an empty apparmorProfile for a profile's name.
    if profile := apparmor_profile(container.security, container.defaults, host):
        document["apparmorProfile"] = profile
    if label := process_label(container, host):
        document["selinuxLabel"] = label
    return document


def command_line(container: ContainerInput) -> list[str]:
    """What runs, by Kubernetes' table: a command replaces the entrypoint and drops the image's cmd.

    Raises:
        BadContainer: neither the request nor the image says what to run.
    """
    if container.command:
        words = container.command + container.args
    else:
        words = container.image.entrypoint + (container.args or container.image.cmd)
    if not words or not words[0]:
        raise BadContainer("command: neither the request nor the image names a program to run")
    if any("\0" in word for word in words):
        raise BadContainer(f"command: {words!r} contains a NUL byte")
    return list(words)


def working_directory(container: ContainerInput) -> str:
    """The request's, the image's, or "/"; always absolute and without dots."""
    path = container.working_dir or container.image.working_dir or "/"
    if "\0" in path:
        raise BadContainer(f"working_dir: {path!r} contains a NUL byte")
    return posixpath.normpath("/" + path.lstrip("/"))


def user(identity: Identity) -> dict[str, Any]:
    """The user object; the primary group is among the additional ones, as initgroups(3) has it."""
    document: dict[str, Any] = {"uid": identity.uid, "gid": identity.gid}
    if identity.additional_gids:
        document["additionalGids"] = list(identity.additional_gids)
    return document


def rlimits(ulimits: Sequence[Ulimit], host: HostView) -> list[dict[str, Any]]:
    """OCI rlimits; a hard limit above what we may grant is cut down to it, the soft one with it.

    Raises:
        BadContainer: an unknown limit, or soft above hard.
    """
    entries = []
    for limit in ulimits:
        name = rlimit(limit.name)
        if name is None:
            raise BadContainer(f"default_ulimits: unknown limit {limit.name!r}")
        soft, hard = (RLIM_INFINITY if value < 0 else value for value in (limit.soft, limit.hard))
        if soft > hard:
            raise BadContainer(f"default_ulimits: {limit.name}: soft {limit.soft} is above hard {limit.hard}")
        hard = min(hard, host.rlimit_ceilings.get(name, RLIM_INFINITY))
        entries.append({"type": name, "soft": min(soft, hard), "hard": hard})
    return entries


def exec_process(process: Mapping[str, Any], command: Sequence[str], *, terminal: bool) -> dict[str, Any]:
    """The process object for an exec in a container whose own process object is ``process``.

    User, groups, capabilities, environment, directory and labels are the container's; only the command and
    the terminal are the request's.
    """
    if not command or not command[0]:
        raise BadContainer("cmd: no command to execute")
    document = {**process, "args": list(command), "terminal": terminal}
    names = {entry.partition("=")[0] for entry in process.get("env", ())}
    if terminal and "TERM" not in names:
        document["env"] = [*process.get("env", ()), "TERM=xterm"]
    return document
