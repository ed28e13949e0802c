"""Which operations are about what somebody names: a pod, a container, an image or an operation.

A name is that of a pod (``web``, ``namespace/web``), of a container (``main``, ``namespace/web/main``) or of
an image (with or without registry and tag); an id is that of any of these or of an operation, or its
beginning.
"""

import asyncio
import re
from collections.abc import Iterator
from itertools import islice

from cri.history import Document, document
from cri.operations import Operations

_ID = re.compile(r"[0-9a-f]{3,64}")


def is_about(each: Document, word: str) -> bool:
    """Whether an operation's document is about what ``word`` names."""
    about = each.get("about", {})
    names = [about.get("namespace"), about.get("pod"), about.get("container")]
    if word in (names[1], names[2], each["id"]):
        return True
    if names[1] and word in (f"{names[0]}/{names[1]}", f"{names[0]}/{names[1]}/{names[2]}"):
        return True
    ids = (about.get("sandbox_id"), about.get("container_id"), each["subject"])
    if _ID.fullmatch(word) and any(str(one or "").startswith(word) for one in ids):
        return True
    return is_image(str(about.get("image", "")), word)


def is_image(reference: str, word: str) -> bool:
    """Whether ``word`` is this reference, or the end of its name, with the tag or without."""
    name = re.sub(r"(:[^/:@]*)?(@.*)?$", "", reference)
    return bool(word) and any(word == one or one.endswith("/" + word) for one in (reference, name))


def needle(word: str) -> str:
    """What every line about ``word`` has in it; names are joined there, but ids and images are whole."""
    parts = word.split("/")
    return word if is_likely_image(word) else max(parts, key=len)


def is_likely_image(word: str) -> bool:
    """Whether it can be no pod's name."""
    return ":" in word or "@" in word or word.count("/") > 2


async def past(operations: Operations, word: str, limit: int, since: str = "") -> list[Document]:
    """What has ended, about ``word`` or all of it, the newest ``limit``, oldest first; later than ``since``,
    the id of an operation."""
    recent, lines = operations.snapshot(needle(word) if word else "")

    def find() -> list[Document]:
        """The history is large: not on the event loop."""
        every = (each for source in (recent, lines) for each in source)
        found = islice(_wanted(every, word, since), limit)
        return sorted(found, key=lambda each: int(each["id"], 16))

    return await asyncio.to_thread(find)


def _wanted(every: Iterator[Document], word: str, since: str) -> Iterator[Document]:
    after = int(since, 16) if since else 0
    for each in every:
        if int(each["id"], 16) > after and (not word or is_about(each, word)):
            yield each


def running(operations: Operations, word: str = "") -> list[Document]:
    """What runs now, oldest first."""
    every = [document(operation) for operation in operations.running()]
    return [each for each in every if not word or is_about(each, word)]
