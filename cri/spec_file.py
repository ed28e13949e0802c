"""config.json of a bundle, as the handler's runtime takes it fastest."""

import json
from pathlib import Path
from typing import Any

from cri.node import Node

NAME = "config.json"


def write(node: Node, handler: str, bundle: Path, document: dict[str, Any]) -> None:
    """Write the document, with its seccomp filter compiled ahead where the runtime loads such."""
    if node.handlers.takes_compiled_filters(handler):
        node.filters.annotate(document)
    (bundle / NAME).write_text(json.dumps(document))


def read(bundle: Path) -> dict[str, Any]:
    """The document as it was written."""
    document: dict[str, Any] = json.loads((bundle / NAME).read_bytes())
    return document
