"""The page: well-formed, without a stranger's markup, with links that lead somewhere and no secrets."""

import re
from collections.abc import AsyncIterator
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import pytest

from api.runtime.v1 import api_pb2 as pb
from conf.values import Assignment
from cri.node import Node
from cri.page import pages
from cri.page.service import POLICY, Pages, is_own
from cri.sandboxes.run import run_pod_sandbox
from cri.streaming.http_head import Head, Refused
from cri.stuck_logs import StuckLogs
from oci.monitor.types import StuckLog
from storage.progress import Layer, Progress
from tests.fakes import node as fakes

EVIL = "<script>alert(1)</script>\"'&\x1b[2J\u202e"
VOID = {"meta", "link", "rect", "br"}


class Reader(HTMLParser):
    """Elements that close in order, the links among them, and all text."""

    def __init__(self, document: str) -> None:
        super().__init__(convert_charrefs=True)
        self.open: list[str] = []
        self.tags: set[str] = set()
        self.attributes: set[str] = set()
        self.links: list[str] = []
        self.text = ""
        self.feed(document)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        self.attributes |= {name for name, _ in attrs}
        self.links += [value or "" for name, value in attrs if name in ("href", "src")]
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text += data


async def _no_logs(_: float) -> list[StuckLog]:
    return []


@pytest.fixture
async def node(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Node]:
    for owner, name, other in fakes.kernel(tmp_path):
        monkeypatch.setattr(owner, name, other)
    async with fakes.started(tmp_path) as made:
        made.stuck_logs = StuckLogs(_no_logs)
        yield made


def _get(path: str, host: str = "127.0.0.1:9090", method: str = "GET") -> Head:
    return Head(method, path, (("host", host),))


async def _page(node: Node, path: str) -> Reader:
    head, _, body = (await Pages(node).answer(_get(path))).partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 200 OK")
    assert f"Content-Security-Policy: {POLICY}".encode() in head
    return Reader(body.decode())


async def _live(node: Node) -> str:
    """A pod, a failed call of a stranger, and a pull that runs."""
    metadata = pb.PodSandboxMetadata(name="web", namespace="tests", uid="1")
    config = pb.PodSandboxConfig(metadata=metadata, labels={"a": EVIL})
    pod = (await run_pod_sandbox(node, pb.RunPodSandboxRequest(config=config))).pod_sandbox_id
    failed = node.operations.begin("CreateContainer", EVIL, {"pod": EVIL, "container": EVIL})
    with failed.step(f"remove container {EVIL}"):
        node.operations.end(failed, ValueError(EVIL))
    pull = node.operations.begin("PullImage", EVIL, {"image": EVIL})
    layer = Layer(EVIL, 100)
    layer.begins()
    layer.came(40)
    pull.progress = Progress([layer])
    node.background.note(EVIL, EVIL)
    return pod


async def test_every_page_is_well_formed_and_every_link_leads_somewhere(node: Node) -> None:
    pod = await _live(node)
    todo, seen = ["/ui/", f"/ui/pods/{pod}"], set[str]()
    while todo:
        path = todo.pop()
        if path in seen or path == "/ui/style.css":
            continue
        seen.add(path)
        assert re.fullmatch(r"/ui/[\w/]*", path)
        found = await _page(node, path)
        assert not found.tags & {"script", "iframe", "object", "style", "form", "base", "img"}
        assert not {name for name in found.attributes if name.startswith("on") or name == "style"}
        assert "\x1b" not in found.text
        assert "\u202e" not in found.text
        todo += found.links
    assert len(seen) >= 7
    assert f"/ui/pods/{pod}" in seen


async def test_strangers_text_is_shown_as_text(node: Node) -> None:
    await _live(node)
    for path in ("/ui/", "/ui/operations", "/ui/node"):
        assert "<script>alert(1)</script>" in (await _page(node, path)).text


async def test_a_pod_that_is_gone_is_still_there_as_long_as_it_is_remembered(node: Node) -> None:
    gone = "5" * 64
    node.operations.note("StopPodSandbox", gone, {"namespace": "tests", "pod": "old", "sandbox_id": gone})
    found = await _page(node, f"/ui/pods/{gone}")
    assert "This pod is gone" in found.text
    assert "Pod tests/old" in found.text
    with pytest.raises(Refused, match="nothing of it is remembered"):
        await Pages(node).answer(_get(f"/ui/pods/{'6' * 64}"))


async def test_no_secret_of_the_configuration_is_shown(node: Node) -> None:
    runtime = replace(node.config.runtime, default_env=(Assignment.parse("TOKEN=s3cret"),))
    node.config = replace(node.config, runtime=runtime, log_dir=Path("/logs/me:s3cret@proxy.example/x"))
    lines = "\n".join(pages.configuration(node))
    assert "log_dir" in lines
    assert "default_env = (not shown)" in lines
    assert "s3cret" not in lines
    assert "s3cret" not in (await _page(node, "/ui/node")).text


@pytest.mark.parametrize(
    ("host", "own"),
    [
        ("127.0.0.1", True),
        ("[::1]", True),
        ("10.1.2.3", True),
        ("localhost", True),
        ("evil.example", False),
        ("127.0.0.1.evil.example", False),
        ("", False),
    ],
)
def test_only_names_of_this_machine_are_answered(host: str, own: bool) -> None:
    assert is_own(host) is own


@pytest.mark.parametrize(
    ("head", "status"),
    [
        (_get("/ui/", host="evil.example"), 421),
        (Head("GET", "/ui/", ()), 421),
        (Head("GET", "/ui/", (("host", "localhost"), ("host", "evil.example"))), 421),
        (_get("/ui/", method="POST"), 405),
        (_get("/ui/../etc/passwd"), 404),
        (_get("/ui/pods/%3Cscript%3E"), 404),
        (_get("/ui/operations/zz"), 404),
        (_get("/ui/operations/1"), 404),
    ],
)
async def test_what_is_refused(node: Node, head: Head, status: int) -> None:
    with pytest.raises(Refused) as caught:
        await Pages(node).answer(head)
    assert caught.value.status == status


async def test_the_root_leads_to_the_page_and_a_head_has_no_body(node: Node) -> None:
    answer = await Pages(node).answer(_get("/"))
    assert answer.startswith(b"HTTP/1.1 302 Found")
    assert b"Location: /ui/\r\n" in answer
    assert (await Pages(node).answer(_get("/ui/", method="HEAD"))).endswith(b"\r\n\r\n")
