"""Masked and read-only paths (config-linux.md)."""

from collections.abc import Sequence

from oci.generate.inputs import BadContainer, SecurityContext

# For requests that come without any security context; the kubelet always sends lists of its own.
DEFAULT_MASKED_PATHS = (
    "/proc/acpi",
    "/proc/asound",
    "/proc/interrupts",
    "/proc/kcore",
    "/proc/keys",
    "/proc/latency_stats",
    "/proc/sched_debug",
    "/proc/scsi",
    "/proc/timer_list",
    "/proc/timer_stats",
    "/sys/devices/virtual/powercap",
    "/sys/firmware",
)
DEFAULT_READONLY_PATHS = ("/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger")


def masked_paths(security: SecurityContext) -> list[str]:
    """Those of the request and, if it has any, the usual ones, of which its author may not know them all.

    None for a privileged container, for which the kubelet sends them as well.
    """
    if security.privileged or not security.masked_paths:
        return []
    asked = _absolute("masked_paths", security.masked_paths)
    return list(dict.fromkeys((*asked, *DEFAULT_MASKED_PATHS)))


def readonly_paths(security: SecurityContext) -> list[str]:
    """As requested; none for a privileged container."""
    return [] if security.privileged else _absolute("readonly_paths", security.readonly_paths)


def _absolute(field: str, paths: Sequence[str]) -> list[str]:
    for path in paths:
        if not path.startswith("/") or "\0" in path:
            raise BadContainer(f"{field}: {path!r} is not an absolute path")
    return list(paths)
