"""CRI messages as the frozen values that spec generation takes. Nothing is judged here, only carried over."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TypeVar

from api.errors import InvalidArgument
from api.runtime.v1 import api_pb2 as pb
from oci.generate import inputs
from oci.generate.paths import DEFAULT_MASKED_PATHS, DEFAULT_READONLY_PATHS

_MODES: Mapping[int, inputs.NamespaceMode] = {
    pb.POD: inputs.NamespaceMode.POD,
    pb.CONTAINER: inputs.NamespaceMode.CONTAINER,
    pb.NODE: inputs.NamespaceMode.NODE,
    pb.TARGET: inputs.NamespaceMode.TARGET,
}
_PROPAGATION: Mapping[int, inputs.Propagation] = {
    pb.PROPAGATION_PRIVATE: inputs.Propagation.PRIVATE,
    pb.PROPAGATION_HOST_TO_CONTAINER: inputs.Propagation.HOST_TO_CONTAINER,
    pb.PROPAGATION_BIDIRECTIONAL: inputs.Propagation.BIDIRECTIONAL,
}
_PROFILES: Mapping[int, inputs.ProfileType] = {
    pb.SecurityProfile.RuntimeDefault: inputs.ProfileType.RUNTIME_DEFAULT,
    pb.SecurityProfile.Unconfined: inputs.ProfileType.UNCONFINED,
    pb.SecurityProfile.Localhost: inputs.ProfileType.LOCALHOST,
}
_GROUPS: Mapping[int, inputs.GroupsPolicy] = {
    pb.Merge: inputs.GroupsPolicy.MERGE,
    pb.Strict: inputs.GroupsPolicy.STRICT,
}

T = TypeVar("T")


class UnknownValue(InvalidArgument):
    """An enumeration has no such value in this version of the CRI."""


def _of(table: Mapping[int, T], value: int, field: str) -> T:
    if value not in table:
        raise UnknownValue(f"{field}: {value} is none of the values {', '.join(map(str, sorted(table)))}")
    return table[value]


def id_mappings(mappings: Sequence[pb.IDMapping]) -> tuple[inputs.IdMapping, ...]:
    return tuple(inputs.IdMapping(m.container_id, m.host_id, m.length) for m in mappings)


def namespace_options(options: pb.NamespaceOption) -> inputs.NamespaceOptions:
    user = None
    if options.HasField("userns_options"):
        asked = options.userns_options
        user = inputs.UserNamespace(
            _of(_MODES, asked.mode, "userns_options.mode"), id_mappings(asked.uids), id_mappings(asked.gids)
        )
    return inputs.NamespaceOptions(
        _of(_MODES, options.network, "namespace_options.network"),
        _of(_MODES, options.pid, "namespace_options.pid"),
        _of(_MODES, options.ipc, "namespace_options.ipc"),
        options.target_id,
        user,
    )


def security_context(context: pb.LinuxContainerSecurityContext) -> inputs.SecurityContext:
    """A container's security context; unset messages become None, since absence has a meaning."""
    capabilities = context.capabilities
    return inputs.SecurityContext(
        capabilities=inputs.Capabilities(
            tuple(capabilities.add_capabilities),
            tuple(capabilities.drop_capabilities),
            tuple(capabilities.add_ambient_capabilities),
        ),
        privileged=context.privileged,
        namespaces=namespace_options(context.namespace_options),
        selinux=_selinux(context),
        run_as_user=context.run_as_user.value if context.HasField("run_as_user") else None,
        run_as_group=context.run_as_group.value if context.HasField("run_as_group") else None,
        run_as_username=context.run_as_username,
        readonly_rootfs=context.readonly_rootfs,
        supplemental_groups=tuple(context.supplemental_groups),
        supplemental_groups_policy=_of(
            _GROUPS, context.supplemental_groups_policy, "supplemental_groups_policy"
        ),
        no_new_privs=context.no_new_privs,
        masked_paths=tuple(context.masked_paths),
        readonly_paths=tuple(context.readonly_paths),
        seccomp=_profile(context.seccomp) if context.HasField("seccomp") else None,
        seccomp_profile_path=context.seccomp_profile_path,
        apparmor=_profile(context.apparmor) if context.HasField("apparmor") else None,
        apparmor_profile=context.apparmor_profile,
    )


