"""The runtime-spec document of a sandbox's own container, which waits, and reaps in a shared PID namespace.

It needs next to nothing: no capabilities, a read-only root with one program, a private /proc.
"""

from typing import Any

from oci.generate.annotations import pause_annotations
from oci.generate.capabilities import capability_sets
from oci.generate.container import OCI_VERSION
from oci.generate.inputs import (
    Capabilities,
    HostView,
    NamespaceMode,
    PauseInput,
    SecurityContext,
)
from oci.generate.mounts import OciMount
from oci.generate.namespaces import mapping_entries
from oci.generate.paths import DEFAULT_MASKED_PATHS, DEFAULT_READONLY_PATHS
from oci.generate.resources import oom_score_adj
from oci.generate.seccomp import linux_seccomp

PAUSE_OOM_SCORE_ADJ = -998  # the pod should lose a container before it loses its namespaces
PAUSE_CPU_SHARES = 2


def generate(pause: PauseInput, host: HostView) -> dict[str, Any]:
    """The config.json document for a pause container; it is never privileged, whatever the pod is.

    Raises:
        BadContainer: a seccomp profile that is not there.
    """
    bare = SecurityContext(capabilities=Capabilities(drop=("ALL",)))
    capabilities = capability_sets(bare, pause.defaults, host)
    process: dict[str, Any] = {
        "terminal": False,
        "user": {"uid": 0, "gid": 0, "additionalGids": [0]},
        "args": list(pause.args),
        "env": list(pause.env),
        "cwd": "/",
        "capabilities": capabilities,
        "noNewPrivileges": True,
        "oomScoreAdj": oom_score_adj(PAUSE_OOM_SCORE_ADJ, host),
    }
    if host.selinux and pause.selinux_process_label:
        process["selinuxLabel"] = pause.selinux_process_label
    return {
        "ociVersion": OCI_VERSION,
        "process": process,
        "root": {"path": str(pause.rootfs), "readonly": True},
        "mounts": pause_mounts(pause),
        "annotations": pause_annotations(pause),
        "linux": _linux(pause, host),
    }


def pause_mounts(pause: PauseInput) -> list[OciMount]:
    """/proc, and /dev for what runtimes insist on."""
    return [
        {"destination": "/proc", "type": "proc", "source": "proc", "options": ["nosuid", "noexec", "nodev"]},
        {
            "destination": "/dev",
            "type": "tmpfs",
            "source": "tmpfs",
            "options": ["nosuid", "strictatime", "mode=755", "size=64k"],
        },
    ]


def _linux(pause: PauseInput, host: HostView) -> dict[str, Any]:
    cpu: dict[str, Any] = {"shares": PAUSE_CPU_SHARES}
    if pause.cpuset_cpus:
        cpu["cpus"] = pause.cpuset_cpus
    optional = {
        "seccomp": linux_seccomp(_unprivileged(pause.security), pause.defaults, host, ()),
        "mountLabel": pause.selinux_mount_label if host.selinux else "",
        "uidMappings": mapping_entries(pause.uid_mappings),
        "gidMappings": mapping_entries(pause.gid_mappings),
    }
    return {
        "namespaces": pause_namespaces(pause, host),
        "cgroupsPath": pause.cgroups_path,
        "resources": {"cpu": cpu, "devices": [{"allow": False, "access": "rwm"}]},
        "maskedPaths": list(DEFAULT_MASKED_PATHS),
        "readonlyPaths": list(DEFAULT_READONLY_PATHS),
        **{key: value for key, value in optional.items() if value},
    }


def pause_namespaces(pause: PauseInput, host: HostView) -> list[dict[str, Any]]:
    """The pinned ones by path; a new PID namespace unless the pod uses the host's."""
    entries: list[dict[str, Any]] = [{"type": "mount"}]
    entries += [{"type": kind, "path": str(path)} for kind, path in pause.namespaces.items()]
    if "user" not in pause.namespaces and pause.uid_mappings:
        entries.append({"type": "user"})
    if pause.security.namespaces.pid is not NamespaceMode.NODE:
        entries.append({"type": "pid"})
    if host.cgroup_version == 2:
        entries.append({"type": "cgroup"})
    return entries


def _unprivileged(security: SecurityContext) -> SecurityContext:
    """A privileged pod's pause program needs no privilege: it keeps the request's profile."""
    return SecurityContext(seccomp=security.seccomp, seccomp_profile_path=security.seccomp_profile_path)
