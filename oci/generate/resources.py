"""Resource limits (config-linux.md, control groups), for create and for update alike."""

import re
from typing import Any

from oci.generate.inputs import BadContainer, HostView, Resources

_LIST = re.compile(r"\d{1,6}(?:-\d{1,6})?(?:,\d{1,6}(?:-\d{1,6})?)*", re.ASCII)
_LIST_LIMIT = 4_000  # a page less a little: the kernel takes no more at once


def linux_resources(resources: Resources | None, host: HostView, pids_limit: int = 0) -> dict[str, Any]:
    """linux.resources without devices; values that are not set are not there.

    The OCI keeps version 1's terms and the runtime converts them for version 2: shares for weight, memory
    plus swap for swap.

    Raises:
        BadContainer: a value that contradicts another or that this host cannot honour.
    """
    document: dict[str, Any] = {}
    if pids_limit > 0:
        document["pids"] = {"limit": pids_limit}
    if resources is None:
        return document
    parts = {
        "cpu": _cpu(resources),
        "memory": _memory(resources, host),
        "hugepageLimits": _hugepages(resources, host),
        "unified": _unified(resources, host),
    }
    return document | {name: part for name, part in parts.items() if part}


def check_list(field: str, text: str) -> None:
    """Refuse what is no list of processors or memory nodes (cpuset(7), list format); "" is "not set".

    Raises:
        BadContainer: see there.
    """
    if text and (len(text) > _LIST_LIMIT or not _LIST.fullmatch(text)):
        raise BadContainer(f"{field}: {text[:80]!r} is not a list such as 0-3,7")


def _cpu(resources: Resources) -> dict[str, Any]:
    for name, value in (("cpu_shares", resources.cpu_shares), ("cpu_period", resources.cpu_period_us)):
        if value < 0:
            raise BadContainer(f"{name}: {value} is negative")
    for name, text in (("cpuset_cpus", resources.cpuset_cpus), ("cpuset_mems", resources.cpuset_mems)):
        check_list(name, text)
    entries = {
        "shares": resources.cpu_shares,
        "quota": resources.cpu_quota_us,
        "period": resources.cpu_period_us,
        "cpus": resources.cpuset_cpus,
        "mems": resources.cpuset_mems,
    }
    return {name: value for name, value in entries.items() if value}


def _memory(resources: Resources, host: HostView) -> dict[str, Any]:
    limit, swap = resources.memory_limit_bytes, resources.memory_swap_limit_bytes
    if 0 < swap < limit:
        raise BadContainer(f"memory_swap_limit_in_bytes: {swap} is below memory_limit_in_bytes {limit}")
    document = {"limit": limit} if limit else {}
    if host.swap_accounting and (swap or limit):
        document["swap"] = swap or limit  # a limit without a word on swap means no swap
    return document


def _hugepages(resources: Resources, host: HostView) -> list[dict[str, Any]]:
    """The kubelet names every size it knows with 0; a size that the host lacks is then as good as limited."""
    entries = []
    for one in resources.hugepage_limits:
        if one.page_size in host.hugepage_sizes:
            entries.append({"pageSize": one.page_size, "limit": one.limit_bytes})
        elif one.limit_bytes:
            known = ", ".join(sorted(host.hugepage_sizes)) or "none"
            raise BadContainer(
                f"hugepage_limits: {one.limit_bytes} of {one.page_size!r}, but this host has only {known}"
            )
    return entries


def _unified(resources: Resources, host: HostView) -> dict[str, str]:
    if resources.unified and host.cgroup_version != 2:
        names = ", ".join(sorted(resources.unified))
        raise BadContainer(f"unified: {names} needs cgroup version 2, this host has version 1")
    for name in resources.unified:
        if "/" in name or "." not in name:
            raise BadContainer(f"unified: {name!r} is not the name of a cgroup file")
    return dict(resources.unified)


def oom_score_adj(wanted: int, host: HostView) -> int:
    """``wanted``, raised to the lowest value that we may set.

    Raises:
        BadContainer: outside -1000 to 1000.
    """
    if not -1000 <= wanted <= 1000:
        raise BadContainer(f"oom_score_adj: {wanted} is not between -1000 and 1000")
    return max(wanted, host.oom_score_adj_floor)
