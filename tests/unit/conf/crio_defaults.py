"""What CRI-O's own sample of each release holds, in the order and below the tables in which it prints it.

Keys, places and values only. A row is (first release 1.N that prints it, table, key, value in TOML); the
table is the one below which the key lands in the file, which is not always the one that CRI-O reads it from.
"""

FIRST, LAST = 30, 37
API, RUNTIME, IMAGE, NETWORK = "crio.api", "crio.runtime", "crio.image", "crio.network"
CRUN = "crio.runtime.runtimes.crun"
METRICS, TRACING, STATS, NRI = "crio.metrics", "crio.tracing", "crio.stats", "crio.nri"
VALIDATOR = "crio.nri.default_validator"
OFF, ON, NONE, EMPTY = "false", "true", "[]", '""'

ROWS: tuple[tuple[int, str, str, str], ...] = (
    (30, "crio", "root", '"/var/lib/containers/storage"'),
    (30, "crio", "runroot", '"/run/containers/storage"'),
    (30, "crio", "imagestore", EMPTY),
    (30, "crio", "storage_driver", '"overlay"'),
    (30, "crio", "storage_option", NONE),
    (30, "crio", "log_dir", '"/var/log/crio/pods"'),
    (30, "crio", "version_file", '"/var/run/crio/version"'),
    (30, "crio", "version_file_persist", EMPTY),
    (30, "crio", "internal_wipe", ON),
    (30, "crio", "internal_repair", ON),
    (30, "crio", "clean_shutdown_file", '"/var/lib/crio/clean.shutdown"'),
    (30, API, "listen", '"/var/run/crio/crio.sock"'),
    (30, API, "stream_address", '"127.0.0.1"'),
    (30, API, "stream_port", '"0"'),
    (30, API, "stream_enable_tls", OFF),
    (30, API, "stream_idle_timeout", EMPTY),
    (30, API, "stream_tls_cert", EMPTY),
    (30, API, "stream_tls_key", EMPTY),
    (30, API, "stream_tls_ca", EMPTY),
    (35, API, "tls_min_version", '"VersionTLS12"'),
    (35, API, "tls_cipher_suites", NONE),
    (30, API, "grpc_max_send_msg_size", "83886080"),
    (30, API, "grpc_max_recv_msg_size", "83886080"),
    (30, RUNTIME, "default_ulimits", NONE),
    (30, RUNTIME, "no_pivot", OFF),
    (30, RUNTIME, "decryption_keys_path", '"/etc/crio/keys/"'),
    (37, RUNTIME, "additional_artifact_stores", NONE),
    (30, RUNTIME, "conmon", EMPTY),
    (30, RUNTIME, "conmon_cgroup", EMPTY),
    (30, RUNTIME, "conmon_env", NONE),
    (30, RUNTIME, "default_env", NONE),
    (36, RUNTIME, "min_injected_gomaxprocs", "0"),
    (30, RUNTIME, "selinux", OFF),
    (30, RUNTIME, "seccomp_profile", EMPTY),
    (30, RUNTIME, "privileged_seccomp_profile", EMPTY),
    (30, RUNTIME, "apparmor_profile", '"crio-default"'),
    (30, RUNTIME, "blockio_config_file", EMPTY),
    (30, RUNTIME, "blockio_reload", OFF),
    (30, RUNTIME, "irqbalance_config_file", '"/etc/sysconfig/irqbalance"'),
    (30, RUNTIME, "irqbalance_config_restore_file", '"/etc/sysconfig/orig_irq_banned_cpus"'),
    (30, RUNTIME, "rdt_config_file", EMPTY),
    (30, RUNTIME, "cgroup_manager", '"systemd"'),
    (30, RUNTIME, "separate_pull_cgroup", EMPTY),
    (30, RUNTIME, "default_capabilities", '["CHOWN", "DAC_OVERRIDE", "FSETID", "FOWNER", "SETGID", "KILL"]'),
    (30, RUNTIME, "add_inheritable_capabilities", OFF),
    (30, RUNTIME, "default_sysctls", NONE),
    (30, RUNTIME, "allowed_devices", '["/dev/fuse", "/dev/net/tun"]'),
    (30, RUNTIME, "additional_devices", NONE),
    (30, RUNTIME, "cdi_spec_dirs", '["/etc/cdi", "/var/run/cdi"]'),
    (30, RUNTIME, "device_ownership_from_security_context", OFF),
    (30, RUNTIME, "hooks_dir", '["/usr/share/containers/oci/hooks.d"]'),
    (30, RUNTIME, "default_mounts_file", EMPTY),
    (30, RUNTIME, "pids_limit", "-1"),
    (30, RUNTIME, "log_size_max", "-1"),
    (30, RUNTIME, "log_to_journald", OFF),
    (30, RUNTIME, "container_exits_dir", '"/var/run/crio/exits"'),
    (30, RUNTIME, "container_attach_socket_dir", '"/var/run/crio"'),
    (30, RUNTIME, "bind_mount_prefix", EMPTY),
    (30, RUNTIME, "read_only", OFF),
    (30, RUNTIME, "log_level", '"info"'),
    (30, RUNTIME, "log_filter", EMPTY),
    (30, RUNTIME, "uid_mappings", EMPTY),
    (30, RUNTIME, "gid_mappings", EMPTY),
    (30, RUNTIME, "minimum_mappable_uid", "-1"),
    (30, RUNTIME, "minimum_mappable_gid", "-1"),
    (30, RUNTIME, "ctr_stop_timeout", "30"),
    (30, RUNTIME, "drop_infra_ctr", ON),
    (30, RUNTIME, "infra_ctr_cpuset", EMPTY),
    (30, RUNTIME, "shared_cpuset", EMPTY),
    (30, RUNTIME, "namespaces_dir", '"/var/run"'),
    (30, RUNTIME, "pinns_path", EMPTY),
    (30, RUNTIME, "enable_criu_support", ON),
    (30, RUNTIME, "enable_pod_events", OFF),
    (37, RUNTIME, "enable_layer_dedup", OFF),
    (30, RUNTIME, "default_runtime", '"crun"'),
    (30, RUNTIME, "absent_mount_sources_to_reject", NONE),
    (30, CRUN, "runtime_path", EMPTY),
    (30, CRUN, "runtime_type", '"oci"'),
    (30, CRUN, "runtime_root", '"/run/crun"'),
    (31, CRUN, "inherit_default_runtime", OFF),
    (30, CRUN, "runtime_config_path", EMPTY),
    (30, CRUN, "container_min_memory", '"12MiB"'),
    (30, CRUN, "monitor_path", '"/usr/libexec/crio/conmon"'),
    (30, CRUN, "monitor_cgroup", '"system.slice"'),
    (30, CRUN, "monitor_exec_cgroup", EMPTY),
    (30, CRUN, "monitor_env", '["PATH=/usr/bin:/bin"]'),
    (30, CRUN, "allowed_annotations", '["io.containers.trace-syscall"]'),
    (30, CRUN, "privileged_without_host_devices", OFF),
    (31, CRUN, "no_sync_log", OFF),
    (32, CRUN, "default_annotations", "{}"),
    (33, CRUN, "stream_websockets", OFF),
    (34, CRUN, "exec_cpu_affinity", EMPTY),
    (34, CRUN, "seccomp_profile", EMPTY),
    (34, CRUN, "container_create_timeout", "240"),
    (34, CRUN, "runtime_pull_image", OFF),
    (30, CRUN, "hostnetwork_disable_selinux", ON),
    (30, CRUN, "disable_hostport_mapping", OFF),
    (30, CRUN, "timezone", EMPTY),
    (30, IMAGE, "default_transport", '"docker://"'),
    (30, IMAGE, "global_auth_file", EMPTY),
    (34, IMAGE, "namespaced_auth_dir", '"/etc/crio/auth"'),
    (30, IMAGE, "pause_image", '"registry.k8s.io/pause:3.9"'),
    (30, IMAGE, "pause_image_auth_file", EMPTY),
    (30, IMAGE, "pause_command", '"/pause"'),
    (30, IMAGE, "pinned_images", NONE),
    (30, IMAGE, "signature_policy", EMPTY),
    (30, IMAGE, "signature_policy_dir", '"/etc/crio/policies"'),
    (30, IMAGE, "insecure_registries", NONE),
    (30, IMAGE, "image_volumes", '"mkdir"'),
    (30, IMAGE, "big_files_temporary_dir", EMPTY),
    (31, IMAGE, "auto_reload_registries", OFF),
    (31, IMAGE, "pull_progress_timeout", '"0s"'),
    (33, IMAGE, "oci_artifact_mount_support", ON),
    (34, IMAGE, "short_name_mode", '"enforcing"'),
    (37, IMAGE, "enable_storage_dedup", OFF),
    (30, NETWORK, "cni_default_network", EMPTY),
    (30, NETWORK, "network_dir", '"/etc/cni/net.d/"'),
    (30, NETWORK, "plugin_dirs", '["/opt/cni/bin/"]'),
    (36, NETWORK, "cni_status_grace_period", '"0s"'),
    (31, NETWORK, "included_pod_metrics", NONE),
    (30, METRICS, "enable_metrics", OFF),
    (30, METRICS, "metrics_collectors", '["operations_total", "image_pulls_bytes_total"]'),
    (30, METRICS, "metrics_host", '"127.0.0.1"'),
    (30, METRICS, "metrics_port", "9090"),
    (30, METRICS, "metrics_socket", EMPTY),
    (30, METRICS, "metrics_cert", EMPTY),
    (30, METRICS, "metrics_key", EMPTY),
    (30, TRACING, "enable_tracing", OFF),
    (30, TRACING, "tracing_endpoint", '"127.0.0.1:4317"'),
    (30, TRACING, "tracing_sampling_rate_per_million", "0"),
    (36, "crio.checkpoint_restore", "container_level_enabled", '"checkpoint_restore"'),
    (30, NRI, "enable_nri", ON),
    (30, NRI, "nri_listen", '"/var/run/nri/nri.sock"'),
    (30, NRI, "nri_plugin_dir", '"/opt/nri/plugins"'),
    (30, NRI, "nri_plugin_config_dir", '"/etc/nri/conf.d"'),
    (30, NRI, "nri_disable_connections", OFF),
    (30, NRI, "nri_plugin_registration_timeout", '"5s"'),
    (30, NRI, "nri_plugin_request_timeout", '"2s"'),
    (34, VALIDATOR, "nri_enable_default_validator", OFF),
    (34, VALIDATOR, "nri_validator_reject_oci_hook_adjustment", OFF),
    (34, VALIDATOR, "nri_validator_reject_runtime_default_seccomp_adjustment", OFF),
    (34, VALIDATOR, "nri_validator_reject_unconfined_seccomp_adjustment", OFF),
    (34, VALIDATOR, "nri_validator_reject_custom_seccomp_adjustment", OFF),
    (34, VALIDATOR, "nri_validator_reject_namespace_adjustment", OFF),
    (34, VALIDATOR, "nri_validator_required_plugins", NONE),
    (34, VALIDATOR, "nri_validator_tolerate_missing_plugins_annotation", EMPTY),
    (30, STATS, "stats_collection_period", "0"),
    (30, STATS, "collection_period", "0"),
)

