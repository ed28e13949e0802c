"""Every text and number of every request, with values that nobody should send: a clear answer, and nothing
left.

The requests are made by the descriptors of the messages, so that a new field of the CRI is tried without a
word here. No answer may be INTERNAL or UNKNOWN, and afterwards the machine is as it was and the daemon
answers.
"""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import grpc
import pytest
from google.protobuf.descriptor import Descriptor, FieldDescriptor
from google.protobuf.message import Message

from api.runtime.v1 import api_pb2 as pb
from tests.harness.client import TIMEOUT_S, Client, container_config
from tests.integration.cri.conftest import IMAGE, pod_config

pytestmark = [pytest.mark.root, pytest.mark.usefixtures("nothing_left")]

NEVER = (grpc.StatusCode.INTERNAL, grpc.StatusCode.UNKNOWN)
TEXTS = (
    "a\0b",
    "a\nb",
    "x" * (1 << 20),
    "../../../../../../tmp/odd-value",
    "/../../etc/odd-value",
    "%s%n%x",
    "\x1b]0;x\x07",
    "\ufffe\U0010ffff",
    "5" * 5000,
    "-1",
    "a/" * 3000,
    "é" * 300,
    " ",
    ";X=y",
)
SMALL = 32
SKIPPED = {"windows"}
FOREVER = ("sleep", "1000000")


