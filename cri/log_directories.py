"""Where containers' logs lie, and calls to file systems of logs, which may hang for ever.

A container may own a part of the way to its log (a hostPath), and put a symbolic link there. So the path is
settled when the sandbox is made, before any container of the pod is: links above the pod's directory
(/var/log may be one) are resolved then, once, and none is followed anywhere on the way from then on.
"""

import asyncio
import os
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

from api.errors import DeadlineExceeded, InvalidArgument
from host.openat2 import LinkOnTheWay, make_directories_without_links
from host.threads import DetachedThreads
from oci.monitor.types import LogRefused

T = TypeVar("T")

_THREADS = 256  # those that hang are one for each pod's directory at most
_MODE = 0o755  # as the kubelet makes them: whoever ships logs may read there


class LogDirectoryHangs(DeadlineExceeded):
    """The file system of a log directory does not answer: it is frozen, or its server or disk is gone."""


class LogPathLeadsOut(InvalidArgument):
    """A container's log is to lie outside its pod's log directory."""


class LogDirectories:
    """Calls to the file systems of logs, in threads of their own and bounded in time."""

    def __init__(self, threads: DetachedThreads | None = None) -> None:
        self._threads = threads or DetachedThreads("logs", _THREADS)
        self._running: dict[str, asyncio.Task[object]] = {}

    async def call(self, directory: Path, function: Callable[[], T], timeout_s: float) -> T:
        """What ``function``, which touches ``directory``, returns or raises.

        One that hangs is not joined by others: until it comes back, later calls for it wait.

        Raises:
            LogDirectoryHangs: neither has come back in time.
            LogRefused: a part of the path is a symbolic link.
        """
        key = str(directory)
        try:
            async with asyncio.timeout(timeout_s):
                while (before := self._running.get(key)) is not None:
                    await asyncio.wait([before])
                task = asyncio.ensure_future(self._threads.run(function))
                self._running[key] = task
                task.add_done_callback(lambda _: self._running.pop(key, None))
                return await asyncio.shield(task)
        except TimeoutError:
            raise LogDirectoryHangs(
                f"the file system of log directory {directory} has not answered within {timeout_s:g} s"
            ) from None
        except LinkOnTheWay as error:
            raise LogRefused(f"log directory {directory}: {error.filename} is {error.strerror}") from error


def settle(directory: Path) -> Path:
    """Make a pod's log directory, and give it by a path without links. Blocks.

    Raises:
        LinkOnTheWay: it is itself a symbolic link.
    """
    directory.parent.mkdir(mode=_MODE, parents=True, exist_ok=True)
    settled = Path(os.path.realpath(directory.parent)) / directory.name
    os.close(make_directories_without_links(str(settled), _MODE))
    return settled


def prepare(directory: Path) -> int:
    """Make the directory of a container's log below a settled one; the number of its file system. Blocks.

    Raises:
        LinkOnTheWay: a part of the path is a symbolic link.
    """
    descriptor = make_directories_without_links(str(directory), _MODE)
    try:
        return os.fstat(descriptor).st_dev
    finally:
        os.close(descriptor)


def below(directory: Path, log_path: str) -> Path:
    """A container's log below its pod's directory, as the kubelet joins them.

    Raises:
        LogPathLeadsOut: by way of "..".
    """
    relative = log_path.lstrip("/")
    if ".." in relative.split("/"):
        raise LogPathLeadsOut(f"log_path {log_path!r} leads out of the log directory {directory}")
    return directory / relative
