"""Answers to questions about the node: JSON's types, made of its stores and operations."""

from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from api.errors import InvalidArgument, NotFound
from cri.containers.record import Container
from cri.history import Document
from cri.node import Node
from cri.sandboxes.record import Phase, Sandbox
from cri.status.verbs import troubles
from cri.store import AmbiguousId
from cri.timeline import select, why

MOST = 10_000


class UnknownName(NotFound):
    """Nothing that runs or is remembered has this name."""


class UnknownQuestion(InvalidArgument):
    """A question of a newer podwright, or of none."""


async def running(node: Node, ask: Mapping[str, Any]) -> Document:
    """What runs now, and what is in trouble."""
    return {"running": select.running(node.operations, word_of(ask)), "troubles": troubles(node)}


async def timeline(node: Node, ask: Mapping[str, Any]) -> Document:
    """What has ended and what runs, oldest first, of ``of`` or all; ``limit`` of it, later than ``since``."""
    word, limit, since = word_of(ask), _limit(ask), _since(ask)
    ended = await select.past(node.operations, word, limit, since)
    return {"operations": ended, "running": select.running(node.operations, word)}


async def why_of(node: Node, ask: Mapping[str, Any]) -> Document:
    """See cri/timeline/why.py.

    Raises:
        UnknownName: there is nothing of that name.
    """
    word = word_of(ask)
    sandboxes = named(node, word)
    words = {word, *(sandbox.id for sandbox in sandboxes)} | {_pod(sandbox) for sandbox in sandboxes}
    now = _unique(each for one in words for each in select.running(node.operations, one))
    past = _unique([each for one in sorted(words) for each in await select.past(node.operations, one, 200)])
    images = {str(each.get("about", {}).get("image", "")) for each in (*now, *past)} - {""}
    now += [
        each
        for each in select.running(node.operations)
        if each["verb"] == "PullImage" and each["subject"] in images and each not in now
    ]
    if not (now or past or sandboxes):
        raise UnknownName(
            f"nothing of the name {word!r} runs or is remembered: podwright timeline shows what is"
        )
    states = [state for sandbox in sandboxes for state in states_of(node, sandbox)]
    handler = next((sandbox.runtime for sandbox in sandboxes), node.handlers.default)
    found = why.findings(now, past, states, handler)
    return {"of": word, "findings": found or [_nothing(past)]}


def _nothing(past: list[Document]) -> Document:
    last = past[-1]["verb"] if past else ""
    return {
        "what": f"nothing of it runs, and nothing of it failed; the last that was done is {last}",
        "since_ns": past[-1]["began_ns"] if past else 0,
        "tried": "",
        "whose": "the kubelet: it is its turn",
        "todo": "look at kubectl describe pod and at the kubelet's log",
    }


def _unique(every: Any) -> list[Document]:
    return sorted({each["id"]: each for each in every}.values(), key=lambda each: int(each["id"], 16))


def named(node: Node, word: str) -> list[Sandbox]:
    """The pods of this name or id, or of a container that has it."""
    found: dict[str, Sandbox] = {one.id: one for one in node.sandboxes if word in (_pod(one), _name(one))}
    for store in (node.sandboxes, node.containers):
        try:
            record = store.find(word)
        except AmbiguousId:
            continue
        if isinstance(record, Container):
            record = node.sandboxes.find(record.sandbox_id)
        if isinstance(record, Sandbox):
            found[record.id] = record
    return list(found.values())


def _name(sandbox: Sandbox) -> str:
    return str(sandbox.config.metadata.name)


def _pod(sandbox: Sandbox) -> str:
    return f"{sandbox.config.metadata.namespace}/{sandbox.config.metadata.name}"


def states_of(node: Node, sandbox: Sandbox) -> list[Document]:
    """What state a pod and its containers are in, and whose turn it is."""
    containers = [one for one in node.containers if one.sandbox_id == sandbox.id]
    if sandbox.phase is not Phase.READY:
        return [
            {
                "words": f"the pod is {sandbox.phase}",
                "since_ns": sandbox.created_ns,
                "whose": "the kubelet: it is its turn to remove the pod, or to make another",
                "todo": "look at kubectl describe pod",
            }
        ]
    if not containers:
        return [
            {
                "words": "the pod is ready, and has no containers",
                "since_ns": sandbox.created_ns,
                "whose": "the kubelet: it has not asked for a container yet, or waits for a volume",
                "todo": "look at kubectl describe pod, and at the kubelet's log",
            }
        ]
    return [state_of(one) for one in containers]


def state_of(container: Container) -> Document:
    """Of one container."""
    name = container.config.metadata.name
    since_ns = container.finished_ns or container.started_ns or container.created_ns
    if container.exit_code:
        return {
            "words": f"container {name} has ended: {container.reason}, exit code {container.exit_code}"
            + (f", {container.message}" if container.message else ""),
            "since_ns": since_ns,
            "whose": "the program in the container, or its memory limit"
            if container.reason == "OOMKilled"
            else "the program in the container",
            "todo": f"look at its log: {container.log_path or 'kubectl logs'}",
        }
    words = f"container {name} is {container.phase}"
    return {"words": words, "since_ns": since_ns, "whose": "", "todo": ""}


def word_of(ask: Mapping[str, Any]) -> str:
    """What is asked about; "" is everything."""
    return str(ask.get("of") or "")[:1000]


def _limit(ask: Mapping[str, Any]) -> int:
    limit = ask.get("limit", 200)
    if not isinstance(limit, int) or not 0 < limit <= MOST:
        raise InvalidArgument(f"limit {limit!r} is not a number from 1 to {MOST}")
    return limit


def _since(ask: Mapping[str, Any]) -> str:
    since = str(ask.get("since") or "")
    try:
        int(since or "0", 16)
    except ValueError:
        raise InvalidArgument(f"since {since!r} is no id of an operation") from None
    return since


QUESTIONS: Mapping[str, Callable[[Node, Mapping[str, Any]], Awaitable[Document]]] = {
    "running": running,
    "timeline": timeline,
    "why": why_of,
}


async def answer(node: Node, ask: Mapping[str, Any]) -> Document:
    """Answer one of QUESTIONS, named by ``ask["ask"]``.

    Raises:
        UnknownQuestion, UnknownName, InvalidArgument.
    """
    question = QUESTIONS.get(str(ask.get("ask")))
    if question is None:
        raise UnknownQuestion(f"there is no question {ask.get('ask')!r}: {', '.join(QUESTIONS)} are known")
    return await question(node, ask)
