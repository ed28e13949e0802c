"""tests/chaos/requests: everything is asked for, and by a seed the same."""

import random
from pathlib import Path

from api.runtime.v1 import api_pb2 as pb
from tests.chaos.requests import PODS, VERBS, View, draw


def view(seed: int, pods: int = 2, containers: int = 2) -> View:
    return View(
        [
            pb.PodSandbox(id=f"{number:064x}", metadata=pb.PodSandboxMetadata(name=f"p{number}"))
            for number in range(pods)
        ],
        [pb.Container(id=f"{number:064x}") for number in range(containers)],
        random.Random(seed),
        ["localhost/test/busybox:1", "registry.example/im:1"],
        Path("/logs"),
        "/pods",
    )


def test_every_rpc_of_both_services_is_drawn() -> None:
    services = pb.DESCRIPTOR.services_by_name.values()
    assert set(VERBS) == {method.name for service in services for method in service.methods}
    assert all(verb.weight > 0 for verb in VERBS.values())


def test_a_request_is_of_the_type_that_its_rpc_takes() -> None:
    types = {
        method.name: method.input_type.full_name
        for service in pb.DESCRIPTOR.services_by_name.values()
        for method in service.methods
    }
    for name, verb in VERBS.items():
        request = verb.make(view(1))
        assert request is not None
        assert request.DESCRIPTOR.full_name == types[name]


def test_the_same_seed_draws_the_same() -> None:
    first, second = view(7), view(7)
    assert [draw(first) for _ in range(200)] == [draw(second) for _ in range(200)]


def test_a_pod_is_asked_for_with_the_same_configuration_each_time() -> None:
    assert view(1).pod_config("p1") == view(2).pod_config("p1")


def test_a_full_node_gets_no_more_pods_and_an_empty_one_no_containers() -> None:
    assert VERBS["RunPodSandbox"].make(view(1, pods=PODS)) is None
    assert VERBS["CreateContainer"].make(view(1, pods=0)) is None
