import pytest

from oci.generate.devices import devices
from oci.generate.inputs import BadContainer, Defaults, Device, DeviceNode, Observed, SecurityContext
from tests.unit.oci.generate.builders import a_container

FUSE = DeviceNode("/dev/fuse", "c", 10, 229, 0o666, 0, 0)
SOUND = (
    DeviceNode("/dev/snd/a", "c", 116, 1, 0o660, 0, 29),
    DeviceNode("/dev/snd/x/b", "c", 116, 2, 0o660, 0, 29),
)
OBSERVED = Observed(
    device_nodes={
        "/dev/fuse": (FUSE,),
        "/dev/snd": SOUND,
        "/dev/link": (DeviceNode("/dev/link", "b", 8, 0),),
    },
    host_devices=(FUSE, *SOUND, DeviceNode("/dev/null", "c", 1, 3)),
)
DENY, ALLOW = {"allow": False, "access": "rwm"}, {"allow": True, "access": "rwm"}


def test_nothing_by_default() -> None:
    assert devices(a_container(), OBSERVED) == ([], [DENY])


def test_a_device_under_another_name() -> None:
    nodes, rules = devices(a_container(devices=(Device("/dev/f", "/dev/fuse", "rw"),)), OBSERVED)
    assert nodes == [
        {"path": "/dev/f", "type": "c", "major": 10, "minor": 229, "fileMode": 0o666, "uid": 0, "gid": 0}
    ]
    assert rules == [DENY, {"allow": True, "type": "c", "major": 10, "minor": 229, "access": "rw"}]


def test_a_directory_brings_all_below_it() -> None:
    nodes, rules = devices(a_container(devices=(Device("/dev/audio/", "/dev/snd", "r"),)), OBSERVED)
    assert [node["path"] for node in nodes] == ["/dev/audio/a", "/dev/audio/x/b"]
    assert len(rules) == 3


def test_the_hosts_name_when_none_is_given() -> None:
    nodes, _ = devices(a_container(devices=(Device("", "/dev/fuse"),)), OBSERVED)
    assert nodes[0]["path"] == "/dev/fuse"


def test_privileged_has_all_but_what_the_runtime_makes() -> None:
    container = a_container(
        security=SecurityContext(privileged=True), devices=(Device("/dev/f", "/dev/fuse"),)
    )
    nodes, rules = devices(container, OBSERVED)
    assert [node["path"] for node in nodes] == ["/dev/fuse", "/dev/snd/a", "/dev/snd/x/b", "/dev/f"]
    assert rules[0] == ALLOW


def test_privileged_without_host_devices() -> None:
    container = a_container(
        security=SecurityContext(privileged=True), defaults=Defaults(privileged_without_host_devices=True)
    )
    assert devices(container, OBSERVED) == ([], [DENY])


def test_owner_from_the_security_context_when_configured() -> None:
    defaults = Defaults(device_ownership_from_security_context=True)
    security = SecurityContext(run_as_user=1000, run_as_group=1001)
    container = a_container(defaults=defaults, security=security, devices=(Device("", "/dev/snd"),))
    assert {(node["uid"], node["gid"]) for node in devices(container, OBSERVED)[0]} == {(1000, 1001)}


@pytest.mark.parametrize(
    ("device", "named"),
    [
        (Device("/dev/x", "/dev/none"), "/dev/none"),
        (Device("/dev/x", "/dev/fuse", "rx"), "'rx'"),
        (Device("/dev/x", "/dev/fuse", ""), "permissions"),
        (Device("/dev/x", "/dev/fuse", "rr"), "'rr'"),
        (Device("dev/x", "/dev/fuse"), "container_path 'dev/x'"),
        (Device("/dev/x", "dev/fuse"), "host_path 'dev/fuse'"),
    ],
)
def test_bad_devices_are_refused_by_value(device: Device, named: str) -> None:
    with pytest.raises(BadContainer, match=named):
        devices(a_container(devices=(device,)), OBSERVED)
