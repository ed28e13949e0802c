"""Every option that Podwright honours: name, type, default, unit and help, once.

The tables and keys are CRI-O's, ``[crio.runtime]`` or ``[runtime]``; defaults are Podwright's own. Keys of
CRI-O that are not here are in conf/unsupported.py. A new option is one line in its table: the reading of
files, the check of its type, ``--set``, the sample file and the list of differences all follow from it.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import Literal

from conf.options import option
from conf.values import Assignment, DeviceRule, Port, Seconds, Ulimit

LogLevel = Literal["trace", "debug", "info", "warn", "warning", "error", "fatal", "panic"]
NOTHING: Mapping[str, str] = MappingProxyType({})


@dataclass(frozen=True, slots=True)
class ApiTable:
    """[crio.api]: the CRI socket and the streaming server."""

    listen: Path = option(
        Path("/run/podwright/podwright.sock"),
        "Unix socket of the CRI services, mode 0660. The kubelet takes its statistics elsewhere when this "
        "path ends in run/crio/crio.sock.",
    )
    socket_group: str = option(
        "",
        "Group that the socket belongs to; its members can do on this node what root can. Empty: root's.",
        own=True,
    )
    inspection_socket: Path | None = option(
        None,
        "Unix socket of what podwright status asks, HTTP with the paths of CRI-O's own, for root alone; "
        "empty: inspect.sock below runroot. Tools that know CRI-O alone find it as /var/run/crio/crio.sock.",
        own=True,
    )
    stream_address: str = option(
        "127.0.0.1",
        "Address of the server for exec, attach and port-forward. The kubelet of this node connects to it. "
        "Empty: all addresses.",
    )
    stream_port: Port = option(Port(0), "Port of the streaming server; 0 takes a free one.")
    stream_host_names: tuple[str, ...] = option(
        (),
        "Names and addresses that the Host of a streaming request may have, without port; others are "
        "refused. The kubelet passes on the Host by which it was asked itself. Empty: any.",
        own=True,
    )
    stream_enable_tls: bool = option(False, "Serve streaming over TLS.")
    stream_tls_cert: Path | None = option(None, "Certificate of the streaming server, PEM.")
    stream_tls_key: Path | None = option(None, "Key of the streaming server's certificate, PEM.")
    stream_tls_ca: Path | None = option(
        None, "Authority of client certificates, PEM; when set, clients must present one."
    )
    stream_idle_timeout: Seconds = option(
        Seconds(4 * 3600.0), "A stream without traffic is cut after this time; 0 means never.", unit="s"
    )
    tls_min_version: Literal["VersionTLS12", "VersionTLS13"] = option(
        "VersionTLS12", "Oldest version of TLS that the streaming and metrics servers accept."
    )
    grpc_max_send_msg_size: int = option(
        80 << 20, "Largest answer; 0 or less means the default. Clients accept 16 MiB.", unit="bytes"
    )
    grpc_max_recv_msg_size: int = option(
        80 << 20, "Largest request; 0 or less means the default.", unit="bytes"
    )


@dataclass(frozen=True, slots=True)
class RuntimeHandler:
    """[crio.runtime.runtimes.NAME]: an OCI runtime that pods may name as their handler."""

    runtime_path: Path | None = option(
        None, "The runtime's binary; when empty, NAME is looked up in PATH.", reload=True
    )
    runtime_type: Literal["oci", "pod", "vm"] = option(
        "oci",
        'How the runtime is driven. "pod" is treated as "oci"; handlers of type "vm" are not supported yet '
        "and left out.",
    )
    runtime_root: Path | None = option(
        None, "The runtime's state directory (--root); when empty, one below runroot."
    )
    privileged_without_host_devices: bool = option(
        False, "Privileged containers do not get the node's devices.", reload=True
    )
    allowed_annotations: tuple[str, ...] = option(
        (),
        "Beginnings of the names of pod annotations that this handler's runtime gets to see, and of those "
        "with an effect on the node that are honoured (devices.crio.io). No other reaches the runtime.",
        reload=True,
    )
    default_annotations: Mapping[str, str] = option(
        NOTHING, "Annotations that a pod of this handler has unless it says otherwise.", reload=True
    )
    container_create_timeout: Seconds = option(
        Seconds(240.0), "Time for the runtime's create command, 30 seconds at least.", unit="s", reload=True
    )
    seccomp_profile: Path | None = option(
        None,
        "Seccomp profile that RuntimeDefault means with this handler; empty: that of [crio.runtime].",
        reload=True,
    )


NO_HANDLERS: Mapping[str, RuntimeHandler] = MappingProxyType({})


@dataclass(frozen=True, slots=True)
class RuntimeTable:
    """[crio.runtime]: how containers are made."""

    default_runtime: str = option(
        "",
        "Handler of pods that name none. When empty, the first of crun and runc that is found, else "
        "podwright, the daemon's own runtime.",
    )
    runtimes: Mapping[str, RuntimeHandler] = field(default_factory=lambda: NO_HANDLERS)
    cgroup_manager: Literal["auto", "systemd", "cgroupfs"] = option(
        "auto",
        'Who makes cgroups; "auto" is systemd where it runs the machine and cgroup version 2 alone is '
        "mounted, and cgroupfs elsewhere. The kubelet is told which one is used and follows.",
    )
    no_pivot: bool = option(
        False, "Containers change root by MS_MOVE instead of pivot_root, for nodes on a ramdisk."
    )
    namespaces_dir: Path | None = option(
        None, "Where namespaces are pinned; when empty, a directory below runroot."
    )
    drop_infra_ctr: bool = option(
        True, "Start no pause process, unless the containers of a pod share their PID namespace."
    )
    default_env: tuple[Assignment, ...] = option(
        (), "Environment of every container, as NAME=value; image and pod may replace it."
    )
    default_ulimits: tuple[Ulimit, ...] = option((), "Resource limits of every container, as name=soft:hard.")
    default_capabilities: tuple[str, ...] = option(
        (
            "CHOWN",
            "DAC_OVERRIDE",
            "FSETID",
            "FOWNER",
            "SETGID",
            "SETUID",
            "SETPCAP",
            "NET_BIND_SERVICE",
            "KILL",
        ),
        "Capabilities of a container whose pod says nothing about them.",
    )
    add_inheritable_capabilities: bool = option(False, "Make the capabilities inheritable too.")
    default_sysctls: tuple[Assignment, ...] = option(
        (), "Sysctls of every pod, as name=value; left out where the pod uses the node's namespace."
    )
    allowed_devices: tuple[Path, ...] = option(
        (Path("/dev/fuse"), Path("/dev/net/tun")),
        "Devices that pods may ask for by annotation, where the handler's allowed_annotations name it.",
    )
    additional_devices: tuple[DeviceRule, ...] = option(
        (), "Devices of every container, as /dev/host[:/dev/container][:rwm]."
    )
    cdi_spec_dirs: tuple[Path, ...] = option(
        (Path("/etc/cdi"), Path("/var/run/cdi")),
        "Directories of CDI files, read when a container asks for such a device; the last has precedence.",
        reload=True,
    )
    device_ownership_from_security_context: bool = option(
        False, "Device nodes in a container belong to the container's user and group."
    )
    pod_files_size: int = option(
        256 << 10,
        "Size of the tmpfs for files of one pod that its containers may write to: hostname, resolv.conf.",
        unit="bytes",
        own=True,
    )
    pids_limit: int = option(-1, "Most processes in a container; -1 leaves it to the kubelet.")
    log_size_max: int = option(
        -1, "A container's log is begun anew at this size; -1 leaves it to the kubelet.", unit="bytes"
    )
    log_rate_max: int = option(
        0,
        "Most bytes a second that are read of a container's output; who prints more waits. 0 means no limit.",
        unit="bytes",
        own=True,
    )
    log_timeout_s: Seconds = option(
        Seconds(10.0),
        "Time for a log's file system to open a log, and to take what is left of it when its container ends: "
        "that is told then, and the rest written when it can be.",
        unit="s",
        own=True,
    )
    read_only: bool = option(
        False, "Root file systems of all containers are read-only, with a tmpfs on /run, /tmp and /var/tmp."
    )
    seccomp_profile: Path | None = option(
        None, "Seccomp profile that RuntimeDefault means; empty: the built-in one.", reload=True
    )
    apparmor_profile: str = option(
        "podwright-default",
        "AppArmor profile that RuntimeDefault means. podwright-default and crio-default are built in and "
        "loaded at start, others must be loaded. Empty or unconfined: none.",
        reload=True,
    )
    absent_mount_sources_to_reject: tuple[Path, ...] = option(
        (), "Sources of mounts that must exist: they are not made as directories when missing."
    )
    disable_hostport_mapping: bool = option(False, "Leave host ports to the CNI plugins altogether.")
    timezone: str = option("", 'Time zone of containers: empty for none, "Local" for the node\'s, or a name.')
    enable_pod_events: bool = option(False, "Serve GetContainerEvents.")
    ctr_stop_timeout: Seconds = option(
        Seconds(30.0),
        "How long processes may outlive SIGKILL before their stop fails: they then sleep in the kernel. "
        "30 seconds at least.",
        unit="s",
        reload=True,
    )
    log_level: LogLevel = option("info", "Least severe messages to log.", reload=True)
    log_filter: str = option(
        "", "Regular expression: only messages in which it is found are logged. Empty: all.", reload=True
    )
    log_format: Literal["text", "json", "journald"] = option(
        "text",
        "Form of the log: key=value text or JSON on standard error; or systemd-journald's, with fields.",
        own=True,
    )
    monitor_scope: Literal["node", "pod"] = option(
        "node", 'One monitor process for the node. "pod" is not supported yet.', own=True
    )
    monitor_cgroup: str = option(
        "system.slice",
        "Slice of the monitor's own scope, podwright-monitor.scope, where systemd runs the machine.",
        own=True,
    )
    cgroup_prefix: str = option(
        "podwright",
        "How names of the cgroups and scopes of containers begin, before a dash and the id. Tools that know "
        'containers by these names alone find them as "crio" or "cri-containerd".',
        own=True,
    )
    slow_operation_seconds: Seconds = option(
        Seconds(5.0), "A request that takes longer is logged with its steps.", unit="s", own=True
    )
    timeline_size: int = option(
        16 << 20,
        "Memory for operations that have ended, more than a day's of a busy node: what podwright "
        "timeline and why look at. 0 keeps but the last few.",
        unit="bytes",
        own=True,
    )
    runtime_command_timeout_s: Seconds = option(
        Seconds(60.0), "Time for any command of an OCI runtime other than create.", unit="s", own=True
    )
    monitor_timeout_s: Seconds = option(
        Seconds(30.0),
        "Time for the monitor to start and to answer what needs no runtime.",
        unit="s",
        own=True,
    )
    drain_timeout_s: Seconds = option(
        Seconds(20.0),
        "How long running requests may go on when the daemon is told to end; then they are undone.",
        unit="s",
        own=True,
    )


@dataclass(frozen=True, slots=True)
class ImageTable:
    """[crio.image]: where images come from."""

    global_auth_file: Path | None = option(
        None, "Registry credentials (auth.json) for all pulls; read at each.", reload=True
    )
    namespaced_auth_dir: Path | None = option(
        Path("/etc/crio/auth"),
        "Where a credential provider leaves NAMESPACE-SHA256.json for one pull; taken and removed by it.",
        reload=True,
    )
    pause_image_auth_file: Path | None = option(
        None, "Registry credentials (auth.json) for the pause image alone.", reload=True
    )
    signature_policy: Path | None = option(
        None,
        "What must be signed, by whom (policy.json): for pulls instead of /etc/containers/policy.json, and "
        "for containers when they are created.",
        reload=True,
    )
    signature_policy_dir: Path | None = option(
        Path("/etc/crio/policies"),
        "Directory of <namespace>.json: each stands in for signature_policy in pods of that namespace.",
        reload=True,
    )
    pause_image: str = option("", "Image of the pause process; when empty, a built-in program.", reload=True)
    pause_command: str = option(
        "/pause", "Program in the pause image; empty: what the image itself says.", reload=True
    )
    pinned_images: tuple[str, ...] = option(
        (),
        "Images that the kubelet must not collect: a whole name, a beginning (name*) or a part (*part*).",
        reload=True,
    )
    image_volumes: Literal["mkdir", "bind", "ignore"] = option(
        "mkdir",
        "What becomes of the VOLUMEs of an image: a directory in the container, a volume, or nothing.",
    )
    short_name_mode: Literal["enforcing", "disabled"] = option(
        "enforcing", "Refuse an ambiguous short image name, or try the search registries in turn."
    )
    insecure_registries: tuple[str, ...] = option(
        (), "Registries, as host[:port], that are spoken to without verified TLS or over plain HTTP."
    )
    pull_progress_timeout: Seconds = option(
        Seconds(60.0),
        "A connection to a registry that brings nothing for this time is begun anew, a few times; "
        "0 means never.",
        unit="s",
    )
    pull_minimum_rate: int = option(
        1024,
        "Fewest bytes a second that a registry must bring over pull_progress_timeout; slower connections are "
        "begun anew, a few times. 0: no bound.",
        unit="bytes",
        own=True,
    )
    pull_connections: int = option(
        4,
        "Connections over which a layer of 64 MiB and more comes, where the registry can do that; each holds "
        "8 MiB in memory. 1: one as for small layers.",
        own=True,
    )
    pull_deadline: Seconds = option(
        Seconds(6 * 3600.0),
        "Time for a whole pull; one that is not done then is undone. 0 means no bound.",
        unit="s",
        reload=True,
        own=True,
    )
    pull_abandoned_timeout: Seconds = option(
        Seconds(120.0),
        "How long a pull goes on whose callers have all gone, unless one comes back.",
        unit="s",
        reload=True,
        own=True,
    )
    registries_conf: Path = option(
        Path("/etc/containers/registries.conf"), "Mirrors, blocked registries and search list.", reload=True
    )
    registries_conf_dir: Path | None = option(
        None, "Drop-in directory of registries_conf; when empty, its path with .d added.", reload=True
    )


@dataclass(frozen=True, slots=True)
class NetworkTable:
    """[crio.network]: CNI."""

    cni_default_network: str = option(
        "", "Name of the network for pods; when empty, the first of network_dir."
    )
    network_dir: Path = option(Path("/etc/cni/net.d"), "Directory of the CNI configurations; watched.")
    plugin_dirs: tuple[Path, ...] = option(
        (Path("/opt/cni/bin"), Path("/usr/lib/cni")),
        "Directories of the CNI plugins, searched in order; watched.",
    )
    builtin_plugins: Literal["auto", "always", "never"] = option(
        "auto",
        "Use of the plugins that are built in. auto: where a configuration names one of them it runs inside "
        "the daemon unless only the binary can do what it asks; always: no binary in its place; never: the "
        "binaries are run.",
        own=True,
    )
    cni_add_timeout_s: Seconds = option(
        Seconds(300.0), "Time for attaching a pod to its network.", unit="s", own=True
    )
    cni_del_timeout_s: Seconds = option(
        Seconds(60.0), "Time for detaching a pod from its network.", unit="s", own=True
    )


@dataclass(frozen=True, slots=True)
class MetricsTable:
    """[crio.metrics]: the Prometheus endpoint."""

    enable_metrics: bool = option(False, "Serve metrics over HTTP, or over TLS where metrics_cert is set.")
    enable_page: bool = option(
        False,
        "Serve a page about this node at /ui/ beside the metrics, by the same address and certificate. It "
        "shows names of pods and images and texts of errors to whoever can connect.",
        own=True,
    )
    metrics_collectors: tuple[str, ...] = option(
        (), "Names of the metrics to serve, with or without container_runtime_crio_; empty: all."
    )
    metrics_host: str = option("127.0.0.1", "Address of the metrics server.")
    metrics_port: Port = option(Port(9090), "Port of the metrics server.")
    metrics_socket: Path | None = option(None, "Unix socket that serves the metrics too.")
    metrics_cert: Path | None = option(None, "Certificate of the metrics server, PEM.")
    metrics_key: Path | None = option(None, "Key of the metrics server's certificate, PEM.")


@dataclass(frozen=True, slots=True)
class TracingTable:
    """[crio.tracing]: spans for OpenTelemetry; needs the optional packages of podwright[tracing]."""

    enable_tracing: bool = option(False, "Send spans of calls, operations and their steps.")
    tracing_endpoint: str = option("127.0.0.1:4317", "Collector of OTLP, by gRPC without TLS, as host:port.")
    tracing_sampling_rate_per_million: int = option(
        0,
        "How many of a million calls whose caller says nothing of tracing are traced; what a caller traces "
        "always is.",
    )


@dataclass(frozen=True, slots=True)
class StatsTable:
    """[crio.stats]: what pods and containers use, as the kubelet asks for it."""

    collection_period: int = option(
        0,
        "How often statistics and metrics of pods are collected; requests are answered from what was "
        "collected last. 0: they are read when they are asked for.",
        unit="s",
    )
    stats_collection_period: int = option(
        0, "The same for statistics alone, where collection_period is 0.", unit="s"
    )
    pod_sandbox_metrics_collection_period: int = option(
        0, "The same for metrics alone, where collection_period is 0.", unit="s"
    )
    included_pod_metrics: tuple[str, ...] = option(
        (),
        "Groups of the metrics that ListPodSandboxMetrics gives, for a kubelet with the feature gate "
        "PodAndContainerStatsFromCRI: cpu, disk, diskIO, hugetlb, memory, network, oom, pressure, process "
        'and spec, or "all". Empty: container_last_seen alone.',
    )

    @property
    def collects(self) -> bool:
        """Whether anything is collected before it is asked for."""
        periods = (self.stats_collection_period, self.pod_sandbox_metrics_collection_period)
        return any((self.collection_period, *periods))


@dataclass(frozen=True, slots=True)
class Config:
    """The whole configuration; without arguments, the defaults. Top-level options are those of [crio]."""

    root: Path = option(Path("/var/lib/podwright"), "Images, layers and writable layers: kept over a reboot.")
    runroot: Path = option(
        Path("/run/podwright"), "Records, namespaces and sockets: on a tmpfs, gone after a reboot."
    )
    reserve_size: int = option(
        4 << 20,
        "Room that is kept on root and on runroot for removing things when they are full, at most a 16th of "
        "each; 0 keeps none.",
        unit="bytes",
        own=True,
    )
    log_dir: Path = option(
        Path("/var/log/podwright/pods"), "Container logs of pods that come without a log directory."
    )
    api: ApiTable = field(default_factory=ApiTable)
    runtime: RuntimeTable = field(default_factory=RuntimeTable)
    image: ImageTable = field(default_factory=ImageTable)
    network: NetworkTable = field(default_factory=NetworkTable)
    metrics: MetricsTable = field(default_factory=MetricsTable)
    tracing: TracingTable = field(default_factory=TracingTable)
    stats: StatsTable = field(default_factory=StatsTable)
