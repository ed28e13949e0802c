"""The pages of a node, by path. All of it reads; nothing changes anything.

/ui/                   troubles, what runs, pulls, pods
/ui/pods/ID            a pod: why it waits, its containers, its operations; also when it is gone
/ui/operations         what ended last
/ui/operations/ID      one, with its waterfall; links stay valid as long as it is remembered
/ui/images             images and disk
/ui/node               conditions, handlers, checks, configuration in force
"""

import re
import time
from collections.abc import Awaitable, Callable, Sequence
from http import HTTPStatus

from conf.sample import differences
from cri.history import Document, document
from cri.node import Node
from cri.page import show
from cri.page.markup import Markup, element, link, table
from cri.sandboxes.record import Sandbox
from cri.status.verbs import troubles
from cri.streaming.http_head import Refused
from cri.timeline import select, views
from cri.timeline.form import bytes_text, duration, moment
from cri.version import VERSION

MOST_ROWS = 500
_ID = re.compile(r"[0-9a-f]{1,64}")
# Options whose values are whatever somebody put there for pods.
_KEPT_BACK = ("default_env", "default_annotations")
_USERINFO = re.compile(r"[^/@:\s\"']+:[^/@\s\"']+@")


async def page(node: Node, path: str) -> Markup:
    """The document of a path below /ui.

    Raises:
        Refused: there is none.
    """
    for pattern, make in _PAGES:
        if (match := re.fullmatch(pattern, path)) is not None:
            title, body = await make(node, *match.groups())
            return _whole(title, body)
    raise Refused(HTTPStatus.NOT_FOUND, "there is no such page")


Made = tuple[str, Sequence[Markup]]


async def _overview(node: Node) -> Made:
    running = [document(operation) for operation in node.operations.running()]
    pulls = [each for each in running if each.get("progress")]
    return "This node", [
        element("h2", "Troubles"),
        show.troubles(troubles(node)),
        element("h2", "Running now"),
        show.operations(running, "nothing is running"),
        *(element("div", element("h2", f"Pull of {each['subject']}"), show.progress(each)) for each in pulls),
        element("h2", "Pods"),
        _pods(node),
    ]


def _pods(node: Node) -> Markup:
    pods = list(node.sandboxes)
    rows = [
        (
            link(f"/ui/pods/{one.id}", f"{one.config.metadata.namespace}/{one.config.metadata.name}"),
            one.phase.value,
            ", ".join(one.ips),
            ", ".join(
                f"{each.config.metadata.name} {each.phase.value}"
                for each in node.containers
                if each.sandbox_id == one.id
            ),
            _age(one.created_ns),
        )
        for one in pods[:MOST_ROWS]
    ]
    made = table(("pod", "state", "addresses", "containers", "age"), rows, "no pods")
    return Markup(made + _left(len(pods)))


def _left(count: int) -> Markup:
    more = count - MOST_ROWS
    return element("p", f"and {more} more", class_="dim") if more > 0 else Markup("")


async def _pod(node: Node, identifier: str) -> Made:
    sandbox = next((one for one in node.sandboxes if one.id == identifier), None)
    past = await select.past(node.operations, identifier, 100)
    running = select.running(node.operations, identifier)
    if sandbox is None and not past and not running:
        raise Refused(HTTPStatus.NOT_FOUND, "no pod has this id, and nothing of it is remembered")
    every = [*running, *reversed(past)]
    name = _name_of(sandbox, every)
    found = (await views.why_of(node, {"of": identifier}))["findings"]
    body = [element("p", element("code", identifier)), show.findings(found)]
    if sandbox is not None:
        body += [element("h2", "Containers"), _containers(node, sandbox)]
    else:
        body.append(element("p", "This pod is gone; what is remembered of it is below.", class_="dim"))
    body += [element("h2", "Operations"), show.operations(every, "nothing is remembered")]
    for each in every[:10]:
        if each.get("steps"):
            title = f"{each['verb']}, {moment(each['began_ns'])}"
            body += [element("h2", link(f"/ui/operations/{each['id']}", title)), show.waterfall(each)]
    return name, body


def _name_of(sandbox: Sandbox | None, every: Sequence[Document]) -> str:
    if sandbox is not None:
        return f"Pod {sandbox.config.metadata.namespace}/{sandbox.config.metadata.name}"
    about = every[0].get("about", {})
    return f"Pod {about.get('namespace', '')}/{about.get('pod', '')}"


def _containers(node: Node, sandbox: Sandbox) -> Markup:
    rows = [
        (
            one.config.metadata.name,
            views.state_of(one)["words"],
            one.image_spec().image,
            one.config.metadata.attempt,
            _age(one.created_ns),
            element("code", one.id[:13]),
        )
        for one in node.containers
        if one.sandbox_id == sandbox.id
    ]
    return table(("container", "state", "image", "attempt", "age", "id"), rows[:MOST_ROWS], "no containers")


