"""What spec generation is told: the CRI's messages as frozen values, and what the host looks like.

Optional CRI messages are ``None`` here when the request has not set them, since absence means something
(no seccomp message is "unconfined", an empty one is "runtime default"). Numbers keep the CRI's rule that
0 is "not set", except where a field says otherwise.

Three groups:
    requests     SecurityContext, Resources, Mount, Device ...: field by field what api.proto has
    wholes       ContainerInput and PauseInput: a request plus what other parts have made ready for it
    views        HostView (gathered once), RuntimeView (per handler), Observed (per container)
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path

from api.errors import InvalidArgument
from api.ids import ContainerId, SandboxId

DEFAULT_CAPABILITIES = (
    "CHOWN",
    "DAC_OVERRIDE",
    "FSETID",
    "FOWNER",
    "SETGID",
    "SETUID",
    "SETPCAP",
    "NET_BIND_SERVICE",
    "KILL",
)


class BadContainer(InvalidArgument):
    """The request asks for what cannot be given; the message has the CRI field and its value."""


class NamespaceMode(StrEnum):
    """api.proto NamespaceMode."""

    POD = "POD"
    CONTAINER = "CONTAINER"
    NODE = "NODE"
    TARGET = "TARGET"


class Propagation(StrEnum):
    """api.proto MountPropagation; the value is the OCI mount option it becomes."""

    PRIVATE = "rprivate"
    HOST_TO_CONTAINER = "rslave"
    BIDIRECTIONAL = "rshared"


class ProfileType(StrEnum):
    """api.proto SecurityProfile.ProfileType."""

    RUNTIME_DEFAULT = "RuntimeDefault"
    UNCONFINED = "Unconfined"
    LOCALHOST = "Localhost"


@dataclass(frozen=True, slots=True)
class SecurityProfile:
    """A seccomp or AppArmor choice; ``localhost_ref`` is a path (seccomp) or a profile name (AppArmor)."""

    type: ProfileType = ProfileType.RUNTIME_DEFAULT
    localhost_ref: str = ""


@dataclass(frozen=True, slots=True)
class IdMapping:
    """``length`` ids from ``container_id`` up are ``host_id`` and up outside; all are 32 bits, unsigned."""

    container_id: int
    host_id: int
    length: int


@dataclass(frozen=True, slots=True)
class UserNamespace:
    """NamespaceOption.userns_options."""

    mode: NamespaceMode = NamespaceMode.POD
    uids: tuple[IdMapping, ...] = ()
    gids: tuple[IdMapping, ...] = ()


@dataclass(frozen=True, slots=True)
class NamespaceOptions:
    """NamespaceOption; ``target_id`` counts only with ``pid`` TARGET."""

    network: NamespaceMode = NamespaceMode.POD
    pid: NamespaceMode = NamespaceMode.POD
    ipc: NamespaceMode = NamespaceMode.POD
    target_id: str = ""
    user: UserNamespace | None = None


@dataclass(frozen=True, slots=True)
class SelinuxOptions:
    """SELinuxOption."""

    user: str = ""
    role: str = ""
    type: str = ""
    level: str = ""


@dataclass(frozen=True, slots=True)
class Capabilities:
    """Capability: names with or without CAP_, any case; ALL is understood in ``add`` and ``drop``."""

    add: tuple[str, ...] = ()
    drop: tuple[str, ...] = ()
    add_ambient: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class HugepageLimit:
    """``page_size`` as the kernel names it: "2MB", "1GB"."""

    page_size: str
    limit_bytes: int


@dataclass(frozen=True, slots=True)
class Resources:
    """LinuxContainerResources; 0 and "" are "not set". Swap is memory plus swap, as in the CRI."""

    cpu_period_us: int = 0
    cpu_quota_us: int = 0
    cpu_shares: int = 0
    memory_limit_bytes: int = 0
    memory_swap_limit_bytes: int = 0
    oom_score_adj: int = 0
    cpuset_cpus: str = ""
    cpuset_mems: str = ""
    hugepage_limits: tuple[HugepageLimit, ...] = ()
    unified: Mapping[str, str] = field(default_factory=dict)


class GroupsPolicy(StrEnum):
    """api.proto SupplementalGroupsPolicy."""

    MERGE = "Merge"
    STRICT = "Strict"


@dataclass(frozen=True, slots=True)
class SecurityContext:
    """LinuxContainerSecurityContext; LinuxSandboxSecurityContext fits in too (it has fewer fields).

    ``seccomp``: None is unconfined. ``apparmor``: None falls back to the old ``apparmor_profile`` text.
    """

    capabilities: Capabilities = Capabilities()
    privileged: bool = False
    namespaces: NamespaceOptions = NamespaceOptions()
    selinux: SelinuxOptions | None = None
    run_as_user: int | None = None
    run_as_group: int | None = None
    run_as_username: str = ""
    readonly_rootfs: bool = False
    supplemental_groups: tuple[int, ...] = ()
    supplemental_groups_policy: GroupsPolicy = GroupsPolicy.MERGE
    no_new_privs: bool = False
    masked_paths: tuple[str, ...] = ()
    readonly_paths: tuple[str, ...] = ()
    seccomp: SecurityProfile | None = None
    seccomp_profile_path: str = ""
    apparmor: SecurityProfile | None = None
    apparmor_profile: str = ""


@dataclass(frozen=True, slots=True)
class Mount:
    """Mount. ``host_path`` is final: links resolved, missing directories made, images mounted by the caller.

    ``source_is_image`` says that ``host_path`` is an image volume; those must be read-only.
    ``prepared_path`` is a copy of its mount that the caller made as asked for where the runtime cannot:
    bound in its place.
    """

    container_path: str
    host_path: str
    readonly: bool = False
    selinux_relabel: bool = False
    propagation: Propagation = Propagation.PRIVATE
    uid_mappings: tuple[IdMapping, ...] = ()
    gid_mappings: tuple[IdMapping, ...] = ()
    recursive_read_only: bool = False
    mount_options: tuple[str, ...] = ()
    source_is_image: bool = False
    prepared_path: str = ""


@dataclass(frozen=True, slots=True)
class Device:
    """Device: ``host_path`` is a device node or a directory of them, ``permissions`` a subset of "rwm"."""

    container_path: str
    host_path: str
    permissions: str = "rwm"


@dataclass(frozen=True, slots=True)
class ImageDefaults:
    """What the image's configuration contributes (image-spec config.md)."""

    env: tuple[str, ...] = ()
    entrypoint: tuple[str, ...] = ()
    cmd: tuple[str, ...] = ()
    working_dir: str = ""
    user: str = ""
    volumes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Identity:
    """Who the process runs as, numbers only; made by identity.resolve().

    ``additional_gids`` is exact and includes the primary group, as ContainerStatus.user reports it.
    ``passwd_line`` is what /etc/passwd of the container lacks for ``uid`` ("" when there is a line).
    """

    uid: int = 0
    gid: int = 0
    additional_gids: tuple[int, ...] = ()
    home: str = "/"
    username: str = ""
    passwd_line: str = ""
    group_line: str = ""


