"""A node over the World: the daemon's own verbs, records and files, and fakes for what needs root.

<directory>/run     runroot: records.sqlite, sandboxes, containers
<directory>/world   see tests/fakes/world.py
"""

import asyncio
import contextlib
import os
from collections.abc import AsyncIterator, Callable, Iterable, Mapping
from contextlib import asynccontextmanager
from dataclasses import MISSING, fields, replace
from functools import cache, partial
from pathlib import Path
from typing import Any

from api.ids import ImageId
from conf.schema import Config
from cri import exits
from cri import restore as restoring
from cri.cgroups.ahead import MovesAhead
from cri.cgroups.files import FilesDriver
from cri.containers.accounts import Accounts
from cri.containers.record import Container
from cri.defaults import HandlerDefaults, handler_defaults
from cri.events import Events
from cri.node import Node
from cri.operations import Operations
from cri.paths import Paths
from cri.quarantine import Quarantine
from cri.records import Records
from cri.sandboxes import files, release, run
from cri.sandboxes.record import Sandbox
from cri.space import Space
from cri.store import Store
from cri.supervise import Supervisor
from host import mounts
from host.namespaces import Kind
from host.threads import DetachedThreads
from oci import hostview
from oci.generate.inputs import HostView, MountPoint
from oci.precompiled import Filters
from tests.fakes.cgroups import FakeHierarchy
from tests.fakes.images import FakeImages
from tests.fakes.monitor import FakeMonitor
from tests.fakes.network import FakeNetwork
from tests.fakes.rootfs import FakeRootfs
from tests.fakes.runtime import handlers
from tests.fakes.world import World
from tests.unit.cri.made import IMAGE

OTHER = replace(
    IMAGE,
    id=ImageId("sha256:" + "3" * 64),
    repo_tags=("registry.example/other:1",),
    repo_digests=("registry.example/other@sha256:" + "4" * 64,),
)


@asynccontextmanager
async def started(directory: Path, point: Callable[[str], None] = lambda _: None) -> AsyncIterator[Node]:
    """As cri.daemon.build has it: restored, and told of exits. ``kernel`` must be in place."""
    world = World(directory / "world", point)
    monitor = FakeMonitor(world)
    paths = Paths(directory / "run")
    for path in (paths.sandboxes, paths.containers, paths.mounts, paths.runtimes):
        path.mkdir(parents=True, exist_ok=True)
    hierarchy, network = FakeHierarchy((), world, monitor), FakeNetwork(world)
    records, background = Records(paths.records), Supervisor()
    parts: dict[str, Any] = dict.fromkeys(_needed()) | {
        "config": _config(directory),
        "paths": paths,
        "records": records,
        "sandboxes": Store[Sandbox]("sandbox"),
        "containers": Store[Container]("container"),
        "operations": Operations(slow_seconds=60),
        "events": Events(),
        "quarantine": Quarantine(),
        "accounts": Accounts(),
        "moves": MovesAhead(),
        "images": images(world),
        "rootfs": FakeRootfs(world),
        "network": network,
        "handlers": handlers(world, monitor, paths.runtimes),
        "monitor": monitor,
        "cgroups": hierarchy,
        "cgroup_driver": FilesDriver(hierarchy),
        "host": HostView(),
        "defaults": _defaults(),
        "filters": Filters(),
        "background": background,
        "space": Space(_config(directory)),
        "unreadable": set(),
        "volume_threads": DetachedThreads("volumes", 8),
    }
    node = Node(**parts)
    watching = asyncio.create_task(_watch_exits(node))
    try:
        await restoring.restore(node)
        yield node
    finally:
        watching.cancel()
        await asyncio.gather(watching, return_exceptions=True)
        await background.close()
        records.close()


def _needed() -> list[str]:
    """The parts that a node does not bring along itself."""
    return [one.name for one in fields(Node) if one.default is MISSING and one.default_factory is MISSING]


async def _watch_exits(node: Node) -> None:
    async for event in node.monitor.exits():
        node.background.until_done(f"exit {event.id}", partial(exits.handle, node, event))


def _config(directory: Path) -> Config:
    config = Config()
    return replace(config, log_dir=directory / "log", runtime=replace(config.runtime, cdi_spec_dirs=()))


def images(world: World) -> FakeImages:
    """IMAGE is here when the world is new; OTHER is to be had."""
    if not world.names("images"):
        for kind in ("layers", "images"):
            world.file(kind, IMAGE.id).touch()
    return FakeImages(world, [IMAGE, OTHER])


@cache
def _defaults() -> HandlerDefaults:
    return handler_defaults(Config(), "runc")


def world_of(node: Node) -> World:
    """The one that a node of ``started`` works on."""
    assert isinstance(node.rootfs, FakeRootfs)
    return node.rootfs._world


def kernel(directory: Path, point: Callable[[str], None] = lambda _: None) -> list[tuple[Any, str, Any]]:
    """What to replace, and by what: the calls of sandboxes and bundles that only root may make."""

    def pin(
        kinds: Iterable[Kind], place: Path, *, sysctls: Mapping[str, str], hostname: str
    ) -> dict[Kind, Path]:
        place.mkdir(parents=True, exist_ok=True)
        pinned = {kind: place / kind for kind in kinds}
        for path in pinned.values():
            point("before a namespace is pinned")
            path.touch()
            point("after a namespace is pinned")
        return pinned

    def unpin(path: Path) -> None:
        point("before a namespace is unpinned")
        path.unlink(missing_ok=True)
        point("after a namespace is unpinned")

    nodes_resolv_conf = directory / "resolv.conf"
    nodes_resolv_conf.touch()
    return [
        (os, "chown", lambda *_, **__: None),
        (mounts, "mount_tmpfs", lambda *_: None),
        (files, "HOST_RESOLV_CONF", nodes_resolv_conf),
        (run, "pin", pin),
        (release, "unpin", unpin),
        (restoring, "is_pinned", Path.exists),
        (hostview, "mount_points", lambda: (MountPoint("/", shared=True),)),
        (hostview, "host_devices", lambda: ()),
    ]


def leftovers(node: Node) -> list[str]:
    """What is there though no pod and no container is."""
    found = world_of(node).left()
    for directory in (node.paths.sandboxes, node.paths.containers, node.paths.mounts):
        found += [f"file {path}" for path in directory.iterdir()]
    for kind in ("sandbox", "container"):
        found += [f"record of {kind} {row.id}" for row in node.records.rows(kind)]
    with contextlib.suppress(FileNotFoundError):
        found += [f"log {path}" for path in node.config.log_dir.iterdir()]
    return found
