"""linux.sysctl: only what belongs to a namespace of the container's own (config-linux.md)."""

from host.clone import CLONE_NEWIPC, CLONE_NEWNET, CLONE_NEWUSER, CLONE_NEWUTS
from oci.run.document import Table
from oci.run.errors import BadConfig
from oci.run.plan.namespaces import Namespaces
from oci.run.process_operations import WriteSysctl

_IPC = frozenset(
    f"kernel/{name}"
    for name in ("msgmax", "msgmnb", "msgmni", "sem", "shmall", "shmmax", "shmmni", "shm_rmid_forced")
)


def sysctls(linux: Table, namespaces: Namespaces) -> list[WriteSysctl]:
    """
    Raises:
        BadConfig: one that would change the host, or that names no file.
    """
    found = []
    for name, value in linux.text_map("sysctl").items():
        file = file_of(name)
        kind = _owner(file)
        if file == "kernel/hostname":
            raise BadConfig(f"sysctl {name!r} is not allowed as it conflicts with the OCI hostname field")
        if kind is None:
            raise BadConfig(f"sysctl {name!r} is not in a separate kernel namespace")
        if not namespaces.has(kind):
            raise BadConfig(f"sysctl {name!r} is not allowed in the hosts' namespace")
        found.append(WriteSysctl(name, file, value))
    return found


def file_of(name: str) -> str:
    """Below /proc/sys. The first separator decides, as for sysctl(8): ``net.ipv4.conf.eth0/1.x``."""
    separators = [character for character in name if character in "./"]
    if separators and separators[0] == ".":
        name = name.translate(str.maketrans("./", "/."))
    if any(part in ("", ".", "..") for part in name.split("/")) or "\0" in name:
        raise BadConfig(f"{name!r} is not the name of a sysctl")
    return name


def _owner(file: str) -> int | None:
    if file in _IPC or file.startswith("fs/mqueue/"):
        return CLONE_NEWIPC
    if file.startswith("net/"):
        return CLONE_NEWNET
    if file in ("kernel/domainname", "kernel/hostname"):
        return CLONE_NEWUTS
    if file.startswith("user/"):
        return CLONE_NEWUSER
    return None