@dataclass(frozen=True, slots=True)
class Ulimit:
    """One of default_ulimits; ``name`` such as "nofile", -1 is unlimited."""

    name: str
    soft: int
    hard: int


@dataclass(frozen=True, slots=True)
class Defaults:
    """What configuration adds to every container (conf: [crio.runtime] and the handler's table).

    ``seccomp_profile`` is the parsed JSON of RuntimeDefault (conf.seccomp); the privileged one likewise.
    ``apparmor_profile`` is the name of the loaded default profile, "" or "unconfined" for none.
    ``allowed_annotations`` are prefixes of the annotations of a request that reach the OCI runtime;
    ``annotations`` hold where no such one has the same name.
    ``localhost_seccomp`` holds the parsed files of Localhost profiles by path: the caller reads, we judge.
    """

    env: tuple[str, ...] = ()
    capabilities: tuple[str, ...] = DEFAULT_CAPABILITIES
    add_inheritable_capabilities: bool = False
    ulimits: tuple[Ulimit, ...] = ()
    pids_limit: int = 0
    devices: tuple[Device, ...] = ()
    device_ownership_from_security_context: bool = False
    read_only: bool = False
    privileged_without_host_devices: bool = False
    seccomp_profile: Mapping[str, object] | None = None
    privileged_seccomp_profile: Mapping[str, object] | None = None
    localhost_seccomp: Mapping[str, Mapping[str, object]] = field(default_factory=dict)
    apparmor_profile: str = ""
    timezone_file: str = ""
    allowed_annotations: tuple[str, ...] = ()
    annotations: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class SandboxView:
    """The pod as its containers see it.

    ``namespaces`` has the pinned files by OCI type ("network", "ipc", "uts", "user"); a type that is missing
    is the host's. ``pause_pid`` is the PID 1 of a shared PID namespace, ``target_pid`` the process whose
    namespace TARGET asks for. Files are None when the pod has none to offer.
    """

    id: SandboxId
    namespaces: Mapping[str, Path] = field(default_factory=dict)
    pause_pid: int | None = None
    target_pid: int | None = None
    hostname: str = ""
    shm_path: Path | None = None
    resolv_conf: Path | None = None
    hostname_file: Path | None = None
    hosts_file: Path | None = None
    cgroup_parent: str = ""
    uid_mappings: tuple[IdMapping, ...] = ()
    gid_mappings: tuple[IdMapping, ...] = ()
    selinux_process_label: str = ""
    selinux_mount_label: str = ""
    name: str = ""
    namespace: str = ""
    uid: str = ""


