from pathlib import Path

import pytest

from api.runtime.v1 import api_pb2 as pb
from cri.containers.devices import DeviceInTheWay, DeviceNotAllowed, cdi_names, requested
from oci.generate.inputs import Device

ALLOWED = (Path("/dev/fuse"), Path("/dev/net/tun"))
HONOURED = ("devices.crio.io",)


def _config() -> pb.ContainerConfig:
    config = pb.ContainerConfig(metadata=pb.ContainerMetadata(name="web"))
    config.devices.add(container_path="/dev/a", host_path="/dev/b", permissions="r")
    return config


@pytest.mark.parametrize("key", ["devices.crio.io", "io.kubernetes.cri-o.Devices", "devices.crio.io/web"])
def test_devices_of_the_annotation_come_before_the_requests(key: str) -> None:
    found = requested(_config(), {key: "/dev/fuse:/dev/x:rw, /dev/net/tun"}, ALLOWED, HONOURED)
    assert found == (
        Device("/dev/x", "/dev/fuse", "rw"),
        Device("/dev/net/tun", "/dev/net/tun", "rwm"),
        Device("/dev/a", "/dev/b", "r"),
    )


@pytest.mark.parametrize("key", ["devices.crio.io", "io.kubernetes.cri-o.Devices", "devices.crio.io/web"])
@pytest.mark.parametrize("honoured", [(), ("io.containers.trace-syscall",), ("devices.crio.io/db",), ("",)])
def test_the_annotation_counts_only_for_handlers_that_honour_it(key: str, honoured: tuple[str, ...]) -> None:
    """As in CRI-O it is passed over else, also where it names what nobody may have."""
    found = requested(_config(), {key: "/dev/fuse, /dev/mem"}, ALLOWED, honoured)
    assert found == (Device("/dev/a", "/dev/b", "r"),)


@pytest.mark.parametrize("honoured", [("devices.crio.io",), ("io.kubernetes.cri-o.Devices",), ("devices.",)])
def test_either_name_of_the_annotation_honours_both(honoured: tuple[str, ...]) -> None:
    for key in ("devices.crio.io", "io.kubernetes.cri-o.Devices/web"):
        found = requested(_config(), {key: "/dev/fuse"}, ALLOWED, honoured)
        assert found[0] == Device("/dev/fuse", "/dev/fuse", "rwm")


def test_another_containers_annotation_does_not_count() -> None:
    assert len(requested(_config(), {"devices.crio.io/db": "/dev/mem"}, ALLOWED, HONOURED)) == 1


@pytest.mark.parametrize("text", ["/dev/mem", "/dev/fuse/../mem", "dev/fuse", "/dev/fuse:rx"])
def test_what_is_not_allowed_is_named(text: str) -> None:
    with pytest.raises(DeviceNotAllowed, match=r"annotation devices\.crio\.io: .*dev/"):
        requested(_config(), {"devices.crio.io": text}, ALLOWED, HONOURED)


@pytest.mark.parametrize(
    ("host", "inside", "privileged", "refused"),
    [
        ("/dev/zero", "/dev/null", True, True),
        ("/dev/zero", "/dev/no-such-device", True, False),
        ("/dev/zero", "/dev/zero", True, False),  # the node's own at its own place
        ("/dev/zero", "", True, False),
        ("/dev/zero", "/dev/null", False, False),
    ],
)
def test_a_privileged_container_gets_no_device_in_the_place_of_one_of_the_nodes(
    host: str, inside: str, privileged: bool, refused: bool
) -> None:
    config = pb.ContainerConfig(metadata=pb.ContainerMetadata(name="web"))
    config.linux.security_context.privileged = privileged
    config.devices.add(container_path=inside, host_path=host, permissions="r")
    if refused:
        with pytest.raises(DeviceInTheWay, match="container_path /dev/null of /dev/zero"):
            requested(config, {}, ALLOWED, ())
    else:
        assert len(requested(config, {}, ALLOWED, ())) == 1


def test_cdi_names_come_from_the_field_and_from_annotations() -> None:
    config = _config()
    config.CDI_devices.add(name="vendor.com/gpu=0")
    config.annotations["cdi.k8s.io/plugin_b"] = "vendor.com/net=a"
    config.annotations["cdi.k8s.io/plugin_a"] = "vendor.com/gpu=1, vendor.com/gpu=0"
    config.annotations["other.io/x"] = "vendor.com/gpu=9"
    assert cdi_names(config) == ["vendor.com/gpu=0", "vendor.com/gpu=1", "vendor.com/net=a"]
