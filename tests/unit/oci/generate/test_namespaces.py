from dataclasses import replace
from pathlib import Path

import pytest

from oci.generate.inputs import BadContainer, IdMapping, NamespaceMode, NamespaceOptions, UserNamespace
from oci.generate.namespaces import mapping_entries, namespaces, user_mappings
from tests.unit.oci.generate.builders import SANDBOX, V1, V2, a_container, secured

NODE, POD, CONTAINER, TARGET = (
    NamespaceMode.NODE,
    NamespaceMode.POD,
    NamespaceMode.CONTAINER,
    NamespaceMode.TARGET,
)
MAP = (IdMapping(0, 3949199360, 65536),)


def paths(options: NamespaceOptions) -> dict[str, str | None]:
    return {entry["type"]: entry.get("path") for entry in namespaces(secured(namespaces=options), V1)}


def test_pod_namespaces_by_path() -> None:
    assert paths(NamespaceOptions()) == {
        "mount": None,
        "network": "/run/ns/net",
        "ipc": "/run/ns/ipc",
        "uts": "/run/ns/uts",
        "pid": "/proc/77/ns/pid",
    }


@pytest.mark.parametrize(
    ("options", "absent"),
    [
        (NamespaceOptions(network=NODE), {"network", "uts"}),
        (NamespaceOptions(ipc=NODE), {"ipc"}),
        (NamespaceOptions(pid=NODE), {"pid"}),
    ],
)
def test_the_nodes_namespaces_are_absent(options: NamespaceOptions, absent: set[str]) -> None:
    assert {"mount", "network", "ipc", "uts", "pid"} - paths(options).keys() == absent


@pytest.mark.parametrize(("mode", "path"), [(CONTAINER, None), (TARGET, "/proc/88/ns/pid")])
def test_pid_modes(mode: NamespaceMode, path: str | None) -> None:
    assert paths(NamespaceOptions(pid=mode))["pid"] == path


@pytest.mark.parametrize(
    "options",
    [
        NamespaceOptions(network=CONTAINER),
        NamespaceOptions(network=TARGET),
        NamespaceOptions(ipc=CONTAINER),
        NamespaceOptions(ipc=TARGET),
    ],
)
def test_modes_that_a_kind_does_not_have_are_refused(options: NamespaceOptions) -> None:
    with pytest.raises(BadContainer, match="namespace_options"):
        paths(options)


@pytest.mark.parametrize("mode", [POD, TARGET])
def test_a_pid_namespace_needs_its_owner(mode: NamespaceMode) -> None:
    sandbox = replace(SANDBOX, pause_pid=None, target_pid=None)
    container = replace(secured(namespaces=NamespaceOptions(pid=mode)), sandbox=sandbox)
    with pytest.raises(BadContainer, match="pid"):
        namespaces(container, V1)


def test_a_cgroup_namespace_on_version_2_unless_privileged() -> None:
    assert {"type": "cgroup"} in namespaces(a_container(), V2)
    assert {"type": "cgroup"} not in namespaces(a_container(), V1)
    assert {"type": "cgroup"} not in namespaces(secured(privileged=True), V2)


def test_user_namespace_by_path_or_new() -> None:
    pinned = replace(SANDBOX, namespaces={"user": Path("/run/ns/user")}, uid_mappings=MAP, gid_mappings=MAP)
    fresh = replace(SANDBOX, uid_mappings=MAP, gid_mappings=MAP)
    assert {"type": "user", "path": "/run/ns/user"} in namespaces(a_container(sandbox=pinned), V1)
    assert {"type": "user"} in namespaces(a_container(sandbox=fresh), V1)
    assert mapping_entries(MAP) == [{"containerID": 0, "hostID": 3949199360, "size": 65536}]


@pytest.mark.parametrize(
    "user",
    [
        UserNamespace(CONTAINER, MAP, MAP),
        UserNamespace(TARGET, MAP, MAP),
        UserNamespace(POD),
        UserNamespace(POD, MAP * 2, MAP),
        UserNamespace(POD, MAP, ()),
        UserNamespace(POD, (IdMapping(1, 1000, 10),), MAP),
        UserNamespace(POD, (IdMapping(0, 1000, 0),), MAP),
        UserNamespace(POD, (IdMapping(0, 0xFFFFFFFF, 2),), MAP),
    ],
)
def test_bad_user_namespaces_are_refused(user: UserNamespace) -> None:
    with pytest.raises(BadContainer, match="userns_options"):
        user_mappings(NamespaceOptions(user=user))


def test_good_user_namespaces() -> None:
    assert user_mappings(NamespaceOptions(user=UserNamespace(POD, MAP, MAP))) == (MAP, MAP)
    assert user_mappings(NamespaceOptions(user=UserNamespace(NODE))) == ((), ())
    assert user_mappings(NamespaceOptions()) == ((), ())
