"""A runtime that fails over a container which ends under its hands: the end is what is told.

Its words are of no use then: "fail startup", "setns: Bad file descriptor", "write to sync socket: Broken
pipe", or none when it was killed together with the container's processes.
"""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from api.errors import FailedPrecondition
from cri.containers.record import Container
from cri.node import Node
from cri.sandboxes.record import Phase
from oci.runtime import RuntimeFailed, RuntimeRefused

# For the word of an end to come that nobody has asked for, as when memory ran out.
_PATIENCE_S = 0.5


class Ended(FailedPrecondition):
    """The container has ended, or is being ended, while something was done in it."""


@asynccontextmanager
async def told_by_its_end(node: Node, container: Container, what: str) -> AsyncIterator[None]:
    """Run a command of the runtime on ``container``; ``what`` names it: "the command".

    Raises:
        Ended: it failed, and the container ended meanwhile.
        RuntimeFailed, FileNotFoundError: it failed.
    """
    try:
        yield
    except (RuntimeFailed, FileNotFoundError) as error:  # its bundle may be removed already
        if not _is_ending(node, container) and not isinstance(error, RuntimeRefused):
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(container.exited.wait(), _PATIENCE_S)
        if _is_ending(node, container):
            raise Ended(f"container {container.id[:12]} ended before {what} was started") from error
        raise


def _is_ending(node: Node, container: Container) -> bool:
    sandbox = node.sandboxes.find(container.sandbox_id)
    is_left = container.alive and not container.abandoned and container.stop_deadline is None
    return not is_left or sandbox is None or sandbox.phase is not Phase.READY