async def _operations(node: Node) -> Made:
    past = await select.past(node.operations, "", 100)
    running = [document(operation) for operation in node.operations.running()]
    return "Operations", [
        element("h2", "Running now"),
        show.operations(running, "nothing is running"),
        element("h2", "Ended, newest first"),
        show.operations(past[::-1], "nothing is remembered"),
    ]


async def _operation(node: Node, identifier: str) -> Made:
    found = select.running(node.operations, identifier) + await select.past(node.operations, identifier, 50)
    each = next((one for one in found if one["id"] == identifier), None)
    if each is None:
        raise Refused(
            HTTPStatus.NOT_FOUND,
            "this operation is not remembered: it is too long ago, or was of an earlier life of the daemon",
        )
    facts = [
        ("of", show.subject(each)),
        ("began", moment(each["began_ns"])),
        ("took", duration(each["ms"] / 1000)),
        ("outcome", show.outcome(each)),
        *(each.get("about", {}).items()),
    ]
    return str(each["verb"]), [
        table(("", ""), facts),
        element("h2", "Steps"),
        show.waterfall(each),
        show.progress(each),
    ]


async def _images(node: Node) -> Made:
    images = node.images.list()
    usage = node.images.fs_info()
    rows = [
        (
            ", ".join((*one.repo_tags, *one.repo_digests)) or "(no name)",
            element("code", one.id.removeprefix("sha256:")[:13]),
            bytes_text(one.size_bytes),
            len(one.layers),
            element("span", one.fault, class_="bad") if one.fault else "pinned" if one.pinned else "",
        )
        for one in images[:MOST_ROWS]
    ]
    disk = (
        f"Layers take {bytes_text(usage.used_bytes)} and {usage.inodes_used} inodes below {usage.mountpoint}."
    )
    return "Images", [
        element("p", disk),
        show.troubles([{"subject": "disk", "error": each} for each in node.space.problems()]),
        element("h2", "Images"),
        Markup(table(("name", "id", "size", "layers", ""), rows, "no images") + _left(len(images))),
    ]


async def _node(node: Node) -> Made:
    network = node.network.ready()
    problem = node.handlers.problem() or node.stuck_logs.monitor_problem
    conditions = [
        ("runtime", "ready" if not problem else element("span", problem, class_="bad")),
        ("network", "ready" if network.ok else element("span", network.message, class_="bad")),
        ("cgroups", node.cgroup_driver.name),
        ("default handler", node.handlers.default),
        ("version", VERSION),
    ]
    unusable = node.handlers.unusable()
    handlers = [(name, "not usable" if name in unusable else "usable") for name in node.handlers.names()]
    return "Host and configuration", [
        element("h2", "Conditions"),
        table(("what", "state"), conditions),
        element("h2", "Handlers"),
        table(("handler", "state"), handlers),
        element("h2", "Checks"),
        show.troubles(troubles(node)),
        element("p", "podwright check examines the host itself.", class_="dim"),
        element("h2", "Configuration in force, where it is not the default"),
        element("pre", Markup("\n".join(element("span", line) for line in configuration(node)))),
    ]


def configuration(node: Node) -> list[str]:
    """Options that are not at their defaults, a line each, without what may be secret."""
    lines = []
    for line in differences(node.config).splitlines():
        key = line.partition("=")[0].strip()
        lines.append(f"{key} = (not shown)" if key in _KEPT_BACK else _USERINFO.sub("…@", line))
    return lines


def _age(created_ns: int) -> str:
    return duration(max(0.0, time.time() - created_ns / 1e9))


_PAGES: Sequence[tuple[str, Callable[..., Awaitable[Made]]]] = (
    (r"/ui/?", _overview),
    (r"/ui/pods/([0-9a-f]{64})", _pod),
    (r"/ui/operations/?", _operations),
    (r"/ui/operations/([0-9a-f]{1,16})", _operation),
    (r"/ui/images/?", _images),
    (r"/ui/node/?", _node),
)


def _whole(title: str, body: Sequence[Markup]) -> Markup:
    head = element(
        "head",
        element("meta", charset="utf-8"),
        element("meta", name="viewport", content="width=device-width, initial-scale=1"),
        element("title", f"{title} - Podwright"),
        element("link", rel="stylesheet", href="/ui/style.css"),
    )
    places = (
        ("/ui/", "Node"),
        ("/ui/operations", "Operations"),
        ("/ui/images", "Images"),
        ("/ui/node", "Host"),
    )
    nav = element("nav", *(link(target, name) for target, name in places))
    when = element("p", f"As of {moment(time.time_ns())}.", class_="dim")
    whole = element("html", head, element("body", nav, element("h1", title), *body, when), lang="en")
    return Markup(f"<!doctype html>\n{whole}\n")