def container_security(linux: pb.LinuxContainerConfig) -> inputs.SecurityContext:
    """The security context of a container; a request without one gets the usual masked paths.

    In a message that is there, an empty list means what it says: nothing is masked.
    """
    security = security_context(linux.security_context)
    if linux.HasField("security_context"):
        return security
    return replace(security, masked_paths=DEFAULT_MASKED_PATHS, readonly_paths=DEFAULT_READONLY_PATHS)


def sandbox_security_context(context: pb.LinuxSandboxSecurityContext) -> inputs.SecurityContext:
    """The same for a sandbox, whose message has fewer fields."""
    return inputs.SecurityContext(
        privileged=context.privileged,
        namespaces=namespace_options(context.namespace_options),
        selinux=_selinux(context),
        run_as_user=context.run_as_user.value if context.HasField("run_as_user") else None,
        run_as_group=context.run_as_group.value if context.HasField("run_as_group") else None,
        readonly_rootfs=context.readonly_rootfs,
        supplemental_groups=tuple(context.supplemental_groups),
        supplemental_groups_policy=_of(
            _GROUPS, context.supplemental_groups_policy, "supplemental_groups_policy"
        ),
        seccomp=_profile(context.seccomp) if context.HasField("seccomp") else None,
        seccomp_profile_path=context.seccomp_profile_path,
        apparmor=_profile(context.apparmor) if context.HasField("apparmor") else None,
    )


def _profile(profile: pb.SecurityProfile) -> inputs.SecurityProfile:
    return inputs.SecurityProfile(_of(_PROFILES, profile.profile_type, "profile_type"), profile.localhost_ref)


def _selinux(
    context: pb.LinuxContainerSecurityContext | pb.LinuxSandboxSecurityContext,
) -> inputs.SelinuxOptions | None:
    if not context.HasField("selinux_options"):
        return None
    options = context.selinux_options
    return inputs.SelinuxOptions(options.user, options.role, options.type, options.level)


def resources(message: pb.LinuxContainerResources) -> inputs.Resources:
    return inputs.Resources(
        cpu_period_us=message.cpu_period,
        cpu_quota_us=message.cpu_quota,
        cpu_shares=message.cpu_shares,
        memory_limit_bytes=message.memory_limit_in_bytes,
        memory_swap_limit_bytes=message.memory_swap_limit_in_bytes,
        oom_score_adj=message.oom_score_adj,
        cpuset_cpus=message.cpuset_cpus,
        cpuset_mems=message.cpuset_mems,
        hugepage_limits=tuple(inputs.HugepageLimit(h.page_size, h.limit) for h in message.hugepage_limits),
        unified=dict(message.unified),
    )


def mount(message: pb.Mount, host_path: str) -> inputs.Mount:
    """A mount whose host path has been resolved."""
    return inputs.Mount(
        container_path=message.container_path,
        host_path=host_path,
        readonly=message.readonly,
        selinux_relabel=message.selinux_relabel,
        propagation=_of(_PROPAGATION, message.propagation, f"mounts: {message.container_path}: propagation"),
        uid_mappings=id_mappings(message.uidMappings),
        gid_mappings=id_mappings(message.gidMappings),
        recursive_read_only=message.recursive_read_only,
        mount_options=tuple(message.mount_options),
        source_is_image=message.HasField("image"),
    )


def device(message: pb.Device) -> inputs.Device:
    return inputs.Device(message.container_path, message.host_path, message.permissions)


def environment(entries: Sequence[pb.KeyValue]) -> tuple[tuple[str, str], ...]:
    """Values are bytes in the CRI; what is not UTF-8 survives as surrogates."""
    return tuple((entry.key, entry.value.decode("utf-8", "surrogateescape")) for entry in entries)
