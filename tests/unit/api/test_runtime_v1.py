"""The proto is CRI v1, whole, and the committed stubs are what it generates."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import grpc
import pytest
from google.protobuf.descriptor import EnumDescriptor, FieldDescriptor, MethodDescriptor
from google.protobuf.json_format import MessageToDict

from api.runtime.v1 import api_pb2, api_pb2_grpc

CHECKOUT = Path(__file__).resolve().parents[3]
PROTO_DIRECTORY = Path("api/runtime/v1")
GENERATED = ("api_pb2.py", "api_pb2.pyi", "api_pb2_grpc.py", "api_pb2_grpc.pyi")
INVENTORY: dict[str, Any] = json.loads(Path(__file__).with_name("cri_v1_inventory.json").read_text())
SCALARS = {
    FieldDescriptor.TYPE_BOOL: "bool",
    FieldDescriptor.TYPE_BYTES: "bytes",
    FieldDescriptor.TYPE_DOUBLE: "double",
    FieldDescriptor.TYPE_INT32: "int32",
    FieldDescriptor.TYPE_INT64: "int64",
    FieldDescriptor.TYPE_STRING: "string",
    FieldDescriptor.TYPE_UINT32: "uint32",
    FieldDescriptor.TYPE_UINT64: "uint64",
}


def local_name(full_name: str) -> str:
    return full_name.removeprefix(f"{INVENTORY['package']}.")


def element_type(field: FieldDescriptor) -> str:
    if field.message_type is not None:
        return local_name(field.message_type.full_name)
    if field.enum_type is not None:
        return local_name(field.enum_type.full_name)
    return SCALARS[field.type]


def describe_field(field: FieldDescriptor) -> str:
    """``NUMBER TYPE JSON_NAME [deprecated]``, as the inventory writes it."""
    entry = field.message_type
    if entry is not None and entry.GetOptions().map_entry:
        key, value = entry.fields_by_name["key"], entry.fields_by_name["value"]
        kind = f"map<{element_type(key)},{element_type(value)}>"
    else:
        kind = ("repeated " if field.is_repeated else "") + element_type(field)
    deprecated = " deprecated" if field.GetOptions().deprecated else ""
    return f"{field.number} {kind} {field.json_name}{deprecated}"


def describe_method(method: MethodDescriptor) -> str:
    assert not method.client_streaming
    stream = "stream " if method.server_streaming else ""
    return f"{local_name(method.input_type.full_name)} -> {stream}{local_name(method.output_type.full_name)}"


def all_enums() -> list[EnumDescriptor]:
    messages = api_pb2.DESCRIPTOR.message_types_by_name.values()
    nested = [enum for message in messages for enum in message.enum_types]
    return [*api_pb2.DESCRIPTOR.enum_types_by_name.values(), *nested]


def test_package_is_the_one_that_clients_dial() -> None:
    assert api_pb2.DESCRIPTOR.package == INVENTORY["package"] == "runtime.v1"


def test_every_method_is_there_with_its_messages_and_streaming() -> None:
    described = {
        name: {method.name: describe_method(method) for method in service.methods}
        for name, service in api_pb2.DESCRIPTOR.services_by_name.items()
    }
    assert described == INVENTORY["services"]
    assert sum(len(methods) for methods in described.values()) == 43


def test_every_message_has_every_field_with_number_type_and_json_name() -> None:
    described = {
        name: {field.name: describe_field(field) for field in message.fields}
        for name, message in api_pb2.DESCRIPTOR.message_types_by_name.items()
    }
    assert described == INVENTORY["messages"]
    assert len(described) == 175


def test_every_enumeration_has_every_value() -> None:
    described = {
        local_name(enum.full_name): {value.name: value.number for value in enum.values}
        for enum in all_enums()
    }
    assert described == INVENTORY["enums"]


def test_json_names_that_are_not_lower_camel_are_kept() -> None:
    config = api_pb2.ContainerConfig(
        CDI_devices=[api_pb2.CDIDevice(name="vendor/class=one")],
        mounts=[api_pb2.Mount(uidMappings=[api_pb2.IDMapping(host_id=3949199360, length=65536)])],
    )
    assert MessageToDict(config) == {
        "CDIDevices": [{"name": "vendor/class=one"}],
        "mounts": [{"uidMappings": [{"hostId": 3949199360, "length": 65536}]}],
    }
    psi = api_pb2.PsiStats(Full=api_pb2.PsiData(Total=1, Avg10=0.5))
    assert MessageToDict(psi) == {"Full": {"Total": "1", "Avg10": 0.5}}


def test_environment_values_need_not_be_utf8() -> None:
    variable = api_pb2.KeyValue(key="RAW", value=b"\xff\x00")
    assert api_pb2.KeyValue.FromString(variable.SerializeToString()).value == b"\xff\x00"


@pytest.mark.parametrize("name", ["password", "auth", "identity_token", "registry_token"])
def test_secrets_are_marked_for_redaction(name: str) -> None:
    options = api_pb2.AuthConfig.DESCRIPTOR.fields_by_name[name].GetOptions()
    assert options.debug_redact


def test_stubs_have_every_method() -> None:
    with grpc.insecure_channel("unix:/nowhere") as channel:
        for service, methods in INVENTORY["services"].items():
            stub = getattr(api_pb2_grpc, f"{service}Stub")(channel)
            assert set(methods) <= set(vars(stub))


def test_there_is_nothing_for_servers_that_nobody_derives_from() -> None:
    assert [name for name in vars(api_pb2_grpc) if "Servicer" in name] == []


def test_every_message_and_field_of_the_proto_can_be_compiled_without_imports(tmp_path: Path) -> None:
    """Benchmarks and foreign clients compile the single file in a directory of its own."""
    (tmp_path / "cri.proto").write_bytes((CHECKOUT / PROTO_DIRECTORY / "api.proto").read_bytes())
    argv = [
        sys.executable,
        "-m",
        "grpc_tools.protoc",
        f"-I{tmp_path}",
        f"--python_out={tmp_path}",
        "cri.proto",
    ]
    subprocess.run(argv, check=True, cwd=tmp_path, timeout=60)
    assert (tmp_path / "cri_pb2.py").stat().st_size > 10_000


def test_regenerating_changes_nothing(tmp_path: Path) -> None:
    argv = [sys.executable, str(CHECKOUT / "tools/generate_proto.py"), str(tmp_path)]
    subprocess.run(argv, check=True, timeout=120)
    for name in GENERATED:
        fresh = (tmp_path / PROTO_DIRECTORY / name).read_bytes()
        assert fresh == (CHECKOUT / PROTO_DIRECTORY / name).read_bytes(), f"{name}: run `make proto`"
