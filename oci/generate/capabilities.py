"""Capability sets of a container (config.md, process.capabilities; capabilities(7))."""

from collections.abc import Iterable

from api.kernel import CAPABILITIES, capability
from oci.generate.inputs import BadContainer, Defaults, HostView, SecurityContext

ALL = "ALL"
_ORDER = {name: number for number, name in enumerate(CAPABILITIES)}


def capability_name(text: str, field: str = "capabilities") -> str:
    """``CAP_X`` for "x", "X" or "CAP_X".

    Raises:
        BadContainer: there is no such capability.
    """
    name = capability(text)
    if name is None:
        raise BadContainer(f"{field}: unknown capability {text!r}")
    return name


def capability_sets(security: SecurityContext, defaults: Defaults, host: HostView) -> dict[str, list[str]]:
    """The five sets; none holds what the daemon itself lacks, since the kernel would refuse the container.

    Inheritable stays empty unless configured: a non-empty one let file capabilities through to users that
    should have none (CVE-2022-24769). Ambient capabilities are in every set, as the kernel wants it.
    """
    bounding = bounding_set(security, defaults, host)
    ambient = _named(security.capabilities.add_ambient, "add_ambient_capabilities", host) & host.capabilities
    bounding |= ambient
    inheritable = bounding if defaults.add_inheritable_capabilities else ambient
    return {
        "bounding": _listed(bounding),
        "effective": _listed(bounding),
        "permitted": _listed(bounding),
        "inheritable": _listed(inheritable),
        "ambient": _listed(ambient),
    }


def bounding_set(security: SecurityContext, defaults: Defaults, host: HostView) -> set[str]:
    """Defaults, then ALL in add, ALL in drop, single additions, single removals, in that order."""
    add, drop = security.capabilities.add, security.capabilities.drop
    added = _named(add, "add_capabilities", host, skip_all=True)
    dropped = _named(drop, "drop_capabilities", host, skip_all=True)
    if security.privileged:
        return set(host.capabilities)
    names = {capability_name(name, "default_capabilities") for name in defaults.capabilities}
    if _has_all(add):
        names = set(host.capabilities)
    if _has_all(drop):
        names = set()
    return ((names | added) - dropped) & host.capabilities


def _has_all(names: Iterable[str]) -> bool:
    return any(name.upper() == ALL for name in names)


def _named(names: Iterable[str], field: str, host: HostView, *, skip_all: bool = False) -> set[str]:
    found: set[str] = set()
    for name in names:
        if name.upper() == ALL:
            found |= set() if skip_all else host.capabilities
        else:
            found.add(capability_name(name, field))
    return found


def _listed(names: Iterable[str]) -> list[str]:
    return sorted(names, key=lambda name: _ORDER[name])
