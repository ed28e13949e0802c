"""features: what this runtime can do (runtime-spec, features.md), and its version."""

import os
from functools import cache

from api.kernel import CAPABILITIES
from host.libseccomp import ACTIONS, COMPARISONS, NoLibseccomp
from host.libseccomp import version as libseccomp_version
from host.security import apparmor_enabled, selinux_enabled
from oci.run.plan import hooks, options, process, seccomp
from oci.run.plan.namespaces import KINDS
from oci.run.state import OCI_VERSION

_ARCHITECTURES = (
    *("SCMP_ARCH_AARCH64", "SCMP_ARCH_ARM", "SCMP_ARCH_PPC64LE", "SCMP_ARCH_RISCV64", "SCMP_ARCH_S390X"),
    *("SCMP_ARCH_X32", "SCMP_ARCH_X86", "SCMP_ARCH_X86_64"),
)
_UNSAFE = ("bundle", "org.systemd.property.", seccomp.COMPILED)


def document() -> dict[str, object]:
    """The features document."""
    flags = sorted(seccomp.FLAGS)
    return {
        "ociVersionMin": "1.0.0",
        "ociVersionMax": OCI_VERSION,
        "hooks": list(hooks.POINTS),
        "mountOptions": options.known(),
        "linux": {
            "namespaces": sorted(KINDS),
            "capabilities": list(CAPABILITIES),
            "cgroup": {"v1": True, "v2": True, "systemd": True, "systemdUser": True, "rdma": False},
            "seccomp": {
                "enabled": _libseccomp() != "",
                "actions": sorted((*ACTIONS, "SCMP_ACT_NOTIFY")),
                "operators": sorted(COMPARISONS),
                "archs": list(_ARCHITECTURES),
                "knownFlags": flags,
                "supportedFlags": flags,
            },
            "apparmor": {"enabled": apparmor_enabled()},
            "selinux": {"enabled": selinux_enabled()},
            "intelRdt": {"enabled": False},
            "memoryPolicy": {"modes": sorted(process.MEMORY_MODES), "flags": sorted(process.MEMORY_FLAGS)},
            "mountExtensions": {"idmap": {"enabled": os.path.exists("/proc/self/ns/user")}},
            "netDevices": {"enabled": False},
        },
        "annotations": {
            "org.opencontainers.runc.checkpoint.enabled": "false",
            "podwright.version": version(),
        },
        "potentiallyUnsafeConfigAnnotations": list(_UNSAFE),
    }


def version_text() -> str:
    """What ``--version`` prints."""
    lines = [f"podwright-oci version {version()}", f"spec: {OCI_VERSION}"]
    if _libseccomp():
        lines.append(f"libseccomp: {_libseccomp()}")
    return "".join(f"{line}\n" for line in lines)


def version() -> str:
    """The package's."""
    from importlib import metadata

    try:
        return metadata.version("podwright")
    except metadata.PackageNotFoundError:
        return "0"


@cache
def _libseccomp() -> str:
    try:
        return ".".join(map(str, libseccomp_version()))
    except NoLibseccomp:
        return ""
