"""What must be so whenever no verb runs: lists, records and the world say the same."""

from collections.abc import Iterator

from cri.containers.record import KIND as CONTAINER
from cri.containers.record import Container
from cri.containers.record import Phase as ContainerPhase
from cri.node import Node
from cri.sandboxes.record import KIND as SANDBOX
from cri.sandboxes.record import Phase, Sandbox
from tests.fakes.node import world_of


def broken(node: Node) -> list[str]:
    """Every contradiction, as a sentence."""
    return [*_records(node), *_pods(node), *_containers(node), *_of_nobody(node)]


def _records(node: Node) -> Iterator[str]:
    pods = {one.id: one.phase for one in map(Sandbox.from_row, node.records.rows(SANDBOX))}
    if pods != {one.id: one.phase for one in node.sandboxes}:
        yield f"the records of pods are {pods}"
    containers = {one.id: one.phase for one in map(Container.from_row, node.records.rows(CONTAINER))}
    if containers != {one.id: one.phase for one in node.containers}:
        yield f"the records of containers are {containers}"


def _pods(node: Node) -> Iterator[str]:
    world = world_of(node)
    for pod in node.sandboxes:
        if pod.phase is Phase.CREATING:
            yield "a pod is being created by nobody"
        if pod.phase is not Phase.READY:
            continue
        if not all(path.exists() for path in pod.namespaces.values()) or not pod.namespaces:
            yield "a ready pod lacks a namespace"
        pause = ("processes", "watched", "runtime") if pod.pause_pid else ()
        for kind in ("leases", "links", "attachments", *pause):
            if not any(name.startswith(pod.id) for name in world.names(kind)):
                yield f"a ready pod has none of {kind}"


def _containers(node: Node) -> Iterator[str]:
    world = world_of(node)
    for container in node.containers:
        if container.phase is ContainerPhase.CREATING:
            yield "a container is being created by nobody"
        if node.sandboxes.find(container.sandbox_id) is None:
            yield "a container is of no pod"
        lives = world.file("processes", container.id).exists()
        if lives is not container.alive:
            yield f"a container is {container.phase}, and its process {'lives' if lives else 'is gone'}"
        if not container.alive:
            continue
        for kind in ("rootfs", "mounts", "runtime"):
            if not world.file(kind, container.id).exists():
                yield f"a live container has none of {kind}"
        if not (node.paths.container(container.id) / "config.json").exists():
            yield "a live container has no bundle"


def _of_nobody(node: Node) -> Iterator[str]:
    known = [*(one.id for one in node.sandboxes), *(one.id for one in node.containers)]
    found = world_of(node).left()
    for directory in (node.paths.sandboxes, node.paths.containers, node.paths.mounts):
        found += [str(path) for path in directory.iterdir()]
    yield from (f"of nobody: {name}" for name in found if not any(one in name for one in known))
