"""Every field of the CRI's requests for pods and containers, against what it must produce.

A row names a field, gives it a value, and says where that arrives (Machine.make has the parts). It holds on
both cgroup versions, except for what it says under ``v1`` or ``v2``: the runtime-spec keeps the terms of
version 1 and leaves their conversion to the runtime.

    produces      in the runtime-spec document of the container or of the pause process
    goes          elsewhere, and no document changes
    refuses       no value but the default can be honoured
    does_nothing  nothing that is made changes, for the reason given
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest
from google.protobuf.descriptor import Descriptor
from google.protobuf.json_format import ParseDict

from api.errors import InvalidArgument, PodwrightError
from api.kernel import CAPABILITIES
from api.runtime.v1 import api_pb2 as pb
from conf.schema import Config
from oci.generate.paths import DEFAULT_MASKED_PATHS
from tests.unit.cri.made import CONTAINER_ID, IMAGE, SANDBOX_ID, TARGET, Machine, without_root
from tests.unit.oci.generate import builders

V1 = replace(builders.V1, apparmor=True, selinux=True)
HOSTS = {1: V1, 2: replace(V1, cgroup_version=2)}
ROOTS: Mapping[str, Descriptor] = {
    "pod": pb.PodSandboxConfig.DESCRIPTOR,
    "container": pb.ContainerConfig.DESCRIPTOR,
}
EXCLUDED = {"WindowsPodSandboxConfig", "WindowsContainerConfig"}
# Messages of which no part is looked at: one row each.
WHOLE = {
    "pod.linux.overhead",
    "pod.linux.resources",
    "container.linux.security_context.namespace_options.userns_options",
}


class Absent:
    """Equal to what a document does not have."""


ABSENT = Absent()


class Has:
    """Equal to a list that has these among its items."""

    def __init__(self, *items: object) -> None:
        self.items = items

    def __eq__(self, other: object) -> bool:
        return isinstance(other, list) and all(item in other for item in self.items)

    def __hash__(self) -> int:
        return hash(self.items)

    def __repr__(self) -> str:
        return f"Has{self.items}"


@dataclass(frozen=True)
class Row:
    """``expected``: places (keys with blanks between them) and their values. ``beside``: what the field needs
    in order to mean something. "@" in a text stands for the machine's directory."""

    name: str
    value: object
    expected: Mapping[str, object]
    beside: Mapping[str, object] = field(default_factory=dict)
    v1: Mapping[str, object] = field(default_factory=dict)
    v2: Mapping[str, object] = field(default_factory=dict)
    refused_on: Mapping[int, str] = field(default_factory=dict)
    in_document: bool = False


def produces(name: str, value: object, expected: Mapping[str, object], **more: Any) -> Row:
    return Row(name, value, expected, in_document=True, **more)


def goes(name: str, value: object, expected: Mapping[str, object], **more: Any) -> Row:
    return Row(name, value, expected, **more)


def refuses(name: str, value: object, words: str, **more: Any) -> Row:
    return Row(name, value, {}, refused_on={1: words, 2: words}, **more)


def does_nothing(name: str, value: object, why: str, **more: Any) -> Row:
    assert why
    return Row(name, value, {}, **more)


CONTEXT = "container.linux.security_context"
OPTIONS = f"{CONTEXT}.namespace_options"
RESOURCES = "container.linux.resources"
POD_CONTEXT = "pod.linux.security_context"
POD_OPTIONS = f"{POD_CONTEXT}.namespace_options"
USERNS = f"{POD_OPTIONS}.userns_options"
HOST_ID, LENGTH = 3949199360, 65536
POD_IDS = (f"{USERNS}.uids", f"{USERNS}.gids")
MOUNT_IDS = ("container.mounts.uidMappings", "container.mounts.gidMappings")

BASE = {
    "pod.metadata.name": "web",
    "pod.metadata.namespace": "shop",
    "pod.metadata.uid": "u1",
    "container.metadata.name": "main",
    "container.image.image": "app",
    # Messages that are there, if only with what is not set: their absence means something too.
    f"{OPTIONS}.network": "POD",
    f"{RESOURCES}.cpu_shares": 0,
}
MOUNT = {"container.mounts.container_path": "/data", "container.mounts.host_path": "@/source"}
VOLUME = {
    "container.mounts.container_path": "/data",
    "container.mounts.image.image": "app",
    "container.mounts.readonly": True,
}
DEVICE = {"container.devices.host_path": "/dev/null", "container.devices.permissions": "r"}
PORT = {"pod.port_mappings.host_port": 8080, "pod.port_mappings.container_port": 80}
HUGE = {f"{RESOURCES}.hugepage_limits.page_size": "2MB"}
PRIVILEGED_POD = {f"{POD_CONTEXT}.privileged": True}


