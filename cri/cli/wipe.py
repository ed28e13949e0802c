"""``podwright wipe``: remove all images, on a node without a daemon and without pods; CRI-O's by its habits.

CRI-O wipes after an upgrade or an unclean end. Podwright repairs instead, at each start of the daemon, so
that ``wipe`` has nothing to do unless ``--force`` asks for everything.
"""

import argparse
import asyncio
import contextlib
import fcntl
import os
from collections.abc import Iterator
from pathlib import Path

from api.errors import FailedPrecondition
from conf.schema import Config
from cri.cli.arguments import load_configuration
from cri.cli.output import show
from cri.cli.privilege import require_root
from cri.image_options import image_options
from cri.logs import set_up
from host.spawn import keep_to_itself
from storage.images import Images


class NotIdle(FailedPrecondition):
    """A daemon runs, or pods are there."""


def run(arguments: argparse.Namespace) -> int:
    """Remove everything, or say that nothing need be.

    Raises:
        NotIdle: nothing was removed.
    """
    if not arguments.force:
        text = (
            "Nothing need be wiped: the daemon repairs its store at each start. --force removes all images."
        )
        show(arguments.output, {"removed": []}, [text])
        return 0
    require_root("wipe", "the store is for root alone")
    set_up("error", "text")
    keep_to_itself()
    config = load_configuration(arguments).config
    with _idle(config.runroot):
        removed = asyncio.run(_wipe(config))
    show(arguments.output, {"removed": removed}, [*removed, f"images removed: {len(removed)}"])
    return 0


@contextlib.contextmanager
def _idle(runroot: Path) -> Iterator[None]:
    """No daemon runs, and none can start; no pod is there."""
    try:
        descriptor = os.open(runroot / "lock", os.O_RDWR | os.O_CLOEXEC)
    except FileNotFoundError:  # no daemon since the last boot, so no pod
        yield
        return
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise NotIdle(f"a daemon serves {runroot}: stop it first (systemctl stop podwright)") from None
        pods = [path.name for path in (runroot / "sandboxes").glob("*")]
        pods += [path.name for path in (runroot / "containers").glob("*")]
        if pods:
            raise NotIdle(
                f"{len(pods)} pods and containers are there: start the daemon, remove them "
                "(crictl rmp -af), and stop it again"
            )
        yield
    finally:
        os.close(descriptor)


async def _wipe(config: Config) -> list[str]:
    store = await Images.open(config.root, image_options(config))
    try:
        found = [image.id for image in store.list()]
        for image in found:
            await store.remove(image)
        return list(found)
    finally:
        await store.close()
