"""config.json of a bundle, as the handler's runtime takes it fastest."""

import json
from pathlib import Path
from typing import Any

from api.errors import InvalidArgument
from cri.node import Node

NAME = "config.json"
# The kernel takes 2 MiB of arguments and environment (execve(2)); the rest of a document is far smaller.
LIMIT_BYTES = 4 << 20


class SpecTooLarge(InvalidArgument):
    """Image and request make a document that no program could be started with."""


def write(node: Node, handler: str, bundle: Path, document: dict[str, Any]) -> None:
    """Write the document, with its seccomp filter compiled ahead where the runtime loads such.

    Raises:
        SpecTooLarge: it lies in memory, on /run, as long as the container is there.
    """
    if node.handlers.takes_compiled_filters(handler):
        node.filters.annotate(document)
    text = json.dumps(document)
    if len(text) > LIMIT_BYTES:
        raise SpecTooLarge(
            f"config.json would be of {len(text)} bytes, {LIMIT_BYTES} are accepted: "
            "fewer or shorter arguments, variables, mounts or annotations"
        )
    (bundle / NAME).write_text(text)


def read(bundle: Path) -> dict[str, Any]:
    """The document as it was written."""
    document: dict[str, Any] = json.loads((bundle / NAME).read_bytes())
    return document