def maps(*kinds: str, **changes: object) -> dict[str, object]:
    """One mapping, the same for all ``kinds``."""
    values = {"host_id": HOST_ID, "length": LENGTH} | changes
    return {f"{kind}.{name}": value for kind in kinds for name, value in values.items()}


def entry(host_id: int = HOST_ID, size: int = LENGTH, inside: int = 0) -> list[dict[str, int]]:
    return [{"containerID": inside, "hostID": host_id, "size": size}]


def rule(access: str) -> dict[str, object]:
    return {"allow": True, "type": "c", "major": 1, "minor": 3, "access": access}


APPARMOR = Config().runtime.apparmor_profile
HELD = ("bounding", "effective", "permitted")
BARE: dict[str, list[str]] = {one: [] for one in (*HELD, "inheritable", "ambient")}
CLOSED, OPEN = {"allow": False, "access": "rwm"}, {"allow": True, "access": "rwm"}

POD = [
    produces(
        "pod.metadata.name",
        "db",
        {"oci annotations io.kubernetes.cri.sandbox-name": "db", "cni name": "db", "pod metadata name": "db"},
    ),
    produces(
        "pod.metadata.uid",
        "u2",
        {"oci annotations io.kubernetes.cri.sandbox-uid": "u2", "cni uid": "u2", "pod metadata uid": "u2"},
    ),
    produces(
        "pod.metadata.namespace",
        "it",
        {
            "oci annotations io.kubernetes.cri.sandbox-namespace": "it",
            "cni namespace": "it",
            "pod metadata namespace": "it",
        },
    ),
    goes("pod.metadata.attempt", 3, {"pod metadata attempt": 3}),
    produces(
        "pod.hostname",
        "till",
        {"oci process env HOSTNAME": "till", "files hostname": "till\n", "pinned hostname": "till"},
    ),
    goes(
        "pod.log_directory",
        "@/logs-of-pod",
        {"files logs-of-pod": "directory", "record log_path": "@/logs-of-pod/main.log"},
        beside={"container.log_path": "main.log"},
    ),
    goes(
        "pod.dns_config.servers",
        ["10.0.0.10"],
        {"files resolv.conf": "nameserver 10.0.0.10\n", "cni dns nameservers": ["10.0.0.10"]},
    ),
    goes(
        "pod.dns_config.searches",
        ["shop.svc", "svc"],
        {"files resolv.conf": "search shop.svc svc\n", "cni dns search": ["shop.svc", "svc"]},
    ),
    goes(
        "pod.dns_config.options",
        ["ndots:5"],
        {"files resolv.conf": "options ndots:5\n", "cni dns options": ["ndots:5"]},
    ),
    goes("pod.port_mappings.protocol", "UDP", {"cni port_mappings 0 protocol": "udp"}, beside=PORT),
    goes("pod.port_mappings.container_port", 81, {"cni port_mappings 0 container_port": 81}, beside=PORT),
    goes("pod.port_mappings.host_port", 8081, {"cni port_mappings 0 host_port": 8081}, beside=PORT),
    goes("pod.port_mappings.host_ip", "10.0.0.1", {"cni port_mappings 0 host_ip": "10.0.0.1"}, beside=PORT),
    goes("pod.labels", {"app": "shop"}, {"pod labels": {"app": "shop"}}),
    goes(
        "pod.annotations",
        {"note": "x"},
        {
            "pause annotations note": ABSENT,  # unless the handler lets it
            "oci annotations note": ABSENT,
            "cni annotations": {"note": "x"},
            "pod annotations": {"note": "x"},
        },
    ),
    produces(
        "pod.linux.cgroup_parent",
        "/kubepods/pod1",
        {
            "oci linux cgroupsPath": f"/kubepods/pod1/podwright-{CONTAINER_ID}",
            "pause linux cgroupsPath": f"/kubepods/pod1/podwright-{SANDBOX_ID}",
            "cni cgroup_path": "/kubepods/pod1",
        },
    ),
    goes("pod.linux.sysctls", {"net.core.somaxconn": "9"}, {"pinned sysctls": {"net.core.somaxconn": "9"}}),
    does_nothing("pod.linux.overhead", {"cpu_shares": 9}, "the kubelet has sized the pod's cgroup"),
    does_nothing("pod.linux.resources", {"cpu_shares": 9}, "the kubelet has sized the pod's cgroup"),
    produces(
        f"{POD_OPTIONS}.network",
        "NODE",
        {
            "pinned kinds": ["ipc"],
            "oci linux namespaces network": ABSENT,
            "oci linux namespaces uts": ABSENT,
            "pause linux namespaces network": ABSENT,
            "pod linux namespaces options network": "NODE",
        },
    ),
    produces(
        f"{POD_OPTIONS}.pid",
        "CONTAINER",
        {"pause": {}, "pod linux namespaces options pid": "CONTAINER"},
        beside={f"{OPTIONS}.pid": "CONTAINER"},
    ),
    produces(
        f"{POD_OPTIONS}.ipc",
        "NODE",
        {
            "pinned kinds": ["net", "uts"],
            "oci linux namespaces ipc": ABSENT,
            "oci mounts /dev/shm source": "/dev/shm",
            "pause linux namespaces ipc": ABSENT,
            "pod linux namespaces options ipc": "NODE",
        },
    ),
    goes(f"{POD_OPTIONS}.target_id", "x", {"pod linux namespaces options target_id": "x"}),
    goes(f"{USERNS}.mode", "NODE", {"pod linux namespaces options userns_options mode": "NODE"}),
    produces(
        f"{USERNS}.uids.host_id",
        9,
        {
            "pinned kinds": ["net", "uts", "ipc", "user"],
            "pinned uids": [[0, 9, LENGTH]],
            "oci linux uidMappings": entry(host_id=9),
            "oci linux namespaces user path": f"@/run/sandboxes/{SANDBOX_ID}/ns/user",
            "pause linux uidMappings": entry(host_id=9),
            "monitor stdio_owner": [9, 9],
        },
        beside=maps(*POD_IDS, host_id=9),
    ),
    refuses(f"{USERNS}.uids.container_id", 1, "container id 1: 0 must be", beside=maps(*POD_IDS)),
    produces(
        f"{USERNS}.uids.length",
        7,
        {"pinned uids": [[0, HOST_ID, 7]], "oci linux uidMappings": entry(size=7)},
        beside=maps(*POD_IDS, length=7),
    ),
    produces(
        f"{USERNS}.gids.host_id",
        9,
        {
            "pinned gids": [[0, 9, LENGTH]],
            "oci linux gidMappings": entry(host_id=9),
            "pause linux gidMappings": entry(host_id=9),
        },
        beside=maps(*POD_IDS, host_id=9),
    ),
    refuses(f"{USERNS}.gids.container_id", 1, "container id 1: 0 must be", beside=maps(*POD_IDS)),
    produces(
        f"{USERNS}.gids.length",
        7,
        {"pinned gids": [[0, HOST_ID, 7]], "oci linux gidMappings": entry(size=7)},
        beside=maps(*POD_IDS, length=7),
    ),
    produces(
        f"{POD_CONTEXT}.selinux_options.user",
        "pod_u",
        {
            "pause process selinuxLabel": "pod_u:system_r:container_t:s0",
            "pause linux mountLabel": "pod_u:object_r:container_file_t:s0",
            "oci process selinuxLabel": "pod_u:system_r:container_t:s0",
            "oci linux mountLabel": "pod_u:object_r:container_file_t:s0",
        },
    ),
    produces(
        f"{POD_CONTEXT}.selinux_options.role",
        "pod_r",
        {
            "pause process selinuxLabel": "system_u:pod_r:container_t:s0",
            "oci process selinuxLabel": "system_u:pod_r:container_t:s0",
        },
    ),
    produces(
        f"{POD_CONTEXT}.selinux_options.type",
        "pod_t",
        {
            "pause process selinuxLabel": "system_u:system_r:pod_t:s0",
            "oci process selinuxLabel": "system_u:system_r:pod_t:s0",
        },
    ),
    produces(
        f"{POD_CONTEXT}.selinux_options.level",
        "s0:c1,c2",
        {
            "pause process selinuxLabel": "system_u:system_r:container_t:s0:c1,c2",
            "oci process selinuxLabel": "system_u:system_r:container_t:s0:c1,c2",
            "oci linux mountLabel": "system_u:object_r:container_file_t:s0:c1,c2",
        },
    ),
    produces(
        f"{POD_CONTEXT}.run_as_user.value",
        1000,
        {"pause process user": {"uid": 1000, "gid": 0, "additionalGids": [0]}, "oci process user uid": 0},
    ),
    produces(
        f"{POD_CONTEXT}.run_as_group.value",
        70,
        {"pause process user": {"uid": 1000, "gid": 70, "additionalGids": [70]}, "oci process user gid": 0},
        beside={f"{POD_CONTEXT}.run_as_user.value": 1000},
    ),
    does_nothing(f"{POD_CONTEXT}.readonly_rootfs", True, "the pause process's root is always read-only"),
    produces(
        f"{POD_CONTEXT}.supplemental_groups",
        [71, 72],
        {"pause process user additionalGids": [0, 71, 72], "oci process user additionalGids": [0]},
    ),
    does_nothing(
        f"{POD_CONTEXT}.supplemental_groups_policy", "Strict", "the pause process has no /etc/group to merge"
    ),
    produces(
        f"{POD_CONTEXT}.privileged",
        True,
        {
            "oci linux resources devices": [OPEN],
            "pause process capabilities": BARE,
        },
        beside={f"{CONTEXT}.privileged": True},
    ),
    produces(
        f"{POD_CONTEXT}.seccomp.profile_type",
        "RuntimeDefault",
        {"pause linux seccomp defaultErrnoRet": 38, "oci linux seccomp": ABSENT},
    ),
    produces(
        f"{POD_CONTEXT}.seccomp.localhost_ref",
        "@/seccomp.json",
        {"pause linux seccomp defaultAction": "SCMP_ACT_LOG", "oci linux seccomp": ABSENT},
        beside={f"{POD_CONTEXT}.seccomp.profile_type": "Localhost"},
    ),
    produces(
        f"{POD_CONTEXT}.apparmor.profile_type",
        "RuntimeDefault",
        {"pause process apparmorProfile": APPARMOR},
    ),
    produces(
        f"{POD_CONTEXT}.apparmor.localhost_ref",
        "mine",
        {"pause process apparmorProfile": "mine", "oci process apparmorProfile": APPARMOR},
        beside={f"{POD_CONTEXT}.apparmor.profile_type": "Localhost"},
    ),
    produces(
        f"{POD_CONTEXT}.seccomp_profile_path",
        "runtime/default",
        {"pause linux seccomp defaultErrnoRet": 38, "oci linux seccomp": ABSENT},
    ),
]

