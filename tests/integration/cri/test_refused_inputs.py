"""What can be asked for in vain, one test each: the error names field and value, and nothing is left."""

from collections.abc import Callable
from pathlib import Path

import grpc
import pytest

from api.runtime.v1 import api_pb2 as pb
from host import mounts
from tests.harness.client import Client, container_config
from tests.harness.daemon import Daemon
from tests.integration.cri.conftest import IMAGE, pod_config

pytestmark = [pytest.mark.root, pytest.mark.usefixtures("nothing_left")]

INVALID = grpc.StatusCode.INVALID_ARGUMENT
Change = Callable[[pb.ContainerConfig], object]
PodChange = Callable[[pb.PodSandboxConfig], object]


def _security(config: pb.ContainerConfig) -> pb.LinuxContainerSecurityContext:
    return config.linux.security_context


def _mount(**fields: object) -> Change:
    """A change that adds a mount of /tmp."""
    return lambda config: config.mounts.add(**({"container_path": "/x", "host_path": "/tmp"} | fields))


def _device(**fields: str) -> Change:
    return lambda config: config.devices.add(
        **({"container_path": "/dev/x", "host_path": "/dev/fuse", "permissions": "rw"} | fields)
    )


def _resources(**fields: object) -> Change:
    return lambda config: config.linux.resources.MergeFrom(pb.LinuxContainerResources(**fields))  # type: ignore[arg-type]


def _profile(field: str, name: str) -> Change:
    def change(config: pb.ContainerConfig) -> None:
        profile = getattr(_security(config), field)
        profile.profile_type = pb.SecurityProfile.Localhost
        profile.localhost_ref = name

    return change


def _target(config: pb.ContainerConfig) -> None:
    options = _security(config).namespace_options
    options.pid, options.target_id = pb.TARGET, "0" * 64


def _old_seccomp(config: pb.ContainerConfig) -> None:
    _security(config).ClearField("seccomp")
    _security(config).seccomp_profile_path = "some/where"


def _huge(config: pb.ContainerConfig) -> None:
    config.linux.resources.hugepage_limits.add(page_size="3MB", limit=1 << 30)


def _limit(config: pb.ContainerConfig) -> None:
    config.linux.resources.unified["../x"] = "1"


