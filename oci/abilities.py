"""What an OCI runtime can do, by its features document (runtime-spec, features.md) or else its version."""

import re
from collections.abc import Mapping
from dataclasses import dataclass

from oci.runtime import Json, Kind, Runtime, RuntimeFailed


@dataclass(frozen=True, slots=True)
class Abilities:
    """``idmapped_mounts``: mounts[].uidMappings; ``recursive_readonly``: the option "rro";
    ``user_namespaces``: a user namespace that is there already, named by its path."""

    recursive_readonly: bool = False
    idmapped_mounts: bool = False
    user_namespaces: bool = False


async def probe(runtime: Runtime) -> Abilities:
    """Ask the runtime; one whose answer makes no sense can do none of it.

    Raises:
        RuntimeTimedOut, CommandNotStarted, OSError: it does not answer at all.
    """
    try:
        document = await runtime.features()
    except RuntimeFailed:
        return Abilities()
    return judge(runtime.kind, document, "" if document is not None else await runtime.version())


def judge(kind: Kind, document: Json | None, version: str) -> Abilities:
    """From the features document, or without one from the first line of ``--version``."""
    if kind is Kind.RUNSC:  # it emulates a kernel: none of this reaches the real one
        return Abilities()
    if document is not None:
        linux = _table(document, "linux")
        idmap = _table(_table(linux, "mountExtensions"), "idmap")
        return Abilities(
            recursive_readonly="rro" in _names(document, "mountOptions"),
            idmapped_mounts=idmap.get("enabled") is True,
            user_namespaces="user" in _names(linux, "namespaces"),
        )
    # crun before 1.8.6 has no such command. It takes "rro" since 1.4; its early id maps of mounts go unused.
    if kind is Kind.CRUN and _version(version) >= (1, 4):
        return Abilities(recursive_readonly=True, user_namespaces=True)
    return Abilities()


def _table(document: Json, key: str) -> Json:
    value = document.get(key)
    return value if isinstance(value, Mapping) else {}


def _names(document: Json, key: str) -> frozenset[str]:
    value = document.get(key)
    return frozenset(str(name) for name in value) if isinstance(value, list) else frozenset()


def _version(text: str) -> tuple[int, int]:
    found = re.search(r"(\d+)\.(\d+)", text)
    return (int(found[1]), int(found[2])) if found else (0, 0)