CONTAINER = [
    produces(
        "container.metadata.name",
        "side",
        {
            "oci annotations io.kubernetes.cri.container-name": "side",
            "status metadata name": "side",
            "record name": "k8s_side_web_shop_u1_0",
        },
    ),
    goes(
        "container.metadata.attempt",
        2,
        {"status metadata attempt": 2, "record name": "k8s_main_web_shop_u1_2"},
    ),
    produces(
        "container.image.image",
        IMAGE.id,
        {
            "oci annotations io.kubernetes.cri.image-name": IMAGE.id,
            "oci process args": ["/entry", "image-cmd"],
            "oci process env FROM": "image",
            "status image_id": IMAGE.id,
        },
    ),
    goes("container.image.annotations", {"a": "b"}, {"status image annotations": {"a": "b"}}),
    produces(
        "container.image.user_specified_image",
        "app:1",
        {"oci annotations io.kubernetes.cri.image-name": "app:1", "status image image": "app:1"},
    ),
    goes("container.image.runtime_handler", "runc", {"status image runtime_handler": "runc"}),
    goes("container.image.image_ref", "sha256:9", {"status image image_ref": "sha256:9"}),
    produces("container.command", ["/bin/sh"], {"oci process args": ["/bin/sh"]}),
    produces("container.args", ["-x"], {"oci process args": ["/entry", "-x"]}),
    produces("container.working_dir", "/srv", {"oci process cwd": "/srv"}),
    produces("container.envs.key", "FROM", {"oci process env FROM": ""}),
    produces(
        "container.envs.value",
        "cmVxdWVzdA==",
        {"oci process env FROM": "request"},
        beside={"container.envs.key": "FROM"},
    ),
    produces(
        "container.mounts.container_path",
        "/other/",
        {"oci mounts /other source": "@/source", "status mounts /other/ host_path": "@/source"},
        beside=MOUNT,
    ),
    produces(
        "container.mounts.host_path",
        "@/new",
        {
            "oci mounts /data type": "bind",
            "oci mounts /data source": "@/new",
            "oci mounts /data options": ["rbind", "rprivate", "rw"],
        },
        beside=MOUNT,
    ),
    produces(
        "container.mounts.readonly",
        True,
        {"oci mounts /data options": ["rbind", "rprivate", "ro"], "status mounts /data readonly": True},
        beside=MOUNT,
    ),
    # Not done, on a host with SELinux either; the kubelet sends it with every mount.
    goes(
        "container.mounts.selinux_relabel",
        True,
        {"status mounts /data selinux_relabel": True},
        beside=MOUNT,
    ),
    produces(
        "container.mounts.propagation",
        "PROPAGATION_BIDIRECTIONAL",
        {"oci mounts /data options": ["rbind", "rshared", "rw"], "oci linux rootfsPropagation": "rshared"},
        beside=MOUNT,
    ),
    *(
        produces(
            f"container.mounts.{kind}.{name}",
            value,
            {f"oci mounts /data {kind}": entry(**{one: value})},
            beside=MOUNT | maps(*MOUNT_IDS),
        )
        for kind in ("uidMappings", "gidMappings")
        for name, one, value in (
            ("host_id", "host_id", 9),
            ("container_id", "inside", 5),
            ("length", "size", 7),
        )
    ),
    produces(
        "container.mounts.recursive_read_only",
        True,
        {"oci mounts /data options": ["rbind", "rprivate", "ro", "rro"]},
        beside=MOUNT | {"container.mounts.readonly": True},
    ),
    produces(
        "container.mounts.image.image",
        "app",
        {
            "oci mounts /data source": "@/volume",
            "oci mounts /data options": ["rbind", "rprivate", "ro"],
            "status mounts /data image image_ref": IMAGE.id,
        },
        beside=VOLUME,
    ),
    goes(
        "container.mounts.image.annotations",
        {"a": "b"},
        {"status mounts /data image annotations": {"a": "b"}},
        beside=VOLUME,
    ),
    goes(
        "container.mounts.image.user_specified_image",
        "app:1",
        {"status mounts /data image user_specified_image": "app:1"},
        beside=VOLUME,
    ),
    goes(
        "container.mounts.image.runtime_handler",
        "runc",
        {"status mounts /data image runtime_handler": "runc"},
        beside=VOLUME,
    ),
    does_nothing(
        "container.mounts.image.image_ref",
        "sha256:9",
        "the digest of what is mounted is in it",
        beside=VOLUME,
    ),
    produces(
        "container.mounts.image_sub_path", "sub", {"oci mounts /data source": "@/volume/sub"}, beside=VOLUME
    ),
    produces(
        "container.mounts.mount_options",
        ["noexec", "nodev"],
        {"oci mounts /data options": ["rbind", "rprivate", "rw", "noexec", "nodev"]},
        beside=MOUNT,
    ),
    produces(
        "container.devices.container_path",
        "/dev/x",
        {"oci linux devices /dev/x major": 1, "oci linux devices /dev/x minor": 3},
        beside=DEVICE,
    ),
    produces(
        "container.devices.host_path",
        "/dev/null",
        {"oci linux devices /dev/null type": "c", "oci linux resources devices": [CLOSED, rule("rw")]},
        beside={"container.devices.permissions": "rw"},
    ),
    produces(
        "container.devices.permissions",
        "rwm",
        {"oci linux resources devices": [CLOSED, rule("rwm")]},
        beside=DEVICE,
    ),
    goes("container.labels", {"app": "shop"}, {"status labels": {"app": "shop"}}),
    goes(
        "container.annotations",
        {"note": "x"},
        {"oci annotations note": ABSENT, "status annotations": {"note": "x"}},
    ),
    goes(
        "container.log_path",
        "main/0.log",
        {
            "monitor log_path": f"{Config().log_dir}/{SANDBOX_ID}/main/0.log",
            "status log_path": f"{Config().log_dir}/{SANDBOX_ID}/main/0.log",
        },
    ),
    goes("container.stdin", True, {"monitor stdin": True}),
    goes("container.stdin_once", True, {"monitor stdin_once": True}, beside={"container.stdin": True}),
    produces(
        "container.tty",
        True,
        {"oci process terminal": True, "oci process env TERM": "xterm", "monitor terminal": True},
    ),
    produces("container.CDI_devices.name", "vendor.example/gpu=one", {"oci process env GPU": "one"}),
    goes(
        "container.stop_signal",
        "SIGNAL_SIGUSR1",
        {"record stop_signal": 10, "status stop_signal": "SIGNAL_SIGUSR1"},
    ),
]