CONTAINERS: dict[str, tuple[Change, grpc.StatusCode, tuple[str, ...]]] = {
    "missing image": (
        lambda config: setattr(config.image, "image", "localhost/no/such:image"),
        grpc.StatusCode.NOT_FOUND,
        ("localhost/no/such:image",),
    ),
    "group without user": (
        lambda config: setattr(_security(config).run_as_group, "value", 5),
        INVALID,
        ("run_as_group", "5"),
    ),
    "user out of range": (
        lambda config: setattr(_security(config).run_as_user, "value", -5),
        INVALID,
        ("run_as_user", "-5"),
    ),
    "unknown user name": (
        lambda config: setattr(_security(config), "run_as_username", "nobody-here"),
        INVALID,
        ("nobody-here",),
    ),
    "supplemental group out of range": (
        lambda config: _security(config).supplemental_groups.append(1 << 33),
        INVALID,
        ("supplemental_groups", str(1 << 33)),
    ),
    "unknown capability to add": (
        lambda config: _security(config).capabilities.add_capabilities.append("FLYING"),
        INVALID,
        ("add_capabilities", "FLYING"),
    ),
    "unknown capability to drop": (
        lambda config: _security(config).capabilities.drop_capabilities.append("FLYING"),
        INVALID,
        ("drop_capabilities", "FLYING"),
    ),
    "unknown ambient capability": (
        lambda config: _security(config).capabilities.add_ambient_capabilities.append("FLYING"),
        INVALID,
        ("ambient", "FLYING"),
    ),
    "privileged in a pod that is not": (
        lambda config: setattr(_security(config), "privileged", True),
        INVALID,
        ("privileged is true", "the sandbox is false"),
    ),
    "missing seccomp profile": (
        _profile("seccomp", "/no/such/profile.json"),
        INVALID,
        ("/no/such/profile.json",),
    ),
    "relative seccomp profile": (_profile("seccomp", "profile.json"), INVALID, ("profile.json",)),
    "deprecated seccomp text": (_old_seccomp, INVALID, ("seccomp_profile_path", "some/where")),
    "AppArmor profile": (_profile("apparmor", "no-such-profile"), INVALID, ("apparmor", "no-such-profile")),
    "deprecated AppArmor text": (
        lambda config: setattr(_security(config), "apparmor_profile", "some/where"),
        INVALID,
        ("apparmor_profile", "some/where"),
    ),
    "relative masked path": (
        lambda config: _security(config).masked_paths.append("proc/x"),
        INVALID,
        ("masked_paths", "proc/x"),
    ),
    "relative read-only path": (
        lambda config: _security(config).readonly_paths.append("proc/x"),
        INVALID,
        ("readonly_paths", "proc/x"),
    ),
    "target that is not in the pod": (_target, grpc.StatusCode.FAILED_PRECONDITION, ("target_id", "0" * 64)),
    "mount without a place": (_mount(container_path=""), INVALID, ("mounts[0].container_path",)),
    "mount without a source": (_mount(host_path=""), INVALID, ("mounts[0].host_path", "/x")),
    "mount over the root": (_mount(container_path="/"), INVALID, ("container_path", "'/'")),
    "mount option": (_mount(mount_options=["suid"]), INVALID, ("mount_options", "suid")),
    "recursive read-only but writable": (
        _mount(recursive_read_only=True),
        INVALID,
        ("recursive_read_only", "readonly"),
    ),
    "recursive read-only but propagating": (
        _mount(recursive_read_only=True, readonly=True, propagation=pb.PROPAGATION_HOST_TO_CONTAINER),
        INVALID,
        ("recursive_read_only", "HOST_TO_CONTAINER"),
    ),
    "unknown groups policy": (
        lambda config: setattr(_security(config), "supplemental_groups_policy", 9),
        INVALID,
        ("supplemental_groups_policy", "9"),
    ),
    "unknown propagation": (_mount(propagation=17), INVALID, ("propagation", "17")),
    "missing device": (_device(host_path="/dev/no-such"), INVALID, ("host_path", "/dev/no-such")),
    "relative device": (_device(container_path="dev/x"), INVALID, ("container_path", "dev/x")),
    "device permissions": (_device(permissions="rx"), INVALID, ("/dev/fuse", "permissions", "'rx'")),
    "missing CDI device": (
        lambda config: config.CDI_devices.add(name="vendor.com/gpu=7"),
        INVALID,
        ("vendor.com/gpu=7", "/etc/cdi"),
    ),
    "CDI device name": (lambda config: config.CDI_devices.add(name="gpu7"), INVALID, ("'gpu7'",)),
    "OOM score": (_resources(oom_score_adj=2000), INVALID, ("oom_score_adj", "2000")),
    "negative shares": (_resources(cpu_shares=-2), INVALID, ("cpu_shares", "-2")),
    "swap below memory": (
        _resources(memory_limit_in_bytes=1 << 26, memory_swap_limit_in_bytes=1 << 25),
        INVALID,
        ("memory_swap_limit_in_bytes", str(1 << 25)),
    ),
    "page size that the host lacks": (_huge, INVALID, ("hugepage_limits", "3MB")),
    "unified file": (_limit, INVALID, ("unified", "../x")),
    "stop signal": (lambda config: setattr(config, "stop_signal", 99), INVALID, ("stop_signal", "99")),
    "environment name": (lambda config: config.envs.add(key="A=B", value=b"1"), INVALID, ("envs", "A=B")),
    "environment value": (lambda config: config.envs.add(key="A", value=b"\0"), INVALID, ("envs", "'A'")),
    "no name": (lambda config: config.ClearField("metadata"), INVALID, ("metadata.name",)),
}


@pytest.mark.parametrize("name", CONTAINERS)
def test_a_container_that_cannot_be(client: Client, logs: Path, name: str) -> None:
    change, code, words = CONTAINERS[name]
    config = pod_config("refused", log_directory=logs)
    pod = client.run_pod(config)
    wanted = container_config("main", IMAGE, ["true"])
    change(wanted)
    with pytest.raises(grpc.RpcError) as caught:
        client.create_container(pod, wanted, config)
    details = str(caught.value.details())
    assert caught.value.code() is code, details
    assert [word for word in words if word not in details] == [], details
    assert client.containers() == []
    client.remove_pod(pod)


def _options(config: pb.PodSandboxConfig) -> pb.NamespaceOption:
    return config.linux.security_context.namespace_options


def _sysctl(name: str, value: str = "1") -> PodChange:
    return lambda config: config.linux.sysctls.update({name: value})


def _mapping(container: int, host: int, length: int, gid_host: int | None = None) -> PodChange:
    def change(config: pb.PodSandboxConfig) -> None:
        options = _options(config).userns_options
        options.mode = pb.POD
        options.uids.add(container_id=container, host_id=host, length=length)
        options.gids.add(
            container_id=container, host_id=host if gid_host is None else gid_host, length=length
        )

    return change


def _pause_profile(config: pb.PodSandboxConfig) -> None:
    _options(config).pid = pb.POD  # so that there is a process which the profile is for
    seccomp = config.linux.security_context.seccomp
    seccomp.profile_type, seccomp.localhost_ref = pb.SecurityProfile.Localhost, "/no/such.json"


