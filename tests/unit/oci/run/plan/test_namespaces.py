"""linux.namespaces."""

import pytest

from host.clone import CLONE_NEWNET, CLONE_NEWNS, CLONE_NEWPID, CLONE_NEWUSER
from oci.run.document import Table
from oci.run.errors import BadConfig
from oci.run.plan.namespaces import host_id, read

MAPS = [{"containerID": 0, "hostID": 1000, "size": 10}]


def test_new_and_joined_are_told_apart() -> None:
    linux = {
        "namespaces": [{"type": "pid"}, {"type": "mount", "path": ""}, {"type": "network", "path": "/n"}]
    }
    found = read(Table(linux))
    assert found.new == CLONE_NEWPID | CLONE_NEWNS
    assert found.joined == {CLONE_NEWNET: "/n"}
    assert found.has(CLONE_NEWNET)
    assert not found.has(CLONE_NEWUSER)


def test_a_new_user_namespace_waits_for_those_that_are_joined() -> None:
    user = {"uidMappings": MAPS, "gidMappings": MAPS}
    alone = read(Table({"namespaces": [{"type": "pid"}, {"type": "user"}], **user}))
    assert alone.flags_early == CLONE_NEWPID | CLONE_NEWUSER
    joined = read(Table({"namespaces": [{"type": "user"}, {"type": "network", "path": "/n"}], **user}))
    assert joined.flags_early == 0


@pytest.mark.parametrize(("inside", "outside"), [(0, 1000), (9, 1009)])
def test_ids_are_mapped(inside: int, outside: int) -> None:
    assert host_id(((0, 1000, 10),), inside) == outside
    assert host_id((), inside) == inside


def test_an_id_beyond_the_map_is_refused() -> None:
    with pytest.raises(BadConfig, match="10"):
        host_id(((0, 1000, 10),), 10)


@pytest.mark.parametrize(
    "linux",
    [
        {"namespaces": [{"type": "x"}]},
        {"namespaces": [{"type": "pid"}, {"type": "pid", "path": "/p"}]},
        {"namespaces": [{"type": "pid", "path": "p"}]},
        {"namespaces": [], "uidMappings": MAPS},
        {"namespaces": [{"type": "user"}]},
        {"namespaces": [{"type": "user"}], "uidMappings": MAPS},
        {
            "namespaces": [{"type": "user"}],
            "uidMappings": [{"containerID": 0, "hostID": (1 << 32) - 1, "size": 2}],
            "gidMappings": MAPS,
        },
        {"namespaces": [{"type": "user"}], "uidMappings": [{"size": 0}], "gidMappings": MAPS},
        {"namespaces": [], "timeOffsets": {"boottime": {"secs": 1}}},
        {"namespaces": [{"type": "time"}], "timeOffsets": {"noon": {"secs": 1}}},
    ],
)
def test_what_makes_no_sense_is_refused(linux: dict[str, object]) -> None:
    with pytest.raises(BadConfig):
        read(Table(linux))