CONTAINER_RESOURCES = [
    produces(
        f"{RESOURCES}.cpu_period",
        50000,
        {"oci linux resources cpu period": 50000, "status resources linux cpu_period": "50000"},
    ),
    produces(f"{RESOURCES}.cpu_quota", -1, {"oci linux resources cpu quota": -1}),
    produces(f"{RESOURCES}.cpu_shares", 512, {"oci linux resources cpu shares": 512}),
    produces(
        f"{RESOURCES}.memory_limit_in_bytes",
        1 << 20,
        {"oci linux resources memory": {"limit": 1 << 20, "swap": 1 << 20}},
    ),
    produces(f"{RESOURCES}.oom_score_adj", -997, {"oci process oomScoreAdj": -997}),
    produces(f"{RESOURCES}.cpuset_cpus", "0", {"oci linux resources cpu cpus": "0"}),
    produces(f"{RESOURCES}.cpuset_mems", "0", {"oci linux resources cpu mems": "0"}),
    produces(
        f"{RESOURCES}.hugepage_limits.page_size",
        "2MB",
        {"oci linux resources hugepageLimits": [{"pageSize": "2MB", "limit": 0}]},
    ),
    produces(
        f"{RESOURCES}.hugepage_limits.limit",
        4 << 20,
        {"oci linux resources hugepageLimits": [{"pageSize": "2MB", "limit": 4 << 20}]},
        beside=HUGE,
    ),
    produces(
        f"{RESOURCES}.unified",
        {"memory.high": "9"},
        {},
        v2={"oci linux resources unified": {"memory.high": "9"}},
        refused_on={1: r"unified: memory\.high needs cgroup version 2"},
    ),
    produces(
        f"{RESOURCES}.memory_swap_limit_in_bytes",
        2 << 20,
        {"oci linux resources memory": {"limit": 1 << 20, "swap": 2 << 20}},
        beside={f"{RESOURCES}.memory_limit_in_bytes": 1 << 20},
    ),
]

