from typing import Any

import pytest

from oci.cdi.apply import apply
from oci.cdi.spec import Edits, Hook, Mount, Node
from oci.generate.inputs import BadContainer, DeviceNode

HOST = {"/dev/gpu0": DeviceNode("/dev/gpu0", "c", 195, 0, 0o600, 7, 7)}


def _applied(edits: Edits, uid: int = 0) -> dict[str, Any]:
    document: dict[str, Any] = {
        "process": {"env": ["PATH=/bin", "A=old"], "user": {"uid": uid, "gid": uid, "additionalGids": [uid]}},
        "mounts": [{"destination": "/a", "type": "tmpfs", "source": "t", "options": []}],
        "linux": {"resources": {"devices": [{"allow": False, "access": "rwm"}]}},
    }
    apply(document, edits, HOST.get)
    return document


def test_no_edits_change_nothing() -> None:
    assert _applied(Edits()) == _applied(Edits())
    assert _applied(Edits())["process"]["env"] == ["PATH=/bin", "A=old"]
    assert "hooks" not in _applied(Edits())


def test_environment_is_replaced_by_name() -> None:
    assert _applied(Edits(env=("A=new", "B=1")))["process"]["env"] == ["PATH=/bin", "A=new", "B=1"]


def test_a_node_takes_what_is_open_from_the_host_and_its_owner_from_the_user() -> None:
    linux = _applied(Edits(nodes=(Node("/dev/x", "/dev/gpu0", permissions="rw"),)), uid=1000)["linux"]
    assert linux["devices"] == [
        {"path": "/dev/x", "type": "c", "major": 195, "minor": 0, "uid": 1000, "gid": 1000}
    ]
    rule = {"allow": True, "type": "c", "major": 195, "minor": 0, "access": "rw"}
    assert linux["resources"]["devices"] == [{"allow": False, "access": "rwm"}, rule]


def test_a_node_that_says_all_needs_no_host() -> None:
    node = Node("/dev/x", "/dev/none", "b", 8, 1, 0o640, "r", 5, 6)
    [entry] = _applied(Edits(nodes=(node,)))["linux"]["devices"]
    assert entry == {
        "path": "/dev/x", "type": "b", "major": 8, "minor": 1, "fileMode": 0o640, "uid": 5, "gid": 6
    }  # fmt: skip


def test_the_last_node_of_a_path_counts() -> None:
    nodes = (Node("/dev/x", "/n", "c", 1, 1), Node("/dev/x", "/n", "c", 1, 2))
    assert [entry["minor"] for entry in _applied(Edits(nodes=nodes))["linux"]["devices"]] == [2]


@pytest.mark.parametrize("node", [Node("/dev/x", "/dev/none"), Node("/dev/x", "/dev/gpu0", "b")])
def test_a_node_that_the_host_lacks_is_refused(node: Node) -> None:
    with pytest.raises(BadContainer, match=node.host_path):
        _applied(Edits(nodes=(node,)))


def test_mounts_replace_their_place_and_are_shallow_before_deep() -> None:
    added = (Mount("/h/b", "/a/b", ("ro",)), Mount("/h/a", "/a", ("bind",)), Mount("t", "/t", (), "tmpfs"))
    found = _applied(Edits(mounts=added))["mounts"]
    assert [mount["destination"] for mount in found] == ["/a", "/t", "/a/b"]
    assert [(mount["type"], mount["source"], mount["options"]) for mount in found] == [
        ("bind", "/h/a", ["bind"]),
        ("tmpfs", "t", []),
        ("bind", "/h/b", ["rbind", "ro"]),
    ]


def test_hooks_by_name() -> None:
    hooks = (
        Hook("poststop", "/a", ("a",), ("E=1",), 3),
        Hook("poststop", "/b"),
        Hook("startContainer", "/c"),
    )
    assert _applied(Edits(hooks=hooks))["hooks"] == {
        "poststop": [{"path": "/a", "args": ["a"], "env": ["E=1"], "timeout": 3}, {"path": "/b"}],
        "startContainer": [{"path": "/c"}],
    }


def test_groups_are_added_once() -> None:
    assert _applied(Edits(additional_gids=(5, 5)))["process"]["user"]["additionalGids"] == [0, 5]
