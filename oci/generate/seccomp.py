"""Seccomp: which profile applies, and its form for linux.seccomp (config-linux.md, seccomp).

Profiles may be written as the OCI has it (architectures, syscalls) or with conditions, as container engines
ship them: ``archMap``, and ``includes``/``excludes`` by capability and architecture. A condition on the
kernel version (``minKernel``) is taken as met: what it guards against is older than the kernels we run on.
"""

from collections import OrderedDict
from collections.abc import Collection, Mapping
from typing import Any

from oci.generate.inputs import (
    BadContainer,
    Defaults,
    HostView,
    ProfileType,
    SecurityContext,
    SecurityProfile,
)

# machine as uname(2) says: (name in conditions, name in archMap)
_ARCHITECTURES = {
    "x86_64": ("amd64", "SCMP_ARCH_X86_64"),
    "aarch64": ("arm64", "SCMP_ARCH_AARCH64"),
    "s390x": ("s390x", "SCMP_ARCH_S390X"),
    "ppc64le": ("ppc64le", "SCMP_ARCH_PPC64LE"),
    "riscv64": ("riscv64", "SCMP_ARCH_RISCV64"),
}
_KEPT_KEYS = ("defaultAction", "defaultErrnoRet", "flags", "listenerPath", "listenerMetadata")
_LOCALHOST = "localhost/"
_KEPT = 32
# By the profile's identity, capabilities and machine, with the profile: an identity is its own only as long
# as it lives.
_converted: OrderedDict[tuple[int, frozenset[str], str], tuple[Mapping[str, object], dict[str, Any]]] = (
    OrderedDict()
)


def linux_seccomp(
    security: SecurityContext, defaults: Defaults, host: HostView, capabilities: Collection[str]
) -> dict[str, Any] | None:
    """linux.seccomp for a container that holds ``capabilities``; None is unconfined.

    Containers may share it: nobody changes it.

    Raises:
        BadContainer: a Localhost profile that is missing or malformed, or a host without seccomp for it.
    """
    choice = chosen(security)
    if security.privileged:
        raw, name = defaults.privileged_seccomp_profile, "privileged_seccomp_profile"
    elif choice.type is ProfileType.UNCONFINED:
        return None
    elif choice.type is ProfileType.LOCALHOST:
        raw, name = _localhost(choice.localhost_ref, defaults, host), choice.localhost_ref
    else:
        raw, name = defaults.seccomp_profile, "seccomp_profile"
    if raw is None or not host.seccomp:
        return None
    key = (id(raw), frozenset(capabilities), host.architecture)
    if (kept := _converted.get(key)) is not None:
        return kept[1]
    document = convert(raw, capabilities, host.architecture, name)
    _converted[key] = (raw, document)
    while len(_converted) > _KEPT:
        _converted.popitem(last=False)
    return document


def chosen(security: SecurityContext) -> SecurityProfile:
    """The request's profile; absence of both fields is unconfined, as the kubelet means it.

    Raises:
        BadContainer: the deprecated text names no profile.
    """
    if security.seccomp is not None:
        return security.seccomp
    text = security.seccomp_profile_path
    if text in ("", "unconfined"):
        return SecurityProfile(ProfileType.UNCONFINED)
    if text in ("runtime/default", "docker/default"):
        return SecurityProfile(ProfileType.RUNTIME_DEFAULT)
    if text.startswith(_LOCALHOST):
        return SecurityProfile(ProfileType.LOCALHOST, text.removeprefix(_LOCALHOST))
    raise BadContainer(f"seccomp_profile_path: {text!r} is not runtime/default, unconfined or localhost/PATH")


def _localhost(path: str, defaults: Defaults, host: HostView) -> Mapping[str, object]:
    if not path.startswith("/"):
        raise BadContainer(f"seccomp.localhost_ref: {path!r} is not an absolute path")
    if not host.seccomp:
        raise BadContainer(f"seccomp.localhost_ref: {path}: this host's kernel has no seccomp filters")
    profile = defaults.localhost_seccomp.get(path)
    if profile is None:
        raise BadContainer(f"seccomp.localhost_ref: {path}: no such profile on this host")
    return profile


def convert(
    profile: Mapping[str, object], capabilities: Collection[str], machine: str, name: str
) -> dict[str, Any]:
    """The profile with its conditions decided.

    Raises:
        BadContainer: it is not a seccomp profile; the message has ``name``.
    """
    try:
        return _convert(profile, frozenset(capabilities), machine)
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise BadContainer(f"seccomp profile {name}: not a valid profile: {error!r}") from error


def _convert(profile: Mapping[str, Any], capabilities: frozenset[str], machine: str) -> dict[str, Any]:
    if not isinstance(profile["defaultAction"], str):
        raise TypeError("defaultAction is not a text")
    short, full = _ARCHITECTURES.get(machine, (machine, ""))
    document: dict[str, Any] = {key: profile[key] for key in _KEPT_KEYS if profile.get(key) is not None}
    names = list(profile.get("architectures") or ())
    for entry in profile.get("archMap") or ():
        if entry["architecture"] == full:
            names += [full, *(entry.get("subArchitectures") or ())]
    if names:
        document["architectures"] = names
    rules = profile.get("syscalls") or ()
    document["syscalls"] = [_rule(rule) for rule in rules if _applies(rule, capabilities, short)]
    return document


def _applies(rule: Mapping[str, Any], capabilities: frozenset[str], machine: str) -> bool:
    """``includes`` must all hold (any one architecture does), no ``excludes`` may."""
    includes, excludes = rule.get("includes") or {}, rule.get("excludes") or {}
    if includes.get("arches") and machine not in includes["arches"]:
        return False
    if not capabilities.issuperset(includes.get("caps") or ()):
        return False
    if machine in (excludes.get("arches") or ()):
        return False
    return not capabilities.intersection(excludes.get("caps") or ())


def _rule(rule: Mapping[str, Any]) -> dict[str, Any]:
    names = list(rule.get("names") or ([rule["name"]] if rule.get("name") else []))
    if not names or not all(isinstance(name, str) for name in names):
        raise ValueError(f"a rule without system call names: {dict(rule)!r}")
    document: dict[str, Any] = {"names": names, "action": rule["action"]}
    if rule.get("errnoRet") is not None:
        document["errnoRet"] = rule["errnoRet"]
    if rule.get("args"):
        document["args"] = [dict(argument) for argument in rule["args"]]
    return document
