"""Counters of a pod's interfaces, for statistics and metrics. Blocking: for threads."""

import logging
from collections.abc import Sequence
from pathlib import Path

from cri.containers.record import Container
from cri.sandboxes.record import Phase, Sandbox
from host import net_counters
from host.net_counters import NetworkCounters

logger = logging.getLogger(__name__)

# Of the node's interfaces these are pods' own, as cAdvisor has it.
_PODS_OWN = ("lo", "veth", "docker")


def own_counters(sandbox: Sandbox, alive: Sequence[Container]) -> NetworkCounters | None:
    """None for a pod in the node's network, and when the namespace goes away meanwhile."""
    namespace = sandbox.namespaces.get("net")
    if namespace is None or sandbox.phase is not Phase.READY:
        return None
    try:
        return _counters(namespace, [sandbox.pause_pid, *(one.pid for one in alive)])
    except OSError as error:
        logger.debug("network counters sandbox=%s error=%s", sandbox.id[:12], error)
        return None


def counters_of(
    sandbox: Sandbox, alive: Sequence[Container], host: NetworkCounters | None
) -> tuple[NetworkCounters | None, NetworkCounters | None]:
    """Those of the pod; the node's for one that is in the node's network, which are read once: ``host``."""
    if not sandbox.host_network:
        return own_counters(sandbox, alive), host
    if host is None:
        found = net_counters.read_own()
        host = NetworkCounters(None, tuple(one for one in found.all if not one.name.startswith(_PODS_OWN)))
    return host, host


def _counters(namespace: Path, pids: Sequence[int]) -> NetworkCounters:
    """By the first of the pod's processes that is where it should be, else by a thread that goes there."""
    for pid in pids:
        if pid and (found := net_counters.read_by_process(namespace, pid)) is not None:
            return found
    return net_counters.read(namespace)
