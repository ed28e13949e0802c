import json
from dataclasses import replace

import pytest

from api.errors import InvalidArgument
from conf.seccomp import default_profile
from oci.generate.container import generate
from oci.generate.inputs import (
    BadContainer,
    Defaults,
    Device,
    DeviceNode,
    HostView,
    IdMapping,
    Mount,
    MountPoint,
    Observed,
    Propagation,
    Resources,
    SecurityContext,
    SecurityProfile,
)
from oci.generate.paths import DEFAULT_MASKED_PATHS
from tests.unit.oci.generate.builders import SANDBOX, V1, V2, a_container


@pytest.mark.parametrize("host", [V1, V2], ids=["v1", "v2"])
def test_a_whole_document(host: HostView) -> None:
    container = a_container(
        resources=Resources(cpu_shares=2, memory_limit_bytes=1 << 20, oom_score_adj=5),
        security=SecurityContext(
            seccomp=SecurityProfile(),
            masked_paths=("/proc/acpi",),
            readonly_paths=("/proc/sys",),
            no_new_privs=True,
        ),
        defaults=Defaults(seccomp_profile=default_profile(), pids_limit=100),
        devices=(Device("", "/dev/fuse"),),
        annotations={"a": "b"},
    )
    observed = Observed(device_nodes={"/dev/fuse": (DeviceNode("/dev/fuse", "c", 10, 229),)})
    document = generate(container, host, observed=observed)
    assert json.loads(json.dumps(document)) == document
    assert document["root"] == {"path": "/rootfs", "readonly": False}
    linux = document["linux"]
    assert linux["cgroupsPath"] == "/pods/cccc"
    assert linux["maskedPaths"] == list(DEFAULT_MASKED_PATHS)
    assert linux["readonlyPaths"] == ["/proc/sys"]
    assert linux["resources"]["cpu"] == {"shares": 2}
    assert linux["resources"]["pids"] == {"limit": 100}
    assert linux["resources"]["memory"] == {"limit": 1 << 20, "swap": 1 << 20}
    assert len(linux["resources"]["devices"]) == 2
    assert linux["seccomp"]["defaultErrnoRet"] == 38
    assert document["process"]["noNewPrivileges"] is True
    assert document["process"]["oomScoreAdj"] == 5
    assert "hostname" not in document


def test_what_is_not_asked_for_is_not_there() -> None:
    linux = generate(a_container(), V1)["linux"]
    assert linux.keys() == {"namespaces", "cgroupsPath", "resources"}
    assert linux["resources"] == {"devices": [{"allow": False, "access": "rwm"}]}


def test_user_namespaces_bring_their_maps() -> None:
    maps = (IdMapping(0, 3949199360, 65536),)
    linux = generate(a_container(sandbox=replace(SANDBOX, uid_mappings=maps, gid_mappings=maps)), V1)["linux"]
    expected = [{"containerID": 0, "hostID": 3949199360, "size": 65536}]
    assert linux["uidMappings"] == linux["gidMappings"] == expected


def test_propagation_reaches_the_root() -> None:
    container = a_container(mounts=(Mount("/m", "/s", propagation=Propagation.BIDIRECTIONAL),))
    observed = Observed(mount_points=(MountPoint("/", shared=True),))
    assert generate(container, V1, observed=observed)["linux"]["rootfsPropagation"] == "rshared"


def test_refusals_are_invalid_arguments() -> None:
    assert issubclass(BadContainer, InvalidArgument)