PODS: dict[str, tuple[PodChange, tuple[str, ...]]] = {
    "a sysctl of the node": (_sysctl("kernel.panic"), ("kernel.panic",)),
    "a sysctl that is none": (_sysctl("net.ipv4.no_such_thing"), ("no_such_thing",)),
    "a sysctl value": (_sysctl("net.ipv4.ip_forward", "perhaps"), ("net.ipv4.ip_forward", "perhaps")),
    "a path as a sysctl": (_sysctl("net/../../x"), ("net/../../x",)),
    "host name too long": (lambda config: setattr(config, "hostname", "h" * 65), ("hostname", "h" * 65)),
    "network mode": (
        lambda config: setattr(_options(config), "network", pb.CONTAINER),
        ("namespace_options.network", "CONTAINER"),
    ),
    "ipc mode": (
        lambda config: setattr(_options(config), "ipc", pb.TARGET),
        ("namespace_options.ipc", "TARGET"),
    ),
    "pid mode": (
        lambda config: setattr(_options(config), "pid", pb.TARGET),
        ("namespace_options.pid", "TARGET"),
    ),
    "mapping of nothing": (_mapping(0, 100000, 0), ("userns_options.uids", "0")),
    "mapping without root": (_mapping(5, 100000, 10), ("userns_options.uids", "5")),
    "different mappings": (_mapping(0, 100000, 10, 200000), ("userns_options",)),
    "unknown network mode": (
        lambda config: setattr(_options(config), "network", 9),
        ("namespace_options.network", "9"),
    ),
    "unknown pid mode": (lambda config: setattr(_options(config), "pid", 9), ("namespace_options.pid", "9")),
    "climbing cgroup parent": (
        lambda config: setattr(config.linux, "cgroup_parent", "/pods/../../x"),
        ("cgroup_parent", "/pods/../../x"),
    ),
    "seccomp profile of the pod": (
        _pause_profile,
        ("/no/such.json",),
    ),
    "host port": (
        lambda config: config.port_mappings.add(container_port=80, host_port=70000),
        ("port_mappings", "70000"),
    ),
    "no name": (lambda config: config.ClearField("metadata"), ("metadata.name",)),
}


@pytest.mark.parametrize("name", PODS)
def test_a_pod_that_cannot_be(client: Client, logs: Path, name: str) -> None:
    change, words = PODS[name]
    config = pod_config("refused", log_directory=logs)
    change(config)
    with pytest.raises(grpc.RpcError) as caught:
        client.run_pod(config)
    details = str(caught.value.details())
    assert caught.value.code() is INVALID, details
    assert [word for word in words if word not in details] == [], details
    assert client.pods() == []


def test_an_unknown_handler(client: Client, logs: Path) -> None:
    with pytest.raises(grpc.RpcError) as caught:
        client.run_pod(pod_config("handler", log_directory=logs), "no-such-handler")
    assert caught.value.code() is grpc.StatusCode.NOT_FOUND
    assert "no-such-handler" in str(caught.value.details())


def test_a_container_in_a_stopped_pod(client: Client, logs: Path) -> None:
    config = pod_config("stopped", log_directory=logs)
    pod = client.run_pod(config)
    client.stop_pod(pod)
    with pytest.raises(grpc.RpcError) as caught:
        client.create_container(pod, container_config("main", IMAGE, ["true"]), config)
    assert caught.value.code() is grpc.StatusCode.FAILED_PRECONDITION
    assert pod[:12] in str(caught.value.details())
    client.remove_pod(pod)


@pytest.mark.parametrize("propagation", [pb.PROPAGATION_HOST_TO_CONTAINER, pb.PROPAGATION_BIDIRECTIONAL])
def test_propagation_from_a_mount_that_does_not_propagate(
    client: Client, logs: Path, daemon: Daemon, propagation: pb.MountPropagation.ValueType
) -> None:
    source = daemon.state / "private"
    source.mkdir(exist_ok=True)
    mounts.mount_tmpfs(source)
    try:
        mounts.make_private(source)
        config = pod_config("propagation", log_directory=logs)
        pod = client.run_pod(config)
        wanted = container_config("main", IMAGE, ["true"])
        wanted.mounts.add(container_path="/x", host_path=str(source), propagation=propagation)
        with pytest.raises(grpc.RpcError) as caught:
            client.create_container(pod, wanted, config)
        details = str(caught.value.details())
        assert caught.value.code() is INVALID
        assert pb.MountPropagation.Name(propagation).removeprefix("PROPAGATION_") in details
        assert str(source) in details
        client.remove_pod(pod)
    finally:
        mounts.umount(source)