@dataclass(frozen=True, slots=True)
class ContainerInput:
    """Everything about one container. ``env`` keeps the request's order; values are text without NUL.

    ``cgroups_path`` is the OCI linux.cgroupsPath: absolute for cgroupfs, slice:prefix:name for systemd.
    ``rootfs`` is the mounted root; ``passwd_file``/``group_file`` replace the container's own when set.
    """

    id: ContainerId
    sandbox: SandboxView
    rootfs: Path
    cgroups_path: str
    identity: Identity = Identity()
    name: str = ""
    image: ImageDefaults = ImageDefaults()
    image_name: str = ""
    command: tuple[str, ...] = ()
    args: tuple[str, ...] = ()
    working_dir: str = ""
    env: tuple[tuple[str, str], ...] = ()
    mounts: tuple[Mount, ...] = ()
    volumes: tuple[Mount, ...] = ()
    devices: tuple[Device, ...] = ()
    annotations: Mapping[str, str] = field(default_factory=dict)
    tty: bool = False
    security: SecurityContext = SecurityContext()
    resources: Resources | None = None
    defaults: Defaults = Defaults()
    passwd_file: Path | None = None
    group_file: Path | None = None
    containerenv_file: Path | None = None  # empty: programs find out by it that they are in a container


@dataclass(frozen=True, slots=True)
class PauseInput:
    """The sandbox's own container, PID 1 of the pod when its PID namespace is shared.

    ``namespaces`` as in SandboxView; ``args`` is the pause program inside ``rootfs``. Sysctls are not here:
    pinned namespaces have theirs already (host.namespaces.pin).
    """

    id: SandboxId
    rootfs: Path
    cgroups_path: str
    args: tuple[str, ...] = ("/pause",)
    namespaces: Mapping[str, Path] = field(default_factory=dict)
    hostname: str = ""
    security: SecurityContext = SecurityContext()
    defaults: Defaults = Defaults()
    annotations: Mapping[str, str] = field(default_factory=dict)
    shm_path: Path | None = None
    uid_mappings: tuple[IdMapping, ...] = ()
    gid_mappings: tuple[IdMapping, ...] = ()
    selinux_process_label: str = ""
    selinux_mount_label: str = ""
    cpuset_cpus: str = ""
    env: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class DeviceNode:
    """A node as stat shows it; ``kind`` is "c" or "b", ``mode`` the permission bits."""

    path: str
    kind: str
    major: int
    minor: int
    mode: int = 0o660
    uid: int = 0
    gid: int = 0


@dataclass(frozen=True, slots=True)
class MountPoint:
    """A line of mountinfo that matters here; ``shared`` and ``slave`` from its optional fields."""

    path: str
    shared: bool = False
    slave: bool = False


@dataclass(frozen=True, slots=True)
class HostView:
    """What this host allows; gathered once (oci.hostview.gather).

    ``capabilities`` is the daemon's own bounding set as CAP_ names: "ALL" means these.
    ``oom_score_adj_floor`` is the lowest value that may be set, ``rlimit_ceilings`` the hard limits by OCI
    name that may not be passed. ``architecture`` is ``os.uname().machine``.
    """

    cgroup_version: int = 1
    capabilities: frozenset[str] = frozenset()
    oom_score_adj_floor: int = -1000
    rlimit_ceilings: Mapping[str, int] = field(default_factory=dict)
    seccomp: bool = True
    apparmor: bool = False
    selinux: bool = False
    swap_accounting: bool = True
    hugepage_sizes: frozenset[str] = frozenset()
    kernel_recursive_readonly: bool = True
    kernel_idmapped_mounts: bool = True
    architecture: str = "x86_64"


@dataclass(frozen=True, slots=True)
class RuntimeView:
    """What the handler's OCI runtime can do by itself."""

    recursive_readonly: bool = True
    idmapped_mounts: bool = True
    is_vm: bool = False


@dataclass(frozen=True, slots=True)
class Observed:
    """What had to be looked up for one container (oci.hostview.observe).

    ``device_nodes``: the nodes found at or below each requested device path. ``host_devices``: all of /dev,
    for a privileged container. ``mount_points``: needed when a mount propagates.
    """

    device_nodes: Mapping[str, tuple[DeviceNode, ...]] = field(default_factory=dict)
    host_devices: tuple[DeviceNode, ...] = ()
    mount_points: tuple[MountPoint, ...] = ()
