"""Where runtimes differ in these programs, each with its reason; `make runtime-test` fails on any other.

The programs are from 2018 to 2025 and test for version 1 of cgroups; some ask for what the specification has
since changed or never said, some for what a kernel of today does not have.
"""

_BLKIO = "asks for blkio.leaf_weight and a disk /dev/sda, which kernels since 5.0 and this machine have not"
_KERNEL_MEMORY = "asks for limits on kernel memory, which kernels since 5.16 do not have"
_NETWORK = "asks for the controllers net_cls and net_prio, which are not mounted here"
_DELETE = "wants the deletion of a created container refused, which every runtime allows"
# Programs that nobody passes here, and why.
UNPASSABLE: dict[str, str] = {
    "delete": _DELETE,
    "linux_cgroups_blkio": _BLKIO,
    "linux_cgroups_relative_blkio": _BLKIO,
    "linux_cgroups_memory": _KERNEL_MEMORY,
    "linux_cgroups_relative_memory": _KERNEL_MEMORY,
    "linux_cgroups_network": _NETWORK,
    "linux_cgroups_relative_network": _NETWORK,
    "linux_process_apparmor_profile": "asks for an AppArmor profile acme_secure_profile",
    "misc_props": "makes its containers without the program that they are to run",
    "pidfile": "kills a container that has ended by itself, and wants no error",
    "process_capabilities": "gives capabilities that the tests' own bounding set has not",
    "process_capabilities_fail": "wants unknown capabilities to be an error, which runc and we ignore",
    "process_rlimits": "gives one limit twice, and wants both",
    "process_rlimits_fail": "wants an error, and calls the error that it gets one of its own",
    "start": "wants a container without a process created",
}
# Programs that another runtime passes and ours does not, and why.
OURS: dict[str, str] = {
    "hooks_stdin": "wants the state `created` in prestart hooks; the specification and runc have `creating`",
    "linux_ns_itype": "asks for mounts without a mount namespace: they would be made on the host",
}
