"""Requests at the door: what may pass is named, everything else is held to the strictest rule."""

import pytest
from google.protobuf.message import Message

from api.runtime.v1 import api_pb2 as pb
from cri.door import (
    ITEMS_LIMIT,
    MAP_LIMIT,
    PATH_LIMIT,
    TEXT_LIMIT,
    BadText,
    NotAMessage,
    TooManyItems,
    check,
    decode,
)


def pod(**fields: object) -> pb.RunPodSandboxRequest:
    return pb.RunPodSandboxRequest(config=pb.PodSandboxConfig(**fields))  # type: ignore[arg-type]


def container(**fields: object) -> pb.CreateContainerRequest:
    return pb.CreateContainerRequest(config=pb.ContainerConfig(**fields))  # type: ignore[arg-type]


PASSED: dict[str, Message] = {
    "nothing": pb.VersionRequest(),
    "a program's words": container(command=["sh", "-c", "a\nb\x1b[0m\t"], args=["x" * TEXT_LIMIT]),
    "a path with a newline": container(working_dir="/a\nb", mounts=[pb.Mount(container_path="/a\x01b")]),
    "a value of bytes": container(envs=[pb.KeyValue(key="A", value=b"\xff\x00\n")]),
    "many words": pb.ExecSyncRequest(cmd=["x"] * 100_000),
    "many groups": container(
        linux=pb.LinuxContainerConfig(
            security_context=pb.LinuxContainerSecurityContext(supplemental_groups=range(65_536))
        )
    ),
    "the cluster's annotations": pod(annotations={"a": "x\0\n" * 80_000}, labels={"": "\x7f"}),
    "a tab between a sysctl's numbers": pod(
        linux=pb.LinuxPodSandboxConfig(sysctls={"net.ipv4.ping_group_range": "0\t1"})
    ),
    "a password": pb.PullImageRequest(auth=pb.AuthConfig(username="a", password="p\nw", auth="x\n")),
    "text of all languages": pod(hostname="é", dns_config=pb.DNSConfig(searches=["例え"])),
}
REFUSED: dict[str, tuple[Message, type[Exception], str]] = {
    "a NUL in a word": (pb.ExecSyncRequest(cmd=["sh", "a\0"]), BadText, r"cmd\[1\].*NUL"),
    "a NUL in a path": (container(mounts=[pb.Mount(host_path="/\0")]), BadText, r"mounts\[0\]\.host_path"),
    "a long word": (container(args=["x" * (TEXT_LIMIT + 1)]), BadText, r"args\[0\].*131072 bytes"),
    "a long value": (
        container(envs=[pb.KeyValue(key="A", value=b"x" * (TEXT_LIMIT + 1))]),
        BadText,
        r"envs\[0\]\.value: 131072 bytes",
    ),
    "a long path": (container(log_path="x/" * PATH_LIMIT), BadText, "log_path"),
    "a long part of a path": (container(log_path="é" * 128), BadText, "log_path.*255"),
    "a newline in a name": (
        pod(metadata=pb.PodSandboxMetadata(name="a\nb")),
        BadText,
        r"metadata\.name.*'\\n'",
    ),
    "a long name": (pod(metadata=pb.PodSandboxMetadata(uid="x" * 1025)), BadText, r"metadata\.uid"),
    "an escape in a hostname": (pod(hostname="a\x1b[0m"), BadText, "hostname"),
    "a newline in resolv.conf": (pod(dns_config=pb.DNSConfig(searches=["a\nb"])), BadText, r"searches\[0\]"),
    "a newline in a sysctl": (
        pod(linux=pb.LinuxPodSandboxConfig(sysctls={"kernel.sem": "1 2 3 4\nx"})),
        BadText,
        "sysctls: 'kernel.sem'",
    ),
    "a newline in an id": (pb.ContainerStatusRequest(container_id="a\nb"), BadText, "container_id"),
    "a newline in a filter": (
        pb.ListContainersRequest(filter=pb.ContainerFilter(id="a\nb")),
        BadText,
        r"filter\.id",
    ),
    "many mounts": (container(mounts=[pb.Mount()] * (ITEMS_LIMIT + 1)), TooManyItems, "mounts has 4097"),
    "many ports": (pod(port_mappings=[pb.PortMapping()] * 5000), TooManyItems, "port_mappings"),
    "many numbers": (pb.PortForwardRequest(port=[1] * 5000), TooManyItems, "port has 5000"),
    "many labels": (pod(labels={str(number): "" for number in range(5000)}), TooManyItems, "labels"),
    "large annotations": (pod(annotations={"a": "x" * (MAP_LIMIT + 1)}), BadText, "annotations"),
}


@pytest.mark.parametrize("name", PASSED)
def test_what_may_pass(name: str) -> None:
    check(PASSED[name])


@pytest.mark.parametrize("name", REFUSED)
def test_what_is_refused_by_field(name: str) -> None:
    request, error, words = REFUSED[name]
    with pytest.raises(error, match=words) as caught:
        check(request)
    assert len(str(caught.value)) < 500


def test_secrets_are_not_repeated() -> None:
    request = pb.PullImageRequest(auth=pb.AuthConfig(password="geheim\0", server_address="geheim\n"))
    with pytest.raises(BadText) as caught:
        check(request)
    assert "geheim" not in str(caught.value)


@pytest.mark.parametrize("data", [b"\xff\xff", b"\x0a\x02\xff\xfe", b"\x0a\x7f"])
def test_bytes_that_are_no_message(data: bytes) -> None:
    with pytest.raises(NotAMessage, match="ContainerStatusRequest"):
        check(decode(pb.ContainerStatusRequest, data))


def test_a_message_is_decoded() -> None:
    wanted = pb.ContainerStatusRequest(container_id="x", verbose=True)
    assert decode(pb.ContainerStatusRequest, wanted.SerializeToString()) == wanted
