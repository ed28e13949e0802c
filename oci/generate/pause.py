"""The runtime-spec document of a sandbox's own container, which waits, and reaps in a shared PID namespace.

It needs next to nothing: no capabilities, a read-only root with one program, a private /proc. Who it runs as
is the sandbox's to say; nothing in its root has names for that.
"""

from dataclasses import replace
from typing import Any

from oci.generate.annotations import pause_annotations
from oci.generate.capabilities import capability_sets
from oci.generate.container import OCI_VERSION
from oci.generate.identity import resolve
from oci.generate.inputs import (
    Capabilities,
    HostView,
    Identity,
    NamespaceMode,
    PauseInput,
    SecurityContext,
)
from oci.generate.labels import apparmor_profile
from oci.generate.mounts import OciMount
from oci.generate.namespaces import mapping_entries
from oci.generate.paths import DEFAULT_MASKED_PATHS, DEFAULT_READONLY_PATHS
from oci.generate.process import user
from oci.generate.resources import oom_score_adj
from oci.generate.seccomp import linux_seccomp

PAUSE_OOM_SCORE_ADJ = -998  # the pod should lose a container before it loses its namespaces
PAUSE_CPU_SHARES = 2


def generate(pause: PauseInput, host: HostView) -> dict[str, Any]:
    """The config.json document for a pause container; it is never privileged, whatever the pod is.

    Raises:
        BadContainer: a profile that is not there, an id or a label that is none.
    """
    bare = SecurityContext(capabilities=Capabilities(drop=("ALL",)))
    capabilities = capability_sets(bare, pause.defaults, host)
    process: dict[str, Any] = {
        "terminal": False,
        "user": user(pause_identity(pause.security)),
        "args": list(pause.args),
        "env": list(pause.env),
        "cwd": "/",
        "capabilities": capabilities,
        "noNewPrivileges": True,
        "oomScoreAdj": oom_score_adj(PAUSE_OOM_SCORE_ADJ, host),
    }
    if host.selinux and pause.selinux_process_label:
        process["selinuxLabel"] = pause.selinux_process_label
    if pause.security.apparmor and (
        name := apparmor_profile(_unprivileged(pause.security), pause.defaults, host)
    ):
        process["apparmorProfile"] = name
    return {
        "ociVersion": OCI_VERSION,
        "process": process,
        "root": {"path": str(pause.rootfs), "readonly": True},
        "mounts": pause_mounts(pause),
        "annotations": pause_annotations(pause),
        "linux": _linux(pause, host),
    }


def pause_identity(security: SecurityContext) -> Identity:
    """As the request says, else root; a group without a user is the kubelet's for a pod with runAsGroup."""
    return resolve(replace(security, run_as_user=security.run_as_user or 0, run_as_username=""), "")


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
    """A privileged pod's pause program needs no privilege: it keeps the request's profiles."""
    return replace(security, privileged=False)
