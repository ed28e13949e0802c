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
# What execve(2) takes of one string with its NUL (MAX_ARG_STRLEN), and of all with their pointers, however
# large the limit of the stack is (three quarters of _STK_LIM).
WORD_LIMIT = 131_072
WORDS_LIMIT = 6 << 20
_POINTER = 8


def process(container: ContainerInput, host: HostView) -> dict[str, Any]:
    """The process object of a container."""
    arguments, variables = command_line(container), environment(container)
    check_words("command", arguments, variables)
    document: dict[str, Any] = {
        "terminal": container.tty,
        "user": user(container.identity),
        "args": arguments,
        "env": variables,
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
    return list(words)


def working_directory(container: ContainerInput) -> str:
    """The request's, the image's, or "/"; always absolute and without dots."""
    path = container.working_dir or container.image.working_dir or "/"
    _check_text("working_dir", path)
    return posixpath.normpath("/" + path.lstrip("/"))


def check_words(field: str, arguments: Sequence[str], variables: Sequence[str]) -> None:
    """Refuse what execve(2) would: said here, it does not leave a container that cannot start.

    Raises:
        BadContainer: a NUL byte, text that is no UTF-8, a string or a sum that is too large.
    """
    total = 0
    for name, words in ((field, arguments), ("envs", variables)):
        for word in words:
            total += _check_text(name, word) + _POINTER
    if total > WORDS_LIMIT:
        raise BadContainer(
            f"{field} and envs have {total} bytes, more than the {WORDS_LIMIT} that the kernel takes"
        )


def _check_text(field: str, text: str) -> int:
    """The bytes that it has with its end."""
    try:
        size = len(text.encode("utf-8", "surrogateescape")) + 1
    except UnicodeEncodeError as error:
        raise BadContainer(f"{field}: {text[:80]!r} is not text: {error.reason}") from error
    if "\0" in text:
        raise BadContainer(f"{field}: {text[:80]!r} contains a NUL byte")
    if size > WORD_LIMIT:
        raise BadContainer(f"{field}: {text[:80]!r}…: {size} bytes, more than {WORD_LIMIT}")
    return size


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
    check_words("cmd", command, ())
    document = {**process, "args": list(command), "terminal": terminal}
    names = {entry.partition("=")[0] for entry in process.get("env", ())}
    if terminal and "TERM" not in names:
        document["env"] = [*process.get("env", ()), "TERM=xterm"]
    return document
