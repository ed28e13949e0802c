"""Which sysctls a pod may set: those that a namespace of its own owns."""

from collections.abc import Mapping

from oci.generate.inputs import BadContainer, NamespaceMode, NamespaceOptions

_IPC_NAMES = frozenset({"kernel.sem"})
_IPC_PREFIXES = ("kernel.shm", "kernel.msg", "fs.mqueue.")


def check_sysctls(sysctls: Mapping[str, str], options: NamespaceOptions) -> None:
    """Refuse what would reach beyond the pod. Names may use dots or slashes.

    Raises:
        BadContainer: not a namespaced sysctl, or its namespace is the host's.
    """
    for name, value in sysctls.items():
        dotted = name.replace("/", ".")
        if ".." in dotted or dotted.startswith("."):
            raise BadContainer(f"sysctls: {name!r} is not the name of a sysctl")
        if dotted.startswith("net."):
            mode, kind = options.network, "network"
        elif dotted in _IPC_NAMES or dotted.startswith(_IPC_PREFIXES):
            mode, kind = options.ipc, "ipc"
        else:
            raise BadContainer(f"sysctls: {name} = {value}: this one is the node's, not the pod's")
        if mode is NamespaceMode.NODE:
            raise BadContainer(f"sysctls: {name} = {value}: the pod uses the host's {kind} namespace")


def applicable(defaults: Mapping[str, str], options: NamespaceOptions) -> dict[str, str]:
    """The configured default sysctls that fit this pod; the others are passed over."""
    kept = {}
    for name, value in defaults.items():
        try:
            check_sysctls({name: value}, options)
        except BadContainer:
            continue
        kept[name] = value
    return kept
