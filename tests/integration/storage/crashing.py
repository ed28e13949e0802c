"""A process that does one thing to a store and kills itself on the way, at the point of a number.

    python -m tests.integration.storage.crashing ROOT CONF VERB ARGUMENT NUMBER TOLD

Points lie before every change of a name or file below ROOT (as audit hooks tell them, so that none is
forgotten), before and after every commit, and about what only the kernel sees. TOLD gets the name of the
point; a process that passed fewer of them ends by itself.
"""

import asyncio
import contextlib
import os
import signal
import sqlite3
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import storage.database
import storage.entering
import storage.overlay
from api.ids import ContainerId
from storage.database import Database
from storage.images import Images
from storage.overlay import RootfsManager
from tests.integration.storage.material import options

CONTAINER = ContainerId("c" * 64)
_CHANGES = frozenset(
    ("os.rename", "os.remove", "os.rmdir", "os.mkdir", "os.chmod", "os.chown", "os.symlink", "os.link")
)


class Points:
    """Counts points once armed, and kills at the chosen one."""

    def __init__(self, root: Path, at: int, told: Path) -> None:
        self._root = os.fsencode(root)
        self._at = at
        self._told = told
        self.armed = False
        self._passed = 0

    def __call__(self, name: str) -> None:
        if not self.armed:
            return
        self._passed += 1
        if self._passed == self._at:
            self.armed = False
            self._told.write_text(name)
            os.kill(os.getpid(), signal.SIGKILL)

    def audit(self, event: str, arguments: tuple[Any, ...]) -> None:
        """The hook: what is about to be changed below the root, or by a descriptor of a directory there."""
        if event == "open":
            flags = arguments[2]
            if not isinstance(flags, int) or not flags & (os.O_WRONLY | os.O_RDWR | os.O_CREAT):
                return
        elif event not in _CHANGES:
            return
        path = arguments[0]
        if isinstance(path, (str, bytes, os.PathLike)):
            encoded = os.fsencode(path)
            if encoded.startswith(self._root) or not encoded.startswith(b"/"):
                self(f"before {event} {Path(os.fsdecode(encoded)).name[:12]}")


def put(points: Points) -> None:
    """Have this process pass the points, for good."""
    sys.addaudithook(points.audit)
    begun = storage.database._transaction

    @contextlib.contextmanager
    def transaction(connection: sqlite3.Connection) -> Iterator[sqlite3.Connection]:
        with begun(connection) as inside:
            points("after BEGIN")
            yield inside
            points("before COMMIT")
        points("after COMMIT")

    storage.database._transaction = transaction

    def about(owner: Any, name: str) -> None:
        call: Callable[..., Any] = getattr(owner, name)

        def announced(*arguments: Any, **more: Any) -> Any:
            points(f"before {name}")
            result = call(*arguments, **more)
            points(f"after {name}")
            return result

        setattr(owner, name, announced)

    about(storage.entering, "sync_filesystem")
    about(storage.overlay, "overlay")
    about(storage.overlay, "umount_if_mounted")
    about(Database, "sync")


async def do(store: Images, verb: str, argument: str, points: Callable[[bool], None]) -> None:
    """The verb; ``points`` is called with True where they begin to count."""
    rootfs = RootfsManager(store.root, store.database, store.layers)
    if verb == "remove rootfs":
        image = store.find(argument)
        assert image is not None
        await rootfs.prepare(CONTAINER, image)
    points(True)
    if verb == "import":
        await store.import_archive(Path(argument))
    elif verb == "pull":
        await store.pull(argument)
    elif verb == "remove":
        await store.remove(argument)
    elif verb == "prepare rootfs":
        image = store.find(argument)
        assert image is not None
        await rootfs.prepare(CONTAINER, image)
    elif verb == "remove rootfs":
        await rootfs.remove(CONTAINER)
    points(False)


async def main(root: Path, conf: Path, verb: str, argument: str, at: int, told: Path) -> None:
    """The process."""
    points = Points(root, at, told)
    put(points)
    store = await Images.open(root, options(conf), repair=True)
    await do(store, verb, argument, lambda on: setattr(points, "armed", on))
    await store.close()


if __name__ == "__main__":
    given = sys.argv[1:]
    asyncio.run(main(Path(given[0]), Path(given[1]), given[2], given[3], int(given[4]), Path(given[5])))
