"""spec: a config.json to begin with."""

import json
import os

from oci.run.errors import ContainerExists
from oci.run.state import OCI_VERSION

_CAPABILITIES = ["CAP_AUDIT_WRITE", "CAP_KILL", "CAP_NET_BIND_SERVICE"]
_NOTHING = ["nosuid", "noexec", "nodev"]


def write(bundle: str, *, rootless: bool) -> None:
    """Write config.json into the bundle.

    Raises:
        ContainerExists: there is one.
    """
    path = os.path.join(bundle, "config.json")
    try:
        descriptor = os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY | os.O_CLOEXEC, 0o644)
    except FileExistsError:
        raise ContainerExists(path) from None
    with open(descriptor, "w", encoding="utf-8") as file:
        json.dump(document(rootless=rootless), file, indent=2)


def document(*, rootless: bool) -> dict[str, object]:
    """A shell in namespaces of its own."""
    namespaces = ["pid", "network", "ipc", "uts", "mount", "cgroup"]
    linux: dict[str, object] = {
        "resources": {"devices": [{"allow": False, "access": "rwm"}]},
        "maskedPaths": ["/proc/acpi", "/proc/kcore", "/proc/keys", "/proc/timer_list", "/sys/firmware"],
        "readonlyPaths": ["/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger"],
    }
    if rootless:
        namespaces = [name for name in namespaces if name != "network"] + ["user"]
        linux["uidMappings"] = [{"containerID": 0, "hostID": os.geteuid(), "size": 1}]
        linux["gidMappings"] = [{"containerID": 0, "hostID": os.getegid(), "size": 1}]
        del linux["resources"]
    linux["namespaces"] = [{"type": name} for name in namespaces]
    return {
        "ociVersion": OCI_VERSION,
        "process": {
            "terminal": True,
            "user": {"uid": 0, "gid": 0},
            "args": ["sh"],
            "env": ["PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "TERM=xterm"],
            "cwd": "/",
            "capabilities": dict.fromkeys(("bounding", "effective", "permitted"), _CAPABILITIES),
            "rlimits": [{"type": "RLIMIT_NOFILE", "hard": 1024, "soft": 1024}],
            "noNewPrivileges": True,
        },
        "root": {"path": "rootfs", "readonly": True},
        "hostname": "container",
        "mounts": _mounts(rootless=rootless),
        "linux": linux,
    }


def _mounts(*, rootless: bool) -> list[dict[str, object]]:
    pts = ["nosuid", "noexec", "newinstance", "ptmxmode=0666", "mode=0620", "gid=5"]
    sys_options = [*_NOTHING, "ro"]
    return [
        _mount("/proc", "proc", []),
        _mount("/dev", "tmpfs", ["nosuid", "strictatime", "mode=755", "size=65536k"]),
        _mount("/dev/pts", "devpts", pts[:-1] if rootless else pts),
        _mount("/dev/shm", "tmpfs", [*_NOTHING, "mode=1777", "size=65536k"]),
        _mount("/dev/mqueue", "mqueue", _NOTHING),
        {"destination": "/sys", "type": "none", "source": "/sys", "options": ["rbind", *sys_options]}
        if rootless
        else _mount("/sys", "sysfs", sys_options),
        _mount("/sys/fs/cgroup", "cgroup", [*_NOTHING, "relatime", "ro"]),
    ]


def _mount(destination: str, kind: str, options: list[str]) -> dict[str, object]:
    return {"destination": destination, "type": kind, "source": kind, "options": options}
