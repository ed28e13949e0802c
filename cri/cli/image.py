"""``podwright image``: the image store without a daemon; beside a running one it works on the same store."""

import argparse
import asyncio

from api.errors import NotFound
from conf.schema import Config
from cri.cli.arguments import load_configuration
from cri.image_options import image_options
from storage.catalogue import Image
from storage.images import Images


class NoSuchImage(NotFound):
    """The image that is to be removed is not there."""


def run(arguments: argparse.Namespace) -> int:
    """Do one action and print its outcome."""
    asyncio.run(_run(arguments, load_configuration(arguments).config))
    return 0


async def _run(arguments: argparse.Namespace, config: Config) -> None:
    store = await Images.open(config.root, image_options(config))
    try:
        match arguments.action:
            case "import":
                for image in await store.import_archive(arguments.file, arguments.name):
                    print(_line(image))
            case "list":
                for image in store.list():
                    print(_line(image))
            case "pull":
                print(_line(await store.pull(arguments.image)))
            case "remove":
                if store.find(arguments.image) is None:
                    raise NoSuchImage(f"no image {arguments.image!r} in {config.root}")
                await store.remove(arguments.image)
    finally:
        await store.close()


def _line(image: Image) -> str:
    """Id, size and names, as a person reads them."""
    names = " ".join((*image.repo_tags, *image.repo_digests)) or "(no name)"
    return f"{image.id.removeprefix('sha256:')[:13]}  {image.size_bytes / 1e6:8.1f} MB  {names}"
