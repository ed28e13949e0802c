"""What the inspection socket answers: CRI-O's paths (crio.8, crio-status.8), and a few of our own.

/info                    storage and cgroups, as CRI-O's JSON
/config                  the configuration in force, as a file
/containers/ID           a container or pod by id or its beginning, as CRI-O's JSON
/pause/ID  /unpause/ID   freeze a container, and let it go on
/debug/tasks             where tasks and threads wait; also as /debug/goroutines
/debug/heap              what the daemon's memory holds
/containers  /config.json  /operations  /    our own: a list, the same as JSON, what runs, this list
"""

import asyncio
import os
from collections.abc import Awaitable, Callable, Mapping
from http import HTTPStatus

from api.errors import AlreadyExists, FailedPrecondition, NotFound, PodwrightError
from conf.sample import document, in_force
from cri.grpc_errors import message_of
from cri.inspect import describe, dump, heap, pausing
from cri.inspect.http import Answer
from cri.node import Node
from cri.status.verbs import operations
from cri.streaming.http_head import Head, Refused
from cri.version import VERSION

# What an id of the kernel can be at most: "all ids, as they are".
ALL_IDS = 0xFFFF_FFFF
_READING = ("GET", "HEAD")


async def answer(node: Node, head: Head) -> Answer:
    """
    Raises:
        Refused: with the status for the client.
    """
    route, _, rest = head.path.removeprefix("/").partition("/")
    if route in ("pause", "unpause"):
        return await _changed(node, head, route, rest)
    if head.method not in _READING:
        raise Refused(HTTPStatus.METHOD_NOT_ALLOWED, "only GET is allowed", (("Allow", "GET, HEAD"),))
    if route == "containers" and rest:
        return Answer.of_json(_one(node, rest))
    found = _PAGES.get(head.path)
    if found is None:
        raise Refused(HTTPStatus.NOT_FOUND, f"there is no {head.path}: {', '.join(_PATHS)}")
    return await found(node)


def _one(node: Node, identifier: str) -> Mapping[str, object]:
    try:
        return describe.one(node, identifier)
    except PodwrightError as error:
        raise Refused(_status(error), message_of(error)) from error


async def _changed(node: Node, head: Head, route: str, identifier: str) -> Answer:
    if head.method not in ("GET", "POST"):  # CRI-O's own client sends GET
        raise Refused(
            HTTPStatus.METHOD_NOT_ALLOWED, "only POST and GET are allowed", (("Allow", "POST, GET"),)
        )
    try:
        await (pausing.pause if route == "pause" else pausing.unpause)(node, identifier)
    except PodwrightError as error:
        raise Refused(_status(error), message_of(error)) from error
    return Answer.of_text("200 OK\n")


def _status(error: PodwrightError) -> int:
    match error:
        case NotFound():
            return HTTPStatus.NOT_FOUND
        case FailedPrecondition() | AlreadyExists():
            return HTTPStatus.CONFLICT
    return HTTPStatus.INTERNAL_SERVER_ERROR


async def _info(node: Node) -> Answer:
    whole = [{"container_id": 0, "host_id": 0, "size": ALL_IDS}]
    return Answer.of_json(
        {
            "storage_driver": "overlay",
            "storage_image": "",
            "storage_root": str(node.config.root),
            "cgroup_driver": node.cgroup_driver.name,
            "default_id_mappings": {"uids": whole, "gids": whole},
            "runtime": "podwright",
            "version": VERSION,
            "pid": os.getpid(),
            "runroot": str(node.paths.runroot),
            "default_runtime": node.handlers.default,
            "sandboxes": len(list(node.sandboxes)),
            "containers": len(list(node.containers)),
        }
    )


async def _config(node: Node) -> Answer:
    return Answer(in_force(node.config).encode(), "application/toml")


async def _config_json(node: Node) -> Answer:
    return Answer.of_json({"crio": document(node.config)})


async def _containers(node: Node) -> Answer:
    return Answer.of_json({"containers": [describe.of_container(node, one) for one in node.containers]})


async def _operations(node: Node) -> Answer:
    return Answer.of_json({"running": operations(node)})


async def _tasks(node: Node) -> Answer:
    return Answer.of_text(dump.text(asyncio.get_running_loop()))


async def _heap(node: Node) -> Answer:
    return Answer.of_text(await asyncio.to_thread(heap.text))


async def _index(node: Node) -> Answer:
    return Answer.of_text("".join(f"{path}\n" for path in _PATHS))


_PAGES: Mapping[str, Callable[[Node], Awaitable[Answer]]] = {
    "/info": _info,
    "/config": _config,
    "/config.json": _config_json,
    "/containers": _containers,
    "/operations": _operations,
    "/debug/tasks": _tasks,
    "/debug/goroutines": _tasks,
    "/debug/heap": _heap,
    "/": _index,
}
_PATHS = (*sorted(_PAGES), "/containers/ID", "/pause/ID", "/unpause/ID")
