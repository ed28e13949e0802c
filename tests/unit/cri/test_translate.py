"""CRI messages carried over to spec generation: absence stays absence."""

import pytest

from api.runtime.v1 import api_pb2 as pb
from cri import translate
from oci.generate import inputs


def test_an_empty_context_asks_for_nothing() -> None:
    context = translate.security_context(pb.LinuxContainerSecurityContext())
    assert context == inputs.SecurityContext()
    assert context.seccomp is None
    assert context.run_as_user is None


def test_user_zero_and_an_empty_seccomp_message_are_not_absence() -> None:
    message = pb.LinuxContainerSecurityContext(
        run_as_user=pb.Int64Value(value=0), seccomp=pb.SecurityProfile()
    )
    context = translate.security_context(message)
    assert context.run_as_user == 0
    assert context.seccomp == inputs.SecurityProfile(inputs.ProfileType.RUNTIME_DEFAULT)


@pytest.mark.parametrize(
    ("mode", "expected"),
    [
        (pb.POD, inputs.NamespaceMode.POD),
        (pb.CONTAINER, inputs.NamespaceMode.CONTAINER),
        (pb.NODE, inputs.NamespaceMode.NODE),
        (pb.TARGET, inputs.NamespaceMode.TARGET),
    ],
)
def test_namespace_modes(mode: pb.NamespaceMode.ValueType, expected: inputs.NamespaceMode) -> None:
    assert translate.namespace_options(pb.NamespaceOption(pid=mode)).pid is expected


def test_host_ids_are_unsigned() -> None:
    mapping = pb.IDMapping(container_id=0, host_id=3949199360, length=65536)
    userns = pb.UserNamespace(mode=pb.POD, uids=[mapping], gids=[mapping])
    user = translate.namespace_options(pb.NamespaceOption(userns_options=userns)).user
    assert user is not None
    assert user.uids == (inputs.IdMapping(0, 3949199360, 65536),)


def test_a_mount_keeps_every_field() -> None:
    message = pb.Mount(
        container_path="/c",
        host_path="/link",
        readonly=True,
        selinux_relabel=True,
        propagation=pb.PROPAGATION_BIDIRECTIONAL,
        recursive_read_only=True,
        mount_options=["noexec"],
        uidMappings=[pb.IDMapping(host_id=1, length=2)],
    )
    assert translate.mount(message, "/real") == inputs.Mount(
        container_path="/c",
        host_path="/real",
        readonly=True,
        selinux_relabel=True,
        propagation=inputs.Propagation.BIDIRECTIONAL,
        uid_mappings=(inputs.IdMapping(0, 1, 2),),
        recursive_read_only=True,
        mount_options=("noexec",),
    )


def test_environment_bytes_that_are_no_text_survive() -> None:
    (entry,) = translate.environment([pb.KeyValue(key="K", value=b"\xff")])
    assert entry[1].encode("utf-8", "surrogateescape") == b"\xff"


def test_resources_keep_every_field() -> None:
    message = pb.LinuxContainerResources(
        cpu_period=1,
        cpu_quota=2,
        cpu_shares=3,
        memory_limit_in_bytes=4,
        oom_score_adj=5,
        cpuset_cpus="0",
        cpuset_mems="1",
        hugepage_limits=[pb.HugepageLimit(page_size="2MB", limit=6)],
        unified={"memory.high": "7"},
        memory_swap_limit_in_bytes=8,
    )
    assert translate.resources(message) == inputs.Resources(
        cpu_period_us=1,
        cpu_quota_us=2,
        cpu_shares=3,
        memory_limit_bytes=4,
        oom_score_adj=5,
        cpuset_cpus="0",
        cpuset_mems="1",
        hugepage_limits=(inputs.HugepageLimit("2MB", 6),),
        unified={"memory.high": "7"},
        memory_swap_limit_bytes=8,
    )


def test_without_a_security_context_the_usual_paths_are_masked() -> None:
    bare = translate.container_security(pb.LinuxContainerConfig())
    assert "/proc/kcore" in bare.masked_paths
    assert "/proc/sys" in bare.readonly_paths
    empty = pb.LinuxContainerConfig(security_context=pb.LinuxContainerSecurityContext())
    assert translate.container_security(empty).masked_paths == ()


def test_values_that_the_cri_does_not_have_are_refused_by_field() -> None:
    with pytest.raises(translate.UnknownValue, match="mounts: /x: propagation: 17"):
        translate.mount(pb.Mount(container_path="/x", propagation=17), "/x")  # type: ignore[arg-type]
    with pytest.raises(translate.UnknownValue, match=r"namespace_options\.ipc: 9"):
        translate.namespace_options(pb.NamespaceOption(ipc=9))  # type: ignore[arg-type]
