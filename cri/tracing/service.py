"""Tracing of a node: what the composition root starts where the configuration enables it."""

import asyncio
from functools import partial

from cri.node import Node
from cri.subject import of_request
from cri.tracing.export import Export
from cri.tracing.spans import Spans

TROUBLE = "tracing"


def start(node: Node) -> tuple[Spans, Export]:
    """Make spans of every operation from now on; those of calls are the server's to ask for."""
    loop = asyncio.get_running_loop()

    def report(words: str) -> None:
        if not loop.is_closed():
            loop.call_soon_threadsafe(partial(_note, node, words))

    export = Export(node.config.tracing, report)
    spans = Spans(export.tracer, lambda request: of_request(node, request)())
    node.operations.observe(spans)
    return spans, export


def _note(node: Node, words: str) -> None:
    if words:
        node.background.note(TROUBLE, words)
    else:
        node.background.clear(TROUBLE)
