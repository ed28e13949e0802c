"""Keys of CRI-O that a configuration may hold without effect, each with the reason.

They load with one warning, so that an existing crio.conf can be used; a key that is neither here nor in the
schema is an error.
"""

from collections.abc import Mapping

NOT_YET = "not supported yet"
NOT_NEEDED = "has no counterpart"
DEPRECATED = "deprecated in CRI-O"
GONE = "of earlier releases of CRI-O"

ANY_TABLE = "*"  # stands for a name that the user chooses
ANY_KEY = "*"  # every key of the table, and of the tables below it

_CRIO: Mapping[str, str] = {
    "imagestore": NOT_YET,
    "storage_driver": "overlay is the only one",
    "storage_option": NOT_NEEDED,
    "version_file": NOT_NEEDED,
    "version_file_persist": NOT_NEEDED,
    "clean_shutdown_file": NOT_NEEDED,
    "internal_wipe": NOT_NEEDED,
    "internal_repair": NOT_NEEDED,
    "file_locking": GONE,
    "file_locking_path": GONE,
}

_API: Mapping[str, str] = {"tls_cipher_suites": NOT_YET, "host_ip": GONE}

_RUNTIME: Mapping[str, str] = {
    "decryption_keys_path": NOT_YET,
    "additional_artifact_stores": NOT_YET,
    "conmon": "podwright-monitor takes conmon's place",
    "conmon_cgroup": "podwright-monitor takes conmon's place",
    "conmon_env": "podwright-monitor takes conmon's place",
    "min_injected_gomaxprocs": NOT_YET,
    "selinux": NOT_YET,
    "privileged_seccomp_profile": NOT_YET,
    "blockio_config_file": NOT_YET,
    "blockio_reload": NOT_YET,
    "irqbalance_config_file": NOT_YET,
    "irqbalance_config_restore_file": NOT_YET,
    "rdt_config_file": NOT_YET,
    "hooks_dir": NOT_YET,
    "default_mounts": DEPRECATED,
    "default_mounts_file": NOT_YET,
    "log_to_journald": NOT_YET,
    "container_exits_dir": "exit records lie below runroot",
    "container_attach_socket_dir": NOT_NEEDED,
    "bind_mount_prefix": NOT_YET,
    "log_filter": NOT_YET,
    "uid_mappings": DEPRECATED,
    "gid_mappings": DEPRECATED,
    "minimum_mappable_uid": DEPRECATED,
    "minimum_mappable_gid": DEPRECATED,
    "infra_ctr_cpuset": NOT_YET,
    "shared_cpuset": NOT_YET,
    "pinns_path": "namespaces are pinned without a helper",
    "enable_criu_support": NOT_YET,
    "separate_pull_cgroup": NOT_YET,
    "hostnetwork_disable_selinux": NOT_YET,
    "manage_network_ns_lifecycle": GONE,
    "manage_ns_lifecycle": GONE,
    "seccomp_use_default_when_empty": GONE,
}

_HANDLER: Mapping[str, str] = {
    "runtime_config_path": NOT_YET,
    "inherit_default_runtime": NOT_YET,
    "monitor_path": "podwright-monitor takes conmon's place",
    "monitor_cgroup": "the one monitor of the node has crio.runtime.monitor_cgroup",
    "monitor_env": "podwright-monitor takes conmon's place",
    "monitor_exec_cgroup": "podwright-monitor takes conmon's place",
    "platform_runtime_paths": NOT_YET,
    "runtime_pull_image": NOT_YET,
    "container_min_memory": NOT_YET,
    "no_sync_log": NOT_NEEDED,
    "stream_websockets": NOT_NEEDED,
    "exec_cpu_affinity": NOT_YET,
}

_IMAGE: Mapping[str, str] = {
    "default_transport": NOT_NEEDED,
    "namespaced_auth_dir": NOT_YET,
    "pause_image_auth_file": NOT_YET,
    "signature_policy": "signatures are not verified yet",
    "signature_policy_dir": "signatures are not verified yet",
    "big_files_temporary_dir": NOT_NEEDED,
    "auto_reload_registries": NOT_YET,
    "oci_artifact_mount_support": NOT_YET,
    "registries": "name search registries in registries_conf",
}

_NETWORK: Mapping[str, str] = {"cni_status_grace_period": NOT_YET, "plugin_dir": "use plugin_dirs"}

UNSUPPORTED: Mapping[tuple[str, ...], Mapping[str, str]] = {
    (): _CRIO,
    ("api",): _API,
    ("runtime",): _RUNTIME,
    ("runtime", "runtimes", ANY_TABLE): _HANDLER,
    ("runtime", "workloads"): {ANY_KEY: NOT_YET},
    ("image",): _IMAGE,
    ("network",): _NETWORK,
    ("stats",): {ANY_KEY: "statistics are read when they are asked for"},
    ("checkpoint_restore",): {ANY_KEY: NOT_YET},
    ("tracing",): {ANY_KEY: NOT_YET},
    ("nri",): {ANY_KEY: NOT_YET},
}
