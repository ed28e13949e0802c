"""Names that identify repeats."""

import pytest

from api.runtime.v1 import api_pb2 as pb
from cri.names import BadName, IncompleteMetadata, container_name, sandbox_name

POD = pb.PodSandboxMetadata(name="web", namespace="shop", uid="u1", attempt=2)


def test_names_hold_every_part_of_the_metadata() -> None:
    assert sandbox_name(POD) == "k8s_web_shop_u1_2"
    assert container_name(pb.ContainerMetadata(name="main", attempt=3), POD) == "k8s_main_web_shop_u1_3"


@pytest.mark.parametrize("missing", ["name", "namespace", "uid"])
def test_a_missing_part_is_named(missing: str) -> None:
    metadata = pb.PodSandboxMetadata()
    metadata.CopyFrom(POD)
    metadata.ClearField(missing)  # type: ignore[arg-type]
    with pytest.raises(IncompleteMetadata, match=f"metadata.{missing} is empty"):
        sandbox_name(metadata)


def test_a_container_needs_a_name() -> None:
    with pytest.raises(IncompleteMetadata, match=r"metadata\.name"):
        container_name(pb.ContainerMetadata(), POD)


@pytest.mark.parametrize("field", ["name", "namespace", "uid"])
def test_no_name_can_add_arguments_to_those_of_a_network_plugin(field: str) -> None:
    metadata = pb.PodSandboxMetadata()
    metadata.CopyFrom(POD)
    setattr(metadata, field, "web;K8S_POD_NAMESPACE=kube-system")
    with pytest.raises(BadName, match=f"metadata.{field}"):
        sandbox_name(metadata)