def _texts(descriptor: Descriptor, above: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    """The places of all texts below a message, maps and lists among them."""
    for field in descriptor.fields:
        place = (*above, field.name)
        if field.name in SKIPPED or above.count(field.name):
            continue
        if field.type in (FieldDescriptor.TYPE_STRING, FieldDescriptor.TYPE_BYTES):
            yield place
        elif field.message_type is not None and field.message_type.GetOptions().map_entry:
            if field.message_type.fields_by_name["value"].type == FieldDescriptor.TYPE_STRING:
                yield place
        elif field.message_type is not None:
            yield from _texts(field.message_type, place)


def _numbers(descriptor: Descriptor, above: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    kinds = (
        FieldDescriptor.TYPE_INT32,
        FieldDescriptor.TYPE_INT64,
        FieldDescriptor.TYPE_UINT32,
        FieldDescriptor.TYPE_UINT64,
        FieldDescriptor.TYPE_ENUM,
    )
    for field in descriptor.fields:
        place = (*above, field.name)
        if field.name in SKIPPED:
            continue
        if field.type in kinds:
            yield place
        elif field.message_type is not None and not field.message_type.GetOptions().map_entry:
            yield from _numbers(field.message_type, place)


def _put(message: Message, place: Sequence[str], value: Any) -> None:
    """Set one field, with what is on the way to it; a list has one more item, a map one more entry."""
    for name in place[:-1]:
        field = message.DESCRIPTOR.fields_by_name[name]
        inside = getattr(message, name)
        message = inside.add() if field.is_repeated else inside
    field = message.DESCRIPTOR.fields_by_name[place[-1]]
    if field.message_type is not None:
        getattr(message, field.name).update({value: "x", "net.ipv4.ip_forward": value})
        return
    if field.type == FieldDescriptor.TYPE_BYTES:
        value = value.encode()
    if field.is_repeated:
        getattr(message, field.name).append(value)
    else:
        setattr(message, field.name, value)
    _complete(message)


def _complete(message: Message) -> None:
    """What an item needs beside one odd field in order to be looked at."""
    usual: dict[str, dict[str, Any]] = {
        "Mount": {"container_path": "/odd", "host_path": "/usr"},
        "Device": {"container_path": "/dev/odd", "host_path": "/dev/null", "permissions": "r"},
        "KeyValue": {"key": "ODD"},
        "HugepageLimit": {"page_size": "2MB"},
    }
    for name, value in usual.get(message.DESCRIPTOR.name, {}).items():
        if not getattr(message, name):
            setattr(message, name, value)


def _extremes(message: type[Message], place: Sequence[str]) -> tuple[int, ...]:
    descriptor = message.DESCRIPTOR
    for name in place[:-1]:
        descriptor = descriptor.fields_by_name[name].message_type  # type: ignore[assignment]
    field = descriptor.fields_by_name[place[-1]]
    bits = 64 if field.type in (FieldDescriptor.TYPE_INT64, FieldDescriptor.TYPE_UINT64) else 32
    if field.type in (FieldDescriptor.TYPE_UINT32, FieldDescriptor.TYPE_UINT64):
        return 1, 2**31, 2**bits - 1
    return -1, 1, 2**31 - 1, 2 ** (bits - 1) - 1, -(2 ** (bits - 1))


def _answer(call: Any, request: Message) -> tuple[grpc.StatusCode, str, Any]:
    try:
        return grpc.StatusCode.OK, "", call(request, timeout=TIMEOUT_S)
    except grpc.RpcError as error:
        return error.code(), str(error.details()), None


def _judge(faults: list[str], what: str, code: grpc.StatusCode, details: str) -> None:
    if code in NEVER:
        faults.append(f"{what}: {code.name} {details[:200]}")


@pytest.mark.parametrize("place", list(_texts(pb.PodSandboxConfig.DESCRIPTOR)), ids=".".join)
def test_texts_of_pods(client: Client, logs: Path, place: tuple[str, ...]) -> None:
    faults: list[str] = []
    for text in TEXTS:
        request = pb.RunPodSandboxRequest(config=pod_config("odd", log_directory=logs))
        _put(request.config, place, text)
        _judge(faults, repr(text[:SMALL]), *_answer(client.runtime.RunPodSandbox, request)[:2])
        client.remove_all()
    assert faults == []
    assert client.not_ready() == ""


@pytest.mark.parametrize("place", list(_numbers(pb.PodSandboxConfig.DESCRIPTOR)), ids=".".join)
def test_numbers_of_pods(client: Client, logs: Path, place: tuple[str, ...]) -> None:
    faults: list[str] = []
    for number in _extremes(pb.PodSandboxConfig, place):
        request = pb.RunPodSandboxRequest(config=pod_config("odd", log_directory=logs))
        _put(request.config, place, number)
        _judge(faults, str(number), *_answer(client.runtime.RunPodSandbox, request)[:2])
        client.remove_all()
    assert faults == []


def _containers(client: Client, logs: Path, place: tuple[str, ...], values: Sequence[Any]) -> list[str]:
    """What of creating and starting containers with each of the values was no clear answer."""
    faults: list[str] = []
    config = pod_config("odd", log_directory=logs)
    pod = client.run_pod(config)
    for number, value in enumerate(values):
        wanted = container_config(f"odd{number}", IMAGE, FOREVER)
        request = pb.CreateContainerRequest(pod_sandbox_id=pod, config=wanted, sandbox_config=config)
        _put(request.config, place, value)
        what = repr(value)[:SMALL]
        code, details, made = _answer(client.runtime.CreateContainer, request)
        _judge(faults, f"create {what}", code, details)
        if made is not None:
            start = pb.StartContainerRequest(container_id=made.container_id)
            _judge(faults, f"start {what}", *_answer(client.runtime.StartContainer, start)[:2])
            client.remove_container(made.container_id)
    assert client.containers() == []
    client.remove_all()
    return faults


@pytest.mark.parametrize("place", list(_texts(pb.ContainerConfig.DESCRIPTOR)), ids=".".join)
def test_texts_of_containers(client: Client, logs: Path, place: tuple[str, ...]) -> None:
    assert _containers(client, logs, place, TEXTS) == []


@pytest.mark.parametrize("place", list(_numbers(pb.ContainerConfig.DESCRIPTOR)), ids=".".join)
def test_numbers_of_containers(client: Client, logs: Path, place: tuple[str, ...]) -> None:
    assert _containers(client, logs, place, _extremes(pb.ContainerConfig, place)) == []


# Of the verbs that make nothing by themselves: what is odd in them, with the ids of what is there beside it.
OTHERS = (
    "StopPodSandbox",
    "RemovePodSandbox",
    "PodSandboxStatus",
    "ListPodSandbox",
    "StartContainer",
    "StopContainer",
    "RemoveContainer",
    "ListContainers",
    "ContainerStatus",
    "UpdateContainerResources",
    "ReopenContainerLog",
    "ExecSync",
    "Exec",
    "Attach",
    "PortForward",
    "ContainerStats",
    "ListContainerStats",
    "PodSandboxStats",
    "ListPodSandboxStats",
    "UpdatePodSandboxResources",
    "UpdateRuntimeConfig",
    "Status",
)


@pytest.mark.parametrize("verb", OTHERS)
def test_texts_and_numbers_of_the_other_verbs(client: Client, logs: Path, verb: str) -> None:
    faults: list[str] = []
    method = pb.DESCRIPTOR.services_by_name["RuntimeService"].methods_by_name[verb]
    kind = type(getattr(pb, method.input_type.name)())
    call = getattr(client.runtime, verb)
    config = pod_config("odd", log_directory=logs)
    pod = client.run_pod(config)
    container = client.create_container(pod, container_config("main", IMAGE, FOREVER), config)
    client.start_container(container)
    cases: list[tuple[tuple[str, ...], str | int]]
    cases = [(place, text) for place in _texts(kind.DESCRIPTOR) for text in TEXTS]
    cases += [(place, number) for place in _numbers(kind.DESCRIPTOR) for number in _extremes(kind, place)]
    for place, value in cases:
        request = kind()
        known = {"container_id": container, "pod_sandbox_id": pod}
        # Its own removal would end the test; and a command that nobody bounds, too.
        removes = verb in ("StopContainer", "RemoveContainer", "StopPodSandbox", "RemovePodSandbox")
        for name, identifier in known.items():
            if name in kind.DESCRIPTOR.fields_by_name and not removes:
                setattr(request, name, identifier)
        if "cmd" in kind.DESCRIPTOR.fields_by_name:
            request.cmd.append("true")
        _put(request, place, value)
        _judge(faults, f"{'.'.join(place)} {value!r}"[: 2 * SMALL], *_answer(call, request)[:2])
    assert client.container(container).state == pb.CONTAINER_RUNNING
    client.remove_all()
    assert faults == []


@pytest.mark.parametrize("verb", ["RunPodSandbox", "CreateContainer", "ListContainers", "ExecSync"])
def test_bytes_that_are_no_message(daemon: Any, client: Client, verb: str) -> None:
    channel = grpc.insecure_channel(daemon.endpoint)
    call = channel.unary_unary(f"/runtime.v1.RuntimeService/{verb}", bytes, bytes)
    for data in (b"\xff\xff\xff", b"\x0a\x02\xff\xfe", b"\x0a\xff\xff\xff\x7f"):
        with pytest.raises(grpc.RpcError) as caught:
            call(data, timeout=TIMEOUT_S)
        assert caught.value.code() is grpc.StatusCode.INVALID_ARGUMENT
    channel.close()
    assert client.not_ready() == ""