SECURITY = [
    produces(
        f"{CONTEXT}.capabilities.add_capabilities",
        ["sys_time"],
        {f"oci process capabilities {one}": Has("CAP_SYS_TIME", "CAP_CHOWN") for one in HELD}
        | {"oci process capabilities inheritable": [], "oci process capabilities ambient": []},
    ),
    produces(
        f"{CONTEXT}.capabilities.drop_capabilities",
        ["ALL"],
        {f"oci process capabilities {one}": [] for one in HELD},
    ),
    produces(
        f"{CONTEXT}.capabilities.add_ambient_capabilities",
        ["CAP_SYS_TIME"],
        {f"oci process capabilities {one}": Has("CAP_SYS_TIME") for one in (*HELD, "inheritable", "ambient")},
    ),
    produces(
        f"{CONTEXT}.privileged",
        True,
        {
            "oci process capabilities bounding": list(CAPABILITIES),
            "oci process apparmorProfile": ABSENT,
            "oci linux seccomp": ABSENT,
            "oci linux maskedPaths": ABSENT,
            "oci linux readonlyPaths": ABSENT,
            "oci linux resources devices": [OPEN],
            "oci linux devices /dev/host0 major": 240,
            "oci mounts /sys options": ["nosuid", "noexec", "nodev", "rw"],
            "oci linux namespaces cgroup": ABSENT,
        },
        beside=PRIVILEGED_POD
        | {
            f"{CONTEXT}.masked_paths": ["/proc/kcore"],
            f"{CONTEXT}.readonly_paths": ["/proc/sys"],
            f"{CONTEXT}.seccomp.profile_type": "RuntimeDefault",
        },
    ),
    produces(
        f"{OPTIONS}.network",
        "NODE",
        {"oci linux namespaces network": ABSENT, "oci linux namespaces uts": ABSENT},
    ),
    produces(f"{OPTIONS}.pid", "CONTAINER", {"oci linux namespaces pid path": ABSENT}),
    produces(
        f"{OPTIONS}.ipc",
        "NODE",
        {"oci linux namespaces ipc": ABSENT, "oci mounts /dev/shm source": "/dev/shm"},
    ),
    produces(
        f"{OPTIONS}.target_id",
        TARGET.id,
        {"oci linux namespaces pid path": "/proc/88/ns/pid"},
        beside={f"{OPTIONS}.pid": "TARGET"},
    ),
    does_nothing(
        f"{OPTIONS}.userns_options",
        {"uids": [{"host_id": 9, "length": 1}], "gids": [{"host_id": 9, "length": 1}]},
        "the pod's user namespace is for all its containers",
    ),
    produces(
        f"{CONTEXT}.selinux_options.user",
        "own_u",
        {
            "oci process selinuxLabel": "own_u:system_r:container_t:s0",
            "oci linux mountLabel": "own_u:object_r:container_file_t:s0",
            "pause process selinuxLabel": ABSENT,
        },
    ),
    produces(
        f"{CONTEXT}.selinux_options.role",
        "own_r",
        {"oci process selinuxLabel": "system_u:own_r:container_t:s0"},
    ),
    produces(
        f"{CONTEXT}.selinux_options.type",
        "own_t",
        {
            "oci process selinuxLabel": "system_u:system_r:own_t:s0:c1",
            "oci linux mountLabel": "system_u:object_r:container_file_t:s0:c1",
        },
        beside={f"{POD_CONTEXT}.selinux_options.level": "s0:c1"},
    ),
    produces(
        f"{CONTEXT}.selinux_options.level",
        "s0:c3",
        {
            "oci process selinuxLabel": "system_u:system_r:container_t:s0:c3",
            "oci linux mountLabel": "system_u:object_r:container_file_t:s0:c3",
        },
    ),
    produces(
        f"{CONTEXT}.run_as_user.value",
        1000,
        {
            "oci process user": {"uid": 1000, "gid": 1000, "additionalGids": [1000, 70]},
            "oci process env HOME": "/home/app",
            "status user linux": {"uid": "1000", "gid": "1000", "supplemental_groups": ["1000", "70"]},
        },
    ),
    produces(
        f"{CONTEXT}.run_as_group.value",
        38,
        {"oci process user gid": 38, "status user linux gid": "38"},
        beside={f"{CONTEXT}.run_as_user.value": 1000},
    ),
    produces(f"{CONTEXT}.run_as_username", "list", {"oci process user uid": 38, "oci process user gid": 38}),
    produces(
        f"{CONTEXT}.readonly_rootfs",
        True,
        {"oci root readonly": True, "oci mounts /etc/hostname options": Has("ro")},
    ),
    produces(f"{CONTEXT}.supplemental_groups", [71, 72], {"oci process user additionalGids": [0, 71, 72]}),
    produces(
        f"{CONTEXT}.supplemental_groups_policy",
        "Strict",
        {"oci process user additionalGids": [1000]},
        beside={f"{CONTEXT}.run_as_user.value": 1000},
    ),
    produces(f"{CONTEXT}.no_new_privs", True, {"oci process noNewPrivileges": True}),
    produces(
        f"{CONTEXT}.masked_paths",
        ["/proc/x"],
        {"oci linux maskedPaths": ["/proc/x", *DEFAULT_MASKED_PATHS]},
    ),
    produces(f"{CONTEXT}.readonly_paths", ["/proc/y"], {"oci linux readonlyPaths": ["/proc/y"]}),
    produces(
        f"{CONTEXT}.seccomp.profile_type",
        "RuntimeDefault",
        {"oci linux seccomp defaultErrnoRet": 38, "pause linux seccomp": ABSENT},
    ),
    produces(
        f"{CONTEXT}.seccomp.localhost_ref",
        "@/seccomp.json",
        {"oci linux seccomp defaultAction": "SCMP_ACT_LOG"},
        beside={f"{CONTEXT}.seccomp.profile_type": "Localhost"},
    ),
    produces(
        f"{CONTEXT}.apparmor.profile_type",
        "Unconfined",
        {"oci process apparmorProfile": ABSENT},
    ),
    produces(
        f"{CONTEXT}.apparmor.localhost_ref",
        "mine",
        {"oci process apparmorProfile": "mine"},
        beside={f"{CONTEXT}.apparmor.profile_type": "Localhost"},
    ),
    produces(f"{CONTEXT}.apparmor_profile", "localhost/mine", {"oci process apparmorProfile": "mine"}),
    produces(
        f"{CONTEXT}.seccomp_profile_path",
        "localhost/@/seccomp.json",
        {"oci linux seccomp defaultAction": "SCMP_ACT_LOG"},
    ),
]

