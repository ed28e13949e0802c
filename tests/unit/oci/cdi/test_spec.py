from typing import Any

import pytest

from oci.cdi.spec import VERSIONS, BadDeviceName, BadSpec, DeviceName, Edits, Hook, Mount, Node, parse


def _document(**edits: Any) -> dict[str, Any]:
    devices = [{"name": "one", "containerEdits": edits}]
    return {"cdiVersion": "0.6.0", "kind": "vendor.com/gpu", "devices": devices}


@pytest.mark.parametrize("text", ["vendor.com/gpu=0", "v/c=a.b:c-d_e", "a-b.c_d/e.f=one"])
def test_names_parse(text: str) -> None:
    assert str(DeviceName.parse(text)) == text


@pytest.mark.parametrize(
    "text",
    [
        "",
        "gpu",
        "vendor.com=0",
        "vendor.com/gpu",
        "vendor.com/gpu=",
        "/gpu=0",
        "v/=0",
        "1v/c=0",
        "v/c=-a",
        "v/c=a b",
    ],
)
def test_other_names_are_refused_by_name(text: str) -> None:
    with pytest.raises(BadDeviceName, match="vendor/class=device"):
        DeviceName.parse(text)


@pytest.mark.parametrize("version", VERSIONS)
def test_every_known_version_is_read(version: str) -> None:
    spec = parse(_document() | {"cdiVersion": version})
    assert spec.kind == "vendor.com/gpu"
    assert spec.devices == {"one": Edits()}


def test_all_edits() -> None:
    hook = {
        "hookName": "createContainer",
        "path": "/bin/x",
        "args": ["x", "-a"],
        "env": ["A=1"],
        "timeout": 5,
    }
    node = {"path": "/dev/a", "hostPath": "/dev/b", "type": "c", "major": 1, "minor": 3, "permissions": "rw"}
    mount = {"hostPath": "/lib/x", "containerPath": "/x", "options": ["ro", "bind"]}
    spec = parse(
        _document(
            env=["A=1", "B="],
            deviceNodes=[node, {"path": "/dev/c", "uid": 0, "fileMode": 0o600}],
            mounts=[mount, {"hostPath": "tmpfs", "containerPath": "/t", "type": "tmpfs"}],
            hooks=[hook],
            additionalGids=[0, 5],
        )
        | {"containerEdits": {"env": ["COMMON=1"]}}
    )
    assert spec.common == Edits(env=("COMMON=1",))
    assert spec.devices["one"] == Edits(
        env=("A=1", "B="),
        nodes=(
            Node("/dev/a", "/dev/b", "c", 1, 3, permissions="rw"),
            Node("/dev/c", "/dev/c", file_mode=0o600, uid=0),
        ),
        mounts=(Mount("/lib/x", "/x", ("ro", "bind")), Mount("tmpfs", "/t", type="tmpfs")),
        hooks=(Hook("createContainer", "/bin/x", ("x", "-a"), ("A=1",), 5),),
        additional_gids=(5,),
    )


@pytest.mark.parametrize(
    ("document", "words"),
    [
        ([], "not a mapping"),
        ({}, "cdiVersion None"),
        (_document() | {"cdiVersion": "0.2.0"}, "0.2.0"),
        (_document() | {"cdiVersion": "9.0.0"}, "9.0.0"),
        (_document() | {"kind": "gpu"}, "kind 'gpu'"),
        (_document() | {"devices": []}, "devices: none"),
        (_document() | {"devices": {"a": 1}}, "devices is not a list"),
        (_document() | {"devices": [{"name": "a b"}]}, r"devices\[0\].name 'a b'"),
        (_document() | {"devices": [{"name": "a"}, {"name": "a"}]}, r"devices\[1\].name 'a'"),
        (_document(env=["A"]), r"env\[0\] 'A'"),
        (_document(env=["=A"]), r"env\[0\] '=A'"),
        (_document(env="A=1"), "env is not a list"),
        (_document(deviceNodes=[{}]), r"deviceNodes\[0\].path None"),
        (_document(deviceNodes=[{"path": "dev/a"}]), "'dev/a' is not an absolute path"),
        (_document(deviceNodes=[{"path": "/a", "type": "x"}]), "type 'x'"),
        (_document(deviceNodes=[{"path": "/a", "permissions": "rx"}]), "permissions 'rx'"),
        (_document(deviceNodes=[{"path": "/a", "major": "1"}]), "major '1'"),
        (_document(deviceNodes=["/dev/a"]), r"deviceNodes\[0\] is not a mapping"),
        (_document(mounts=[{"containerPath": "/a"}]), r"mounts\[0\].hostPath None"),
        (_document(mounts=[{"hostPath": "/a", "containerPath": "a"}]), "containerPath 'a'"),
        (_document(mounts=[{"hostPath": "/a", "containerPath": "/a", "options": [1]}]), "options"),
        (_document(hooks=[{"hookName": "poststop"}]), r"hooks\[0\].path None"),
        (_document(hooks=[{"hookName": "sometimes", "path": "/a"}]), "hookName 'sometimes'"),
        (_document(additionalGids=[-1]), r"additionalGids\[0\] -1"),
        (_document(additionalGids=[True]), r"additionalGids\[0\] True"),
        (_document(netDevices=[{"hostInterfaceName": "eth9"}]), "netDevices not supported"),
        (_document() | {"containerEdits": []}, "containerEdits is not a mapping"),
    ],
)
def test_what_is_wrong_is_said_with_its_place(document: object, words: str) -> None:
    with pytest.raises(BadSpec, match=words):
        parse(document)