# What OpenShift puts on its nodes beside that, as drop-ins.
OPENSHIFT = """
[crio]
internal_wipe = true
internal_repair = true
[crio.api]
stream_address = ""
stream_port = "10010"
[crio.runtime]
selinux = true
conmon = ""
conmon_cgroup = "pod"
default_env = ["NSS_SDB_USE_CACHE=no"]
default_runtime = "crun"
log_level = "info"
cgroup_manager = "systemd"
default_sysctls = ["net.ipv4.ping_group_range=0 2147483647"]
hooks_dir = ["/etc/containers/oci/hooks.d", "/run/containers/oci/hooks.d"]
manage_ns_lifecycle = true
absent_mount_sources_to_reject = ["/etc/hostname"]
drop_infra_ctr = true
[crio.runtime.runtimes.runc]
allowed_annotations = ["io.containers.trace-syscall", "io.kubernetes.cri-o.Devices"]
[crio.runtime.runtimes.crun]
runtime_root = "/run/crun"
container_min_memory = "512KiB"
default_annotations = { "run.oci.systemd.subgroup" = "" }
[crio.runtime.workloads.openshift-builder]
activation_annotation = "io.openshift.builder"
allowed_annotations = ["io.kubernetes.cri-o.userns-mode", "io.kubernetes.cri-o.Devices"]
[crio.runtime.workloads.openshift-builder.resources]
[crio.runtime.workloads.management]
activation_annotation = "target.workload.openshift.io/management"
annotation_prefix = "resources.workload.openshift.io"
resources = { "cpushares" = 0, "cpuset" = "0-1" }
[crio.image]
global_auth_file = "/var/lib/kubelet/config.json"
pause_image = "quay.io/openshift/pause:v4"
pause_image_auth_file = "/var/lib/kubelet/config.json"
pause_command = "/usr/bin/pod"
[crio.network]
network_dir = "/etc/kubernetes/cni/net.d/"
plugin_dirs = ["/var/lib/cni/bin", "/usr/libexec/cni"]
[crio.metrics]
enable_metrics = true
metrics_host = "127.0.0.1"
metrics_port = 9537
metrics_collectors = ["operations", "operations_latency_microseconds_total", "containers_oom"]
[crio.tracing]
enable_tracing = true
tracing_sampling_rate_per_million = 100
"""

# Keys of 1.9 to 1.29 that later releases have dropped.
OLD = """
[crio]
file_locking = false
file_locking_path = "/run/crio.lock"
[crio.api]
file_locking = true
host_ip = ["192.0.2.1"]
[crio.runtime]
runtime = "/usr/bin/runc"
runtime_untrusted_workload = ""
default_workload_trust = "trusted"
hooks_dir_path = "/usr/share/containers/oci/hooks.d"
enable_shared_pid_namespace = true
manage_network_ns_lifecycle = true
manage_ns_lifecycle = true
seccomp_use_default_when_empty = true
default_mounts = []
[crio.runtime.runtimes.runc]
allow_userns_annotation = true
[crio.image]
registries = []
[crio.network]
plugin_dir = "/opt/cni/bin/"
[crio.nri]
nri_config_file = "/etc/nri/nri.conf"
"""


def sample(minor: int) -> str:
    """The sample of 1.``minor``, with nothing commented out."""
    lines: list[str] = []
    for since, table, key, value in ROWS:
        if since <= minor:
            header = f"[{table}]"
            lines += [] if header in lines else [header]
            lines.append(f"{key} = {value}")
    return "\n".join(lines) + "\n"