ROWS = [*POD, *CONTAINER, *CONTAINER_RESOURCES, *SECURITY]


@pytest.mark.parametrize("version", HOSTS)
@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.name)
def test_the_field_arrives_where_it_must(
    row: Row, version: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    machine = Machine(tmp_path / "machine", HOSTS[version])
    without_root(monkeypatch, machine.directory)
    given = {**row.beside, row.name: row.value}
    if version in row.refused_on:
        with pytest.raises(InvalidArgument, match=row.refused_on[version]):
            make(machine, given)
        return
    without, made = make_or_none(machine, row.beside, row.name), make(machine, given)
    expected = {**row.expected, **(row.v1 if version == 1 else row.v2)}
    found = {place: at(made, place) for place in expected}
    assert found == in_directory(expected, machine.directory)
    if not expected:
        assert made == without
    elif row.in_document:
        assert without is None or documents(made) != documents(without)
    else:
        assert without is not None
        assert documents(made) == documents(without)
        assert made != without


def test_every_field_has_one_row() -> None:
    there = [name for root, message in ROOTS.items() for name in leaves(root, message)]
    assert sorted(row.name for row in ROWS) == sorted(there)


@pytest.mark.parametrize("version", HOSTS)
def test_the_cgroup_version_decides_who_has_a_cgroup_namespace(
    version: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    machine = Machine(tmp_path / "machine", HOSTS[version])
    without_root(monkeypatch, machine.directory)
    made = make(machine, {})
    for document in documents(made):
        assert ("cgroup" in document["linux"]["namespaces"]) == (version == 2)


def make(machine: Machine, given: Mapping[str, object]) -> dict[str, Any]:
    """What comes of requests that say the least, and ``given``."""
    requests: dict[str, Any] = {name: {} for name in ROOTS}
    for name, value in in_directory({**BASE, **given}, machine.directory).items():
        root, *path = name.split(".")
        put(requests[root], ROOTS[root], path, value)
    return machine.make(
        ParseDict(requests["pod"], pb.PodSandboxConfig()),
        ParseDict(requests["container"], pb.ContainerConfig()),
    )


def make_or_none(machine: Machine, beside: Mapping[str, object], without: str) -> dict[str, Any] | None:
    """The same without a field; None when it cannot be done without."""
    try:
        return make(machine, {name: value for name, value in beside.items() if name != without})
    except PodwrightError:
        return None


def documents(made: Mapping[str, Any]) -> tuple[Any, Any]:
    return made["oci"], made["pause"]


def put(message: dict[str, Any], descriptor: Descriptor, path: list[str], value: object) -> None:
    """Set a field in a message's JSON form; of a list of messages there is one item."""
    name, *below = path
    if not below:
        message[name] = value
        return
    found = descriptor.fields_by_name[name]
    inner = message.setdefault(name, [{}] if found.is_repeated else {})
    assert found.message_type is not None
    put(inner[0] if found.is_repeated else inner, found.message_type, below, value)


def at(made: object, place: str) -> object:
    """The value at ``place``, ABSENT when there is none; tuples are lists, paths text."""
    for key in place.split():
        if isinstance(made, Mapping) and key in made:
            made = made[key]
        elif isinstance(made, list | tuple) and key.isdecimal():
            made = made[int(key)]
        else:
            return ABSENT
    if isinstance(made, tuple):
        return list(made)
    return str(made) if isinstance(made, Path) else made


def in_directory(value: Any, directory: Path) -> Any:
    """``value`` with the machine's directory for each "@" that begins a path."""
    if isinstance(value, str):
        return value.replace("@/", f"{directory}/")
    if isinstance(value, dict):
        return {key: in_directory(one, directory) for key, one in value.items()}
    return value


def leaves(prefix: str, message: Descriptor) -> Iterator[str]:
    """The dotted names of all fields that are no messages, or that are looked at as wholes."""
    for one in message.fields:
        name, inner = f"{prefix}.{one.name}", one.message_type
        if inner is None or inner.GetOptions().map_entry or name in WHOLE:
            yield name
        elif inner.name not in EXCLUDED:
            yield from leaves(name, inner)
