"""Keys of CRI-O that a configuration may hold without effect, each with its type and the reason.

They load with one warning, so that an existing crio.conf can be used; a key that is neither here nor in the
schema is an error, and so is a value of another type, as in CRI-O. Where the neglect of a key would leave a
node weaker than its file says, the key has a ``Danger``: then the start is refused, with the way out.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from conf.values import Seconds

NOT_YET = "not supported yet"
NOT_NEEDED = "has no counterpart"
DEPRECATED = "deprecated in CRI-O"
GONE = "of earlier releases of CRI-O"
MISPLACED = "CRI-O's own sample prints it here, where it has no effect there either: it belongs in"

ANY_TABLE = "*"  # stands for a name that the user chooses
ANY_KEY = "*"  # every key of the table, and of the tables below it
SELINUX = Path("/sys/fs/selinux/enforce")

_Texts = tuple[str, ...]
_TextTable = Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Danger:
    """Why a key must not be neglected.

    Attributes:
        harmless: Whether a value (already of the key's type) asks for nothing; may look at the disk.
        consequence: What would be weaker, as the end of a sentence.
        way_out: What to write instead.
    """

    harmless: Callable[[Any], bool]
    consequence: str
    way_out: str


@dataclass(frozen=True, slots=True)
class Ignored:
    """A key without effect: the reason, and its type in CRI-O, as conf.values.convert takes it."""

    reason: str
    kind: Any = str
    danger: Danger | None = None

    def __str__(self) -> str:
        return self.reason


def _without_files(path: str) -> bool:
    """Whether a directory is missing, empty, or not named at all."""
    try:
        return not path or next(Path(path).iterdir(), None) is None
    except OSError:
        return not Path(path).exists()


def _without_selinux(_: object) -> bool:
    return not SELINUX.exists()


def _is_off(value: object) -> bool:
    return not value


_VALIDATOR = "changes that plugins make to containers would not be validated"
_MAPPED = "containers would run with the node's own ids"

_CRIO: Mapping[str, Ignored] = {
    "imagestore": Ignored(NOT_YET),
    "storage_driver": Ignored("overlay is the only one"),
    "storage_option": Ignored(NOT_NEEDED, _Texts),
    "version_file": Ignored(NOT_NEEDED),
    "version_file_persist": Ignored(NOT_NEEDED),
    "clean_shutdown_file": Ignored(NOT_NEEDED),
    "internal_wipe": Ignored(NOT_NEEDED, bool),
    "internal_repair": Ignored(NOT_NEEDED, bool),
    "file_locking": Ignored(GONE, Any),
    "file_locking_path": Ignored(GONE, Any),
}

_API: Mapping[str, Ignored] = {
    "tls_cipher_suites": Ignored(
        NOT_YET,
        _Texts,
        Danger(_is_off, "clients could agree on other ciphers", "remove the key, and set tls_min_version"),
    ),
    "host_ip": Ignored(GONE, Any),
    "file_locking": Ignored(GONE, Any),
    "file_locking_path": Ignored(GONE, Any),
}

_RUNTIME: Mapping[str, Ignored] = {
    "decryption_keys_path": Ignored(
        NOT_YET,
        danger=Danger(
            _without_files,
            "encrypted images cannot be read",
            'set it to "" if no pod of this node needs them',
        ),
    ),
    "additional_artifact_stores": Ignored(NOT_YET, _Texts),
    "conmon": Ignored("podwright-monitor takes conmon's place"),
    "conmon_cgroup": Ignored("podwright-monitor takes conmon's place"),
    "conmon_env": Ignored("podwright-monitor takes conmon's place", _Texts),
    "min_injected_gomaxprocs": Ignored(NOT_YET, int),
    "selinux": Ignored(
        NOT_YET,
        bool,
        Danger(
            lambda value: not value or _without_selinux(value),
            "containers of this node, which has SELinux, would run without labels",
            "set it to false in a later file if they may",
        ),
    ),
    "privileged_seccomp_profile": Ignored(
        NOT_YET,
        danger=Danger(
            _is_off, "privileged containers would run without that filter", 'set it to "" if they may'
        ),
    ),
    "blockio_config_file": Ignored(NOT_YET),
    "blockio_reload": Ignored(NOT_YET, bool),
    "irqbalance_config_file": Ignored(NOT_YET),
    "irqbalance_config_restore_file": Ignored(NOT_YET),
    "rdt_config_file": Ignored(NOT_YET),
    "hooks_dir": Ignored(NOT_YET, _Texts),
    "default_mounts": Ignored(DEPRECATED, _Texts),
    "default_mounts_file": Ignored(NOT_YET),
    "log_to_journald": Ignored(NOT_YET, bool),
    "container_exits_dir": Ignored("exit records lie below runroot"),
    "container_attach_socket_dir": Ignored(NOT_NEEDED),
    "bind_mount_prefix": Ignored(NOT_YET),
    "uid_mappings": Ignored(
        DEPRECATED, danger=Danger(_is_off, _MAPPED, "remove the key; pods ask by hostUsers: false")
    ),
    "gid_mappings": Ignored(
        DEPRECATED, danger=Danger(_is_off, _MAPPED, "remove the key; pods ask by hostUsers: false")
    ),
    "minimum_mappable_uid": Ignored(
        DEPRECATED,
        int,
        Danger(lambda value: value < 0, "pods could map lower ids of the node", "set it to -1 if they may"),
    ),
    "minimum_mappable_gid": Ignored(
        DEPRECATED,
        int,
        Danger(lambda value: value < 0, "pods could map lower ids of the node", "set it to -1 if they may"),
    ),
    "infra_ctr_cpuset": Ignored(NOT_YET),
    "shared_cpuset": Ignored(NOT_YET),
    "pinns_path": Ignored("namespaces are pinned without a helper"),
    "enable_criu_support": Ignored(NOT_YET, bool),
    "enable_layer_dedup": Ignored(NOT_YET, bool),
    "separate_pull_cgroup": Ignored(NOT_YET),
    "hostnetwork_disable_selinux": Ignored(
        NOT_YET,
        bool,
        Danger(
            lambda value: value or _without_selinux(value),
            "pods on this node's network would run without SELinux labels",
            "set it to true in a later file if they may",
        ),
    ),
    "manage_network_ns_lifecycle": Ignored(GONE, Any),
    "manage_ns_lifecycle": Ignored(GONE, Any),
    "seccomp_use_default_when_empty": Ignored(GONE, Any),
    "runtime": Ignored(f"{GONE}: handlers are tables of [crio.runtime.runtimes]", Any),
    "runtime_untrusted_workload": Ignored(f"{GONE}: handlers are tables of [crio.runtime.runtimes]", Any),
    "default_workload_trust": Ignored(GONE, Any),
    "hooks_dir_path": Ignored(GONE, Any),
    "enable_shared_pid_namespace": Ignored(f"{GONE}: pods ask by shareProcessNamespace", Any),
}

_BELOW_A_RUNTIME: Mapping[str, Ignored] = {
    key: Ignored(f"{MISPLACED} [crio.runtime]", kind)
    for key, kind in {
        "hostnetwork_disable_selinux": bool,
        "disable_hostport_mapping": bool,
        "timezone": str,
    }.items()
}

_HANDLER: Mapping[str, Ignored] = {
    "runtime_config_path": Ignored(NOT_YET),
    "inherit_default_runtime": Ignored(NOT_YET, bool),
    "monitor_path": Ignored("podwright-monitor takes conmon's place"),
    "monitor_cgroup": Ignored("the one monitor of the node has crio.runtime.monitor_cgroup"),
    "monitor_env": Ignored("podwright-monitor takes conmon's place", _Texts),
    "monitor_exec_cgroup": Ignored("podwright-monitor takes conmon's place", Literal["", "container"]),
    "platform_runtime_paths": Ignored(NOT_YET, _TextTable),
    "runtime_pull_image": Ignored(NOT_YET, bool),
    "container_min_memory": Ignored(NOT_YET),
    "no_sync_log": Ignored(NOT_NEEDED, bool),
    "stream_websockets": Ignored(NOT_NEEDED, bool),
    "exec_cpu_affinity": Ignored(NOT_YET, Literal["", "first"]),
    "allow_userns_annotation": Ignored(f"{GONE}: pods ask by hostUsers: false", Any),
    **_BELOW_A_RUNTIME,
}

_WORKLOAD: Mapping[str, Ignored] = {
    "activation_annotation": Ignored(NOT_YET),
    "annotation_prefix": Ignored(NOT_YET),
    "allowed_annotations": Ignored(NOT_YET, _Texts),
    "resources": Ignored(NOT_YET, Mapping[str, Any]),
    **_BELOW_A_RUNTIME,
    ANY_KEY: Ignored(NOT_YET, Any),
}

_IMAGE: Mapping[str, Ignored] = {
    "default_transport": Ignored(NOT_NEEDED),
    "big_files_temporary_dir": Ignored(NOT_NEEDED),
    "auto_reload_registries": Ignored(NOT_YET, bool),
    "oci_artifact_mount_support": Ignored(NOT_YET, bool),
    "enable_storage_dedup": Ignored(NOT_YET, bool),
    "registries": Ignored("name search registries in registries_conf", _Texts),
}

_NETWORK: Mapping[str, Ignored] = {
    "cni_status_grace_period": Ignored(NOT_YET, Seconds),
    "plugin_dir": Ignored("use plugin_dirs"),
    "included_pod_metrics": Ignored(f"{MISPLACED} [crio.stats]", _Texts),
}

_CHECKPOINT: Mapping[str, Ignored] = {
    "container_level_enabled": Ignored(NOT_YET, Literal["checkpoint_restore", "checkpoint_only", "none"]),
    ANY_KEY: Ignored(NOT_YET, Any),
}

_NRI: Mapping[str, Ignored] = {
    "enable_nri": Ignored(NOT_YET, bool),
    "nri_config_file": Ignored(GONE, Any),
    "nri_listen": Ignored(NOT_YET),
    "nri_plugin_dir": Ignored(NOT_YET),
    "nri_plugin_config_dir": Ignored(NOT_YET),
    "nri_plugin_registration_timeout": Ignored(NOT_YET, Seconds),
    "nri_plugin_request_timeout": Ignored(NOT_YET, Seconds),
    "nri_disable_connections": Ignored(NOT_YET, bool),
    ANY_KEY: Ignored(NOT_YET, Any),
}

_OFF = Danger(_is_off, _VALIDATOR, "remove the key if no plugin is to be validated")
_NRI_VALIDATOR: Mapping[str, Ignored] = {
    "nri_enable_default_validator": Ignored(NOT_YET, bool, _OFF),
    "nri_validator_reject_oci_hook_adjustment": Ignored(NOT_YET, bool, _OFF),
    "nri_validator_reject_runtime_default_seccomp_adjustment": Ignored(NOT_YET, bool, _OFF),
    "nri_validator_reject_unconfined_seccomp_adjustment": Ignored(NOT_YET, bool, _OFF),
    "nri_validator_reject_custom_seccomp_adjustment": Ignored(NOT_YET, bool, _OFF),
    "nri_validator_reject_namespace_adjustment": Ignored(NOT_YET, bool, _OFF),
    "nri_validator_required_plugins": Ignored(NOT_YET, _Texts, _OFF),
    "nri_validator_tolerate_missing_plugins_annotation": Ignored(NOT_YET),
    ANY_KEY: Ignored(NOT_YET, Any, _OFF),
}

UNSUPPORTED: Mapping[tuple[str, ...], Mapping[str, Ignored]] = {
    (): _CRIO,
    ("api",): _API,
    ("runtime",): _RUNTIME,
    ("runtime", "runtimes", ANY_TABLE): _HANDLER,
    ("runtime", "workloads"): {ANY_KEY: Ignored(NOT_YET, Any)},
    ("runtime", "workloads", ANY_TABLE): _WORKLOAD,
    ("image",): _IMAGE,
    ("network",): _NETWORK,
    ("checkpoint_restore",): _CHECKPOINT,
    ("nri",): _NRI,
    ("nri", "default_validator"): _NRI_VALIDATOR,
}
