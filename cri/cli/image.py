"""``podwright image``: the image store without a daemon; beside a running one it works on the same store."""

import argparse
import asyncio
import contextlib
import sys
import tempfile
from collections.abc import Iterable, Iterator
from functools import partial
from pathlib import Path
from typing import BinaryIO, cast

from api.errors import NotFound
from conf.schema import Config
from cri.cli.arguments import load_configuration
from cri.cli.image_filters import filtered
from cri.cli.image_store import prune, show_usage, verify
from cri.cli.output import say, show
from cri.cli.privilege import require_root
from cri.cli.pull_progress import PullShown
from cri.image_options import image_options
from cri.logs import set_up
from host.spawn import keep_to_itself
from storage.catalogue import Image
from storage.images import Images
from storage.scratch import write_bounded
from storage.unpack.faults import Limits

STANDARD_INPUT = Path("-")
# On a disk: /tmp is often a tmpfs, too small for an image.
COPY_DIRECTORY = Path("/var/tmp")
COPY_BYTES = 1 << 20


class NoSuchImage(NotFound):
    """The image is not there."""


def run(arguments: argparse.Namespace) -> int:
    """Do one action and print its outcome; 1 when a layer is broken."""
    require_root("image", "its store is for root alone")
    set_up("error", "text")  # what fails is told by the command itself
    keep_to_itself()
    return asyncio.run(_run(arguments, load_configuration(arguments).config))


async def _run(arguments: argparse.Namespace, config: Config) -> int:
    store = await Images.open(config.root, image_options(config))
    try:
        match arguments.action:
            case "import":
                with _archive(arguments.file) as file:
                    _show(arguments.output, await store.import_archive(file, arguments.name))
            case "list" | "ls":
                images = filtered(store, arguments.filters)
                if arguments.quiet:
                    for image in images:
                        say(image.id)
                else:
                    _show(arguments.output, images, heads=f"{'IMAGE ID':<13}  {'SIZE':>11}  NAMES")
            case "inspect":
                _show(arguments.output, [_known(store, arguments.image, config.root)], in_full=True)
            case "pull":
                watch = partial(PullShown, arguments.output)
                _show(arguments.output, [await store.pull(arguments.image, watch=watch)])
            case "remove" | "rm":
                found = [_known(store, name, config.root) for name in arguments.image]
                for image in found:
                    await store.remove(image.id)
                await store.settle()
                show(arguments.output, {"removed": [_fields(image) for image in found]}, ())
            case "tag":
                image = _known(store, arguments.image, config.root)
                for name in arguments.name:
                    await store.tag(image, name)
                _show(arguments.output, [_known(store, image.id, config.root)])
            case "verify":
                named = [_known(store, name, config.root) for name in arguments.image]
                return int(await verify(store, named or store.list(), arguments.output))
            case "prune":
                await prune(store, arguments.output, named=arguments.all, dry_run=arguments.dry_run)
            case "du":
                await show_usage(store, arguments.output, layers=arguments.layers)
    finally:
        await store.close()
    return 0


@contextlib.contextmanager
def _archive(file: Path) -> Iterator[Path]:
    """The archive as a file: standard input may be a pipe, and archives are read here and there."""
    if file != STANDARD_INPUT:
        yield file
        return
    with tempfile.NamedTemporaryFile(dir=COPY_DIRECTORY, prefix="podwright-import-") as copy:
        chunks = iter(partial(sys.stdin.buffer.read, COPY_BYTES), b"")
        write_bounded(chunks, cast(BinaryIO, copy), Limits(), what="standard input")
        copy.flush()
        yield Path(copy.name)


def _known(store: Images, name: str, root: Path) -> Image:
    found = store.find(name)
    if found is None:
        raise NoSuchImage(f"no image {name!r} in {root}: podwright image list shows what is there")
    return found


def _show(form: str, images: Iterable[Image], *, in_full: bool = False, heads: str = "") -> None:
    held = list(images)
    lines = [heads] if heads and held else []
    lines += [line for image in held for line in (_lines(image) if in_full else [_line(image)])]
    show(form, [_fields(image) for image in held], lines)


def _fields(image: Image) -> dict[str, object]:
    """For programs; the names are those of the CRI's Image."""
    return {
        "id": image.id,
        "repoTags": list(image.repo_tags),
        "repoDigests": list(image.repo_digests),
        "size": image.size_bytes,
        "pinned": image.pinned,
    }


def _lines(image: Image) -> Iterator[str]:
    for name, value in _fields(image).items():
        yield f"{name + ':':<13} {' '.join(value) if isinstance(value, list) else value}"


def _line(image: Image) -> str:
    """Id, size and names, as a person reads them."""
    names = " ".join((*image.repo_tags, *image.repo_digests)) or "(no name)"
    return f"{image.id.removeprefix('sha256:')[:13]}  {image.size_bytes / 1e6:8.1f} MB  {names}"
