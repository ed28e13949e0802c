"""What the inspection socket answers, by path."""

import asyncio
import json
import tomllib
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from cri.containers.record import Phase
from cri.inspect.routes import answer
from cri.node import Node
from cri.operations import Operations
from cri.streaming.http_head import Head, Refused
from tests.unit.cri.inspect.nodes import a_container, a_node, a_sandbox


class Freezers:
    """Cgroups that freeze at once."""

    def __init__(self) -> None:
        self.frozen: set[str] = set()

    def is_frozen(self, path: str) -> bool:
        return path in self.frozen

    def freeze(self, path: str) -> None:
        self.frozen.add(path)

    def thaw(self, path: str) -> None:
        self.frozen.discard(path)


@pytest.fixture
def node(tmp_path: Path) -> Node:
    sandbox = a_sandbox()
    container = a_container(sandbox)
    container.cgroup_path = "/pod/c"
    return a_node(
        tmp_path,
        sandbox,
        container,
        operations=Operations(slow_seconds=60),
        cgroups=Freezers(),
        cgroup_driver=SimpleNamespace(name="cgroupfs"),
        handlers=SimpleNamespace(default="crun"),
    )


async def get(node: Node, target: str, method: str = "GET") -> str:
    return (await answer(node, Head(method, target, ()))).body.decode()


async def refused(node: Node, target: str, method: str = "GET") -> tuple[int, str]:
    with pytest.raises(Refused) as caught:
        await answer(node, Head(method, target, ()))
    return int(caught.value.status), str(caught.value)


async def document(node: Node, target: str) -> Any:
    return json.loads(await get(node, target))


async def test_info_has_crios_keys(node: Node) -> None:
    info = await document(node, "/info")
    assert {"storage_driver", "storage_root", "cgroup_driver", "default_id_mappings"} <= info.keys()
    assert (info["cgroup_driver"], info["sandboxes"], info["containers"]) == ("cgroupfs", 1, 1)
    assert info["default_id_mappings"]["uids"] == [{"container_id": 0, "host_id": 0, "size": 4294967295}]


async def test_the_configuration_is_whole_in_both_forms(node: Node) -> None:
    as_file = tomllib.loads(await get(node, "/config"))["crio"]
    as_json = (await document(node, "/config.json"))["crio"]
    assert as_file["runtime"].keys() | {"runtimes"} == as_json["runtime"].keys()
    assert as_file["runtime"]["log_level"] == as_json["runtime"]["log_level"] == "info"


@pytest.mark.parametrize("identifier", ["c" * 64, "cc"])
async def test_a_container_is_found_by_its_id_and_its_beginning(node: Node, identifier: str) -> None:
    found = await document(node, f"/containers/{identifier}")
    wanted = ("name", "pid", "image", "log_path", "root", "sandbox", "ip_addresses")
    assert {key: found[key] for key in wanted} == {
        "name": "k8s_main_web_tests_u1_1",
        "pid": 77,
        "image": "app:1",
        "log_path": "/var/log/pods/x/main/1.log",
        "root": "/merged",
        "sandbox": "5" * 64,
        "ip_addresses": ["10.88.0.2", "fd00::2"],
    }


async def test_a_pod_is_described_as_its_infra_container(node: Node) -> None:
    found = await document(node, "/containers/" + "5" * 64)
    assert (found["name"], found["sandbox"]) == ("k8s_POD_web_tests_u1_2", "5" * 64)


async def test_an_exited_container_has_no_process(node: Node) -> None:
    [container] = node.containers
    container.phase = Phase.EXITED
    [found] = (await document(node, "/containers"))["containers"]
    assert (found["pid"], found["state"]) == (0, "exited")


@pytest.mark.parametrize("route", ["containers", "pause", "unpause"])
async def test_what_is_not_there_is_said_so(node: Node, route: str) -> None:
    status, words = await refused(node, f"/{route}/nothing")
    assert status == 404
    assert "nothing" in words


async def test_one_that_is_being_created_is_not_there_yet(node: Node) -> None:
    [container] = node.containers
    container.phase = Phase.CREATING
    assert (await refused(node, f"/containers/{container.id}"))[0] == 404


@pytest.mark.parametrize("method", ["GET", "POST"])
async def test_pause_and_unpause_by_turns(node: Node, method: str) -> None:
    target = "/" + "c" * 64
    assert await refused(node, "/unpause" + target, method) == (409, f"container {'c' * 12} is not paused")
    await get(node, "/pause" + target, method)
    assert node.cgroups.is_frozen("/pod/c")
    assert await refused(node, "/pause" + target, method) == (409, f"container {'c' * 12} is paused already")
    await get(node, "/unpause" + target, method)
    assert not node.cgroups.is_frozen("/pod/c")


@pytest.mark.parametrize("phase", [Phase.CREATED, Phase.EXITED])
async def test_only_what_runs_is_paused(node: Node, phase: Phase) -> None:
    [container] = node.containers
    container.phase = phase
    assert (await refused(node, f"/pause/{container.id}"))[0] == 409


async def test_tasks_are_shown_under_both_names(node: Node) -> None:
    task = asyncio.create_task(asyncio.Event().wait(), name="the one that hangs")
    await asyncio.sleep(0)
    for target in ("/debug/tasks", "/debug/goroutines"):
        text = await get(node, target)
        assert "task the one that hangs:" in text
        assert "thread MainThread:" in text
    task.cancel()


async def test_the_heap_counts_objects_by_type(node: Node) -> None:
    text = await get(node, "/debug/heap")
    assert "VmRSS" in text
    assert "builtins.dict" in text


@pytest.mark.parametrize(
    ("target", "method", "status"),
    [
        ("/nothing", "GET", 404),
        ("/info", "POST", 405),
        ("/pause/x", "DELETE", 405),
        ("/../x", "GET", 404),
        ("*", "PRI", 405),
    ],
)
async def test_other_paths_and_methods_are_refused(node: Node, target: str, method: str, status: int) -> None:
    assert (await refused(node, target, method))[0] == status


async def test_the_index_names_every_path(node: Node) -> None:
    for path in (await get(node, "/")).split():
        if "ID" not in path:
            await get(node, path)
