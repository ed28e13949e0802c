"""What exec and attach give the daemon: handles that own a few descriptors."""

import asyncio
import os
from collections.abc import Awaitable, Callable
from types import TracebackType
from typing import Self

from oci.monitor.types import ExecFinished


class ExecHandle:
    """A process started by exec; an async context manager that kills what still runs when it is left."""

    def __init__(
        self,
        *,
        pid: int,
        console: int | None,
        finished: asyncio.Future[ExecFinished],
        kill: Callable[[], None],
    ) -> None:
        """Take ``console`` over; ``finished`` is resolved by whoever hears of the end."""
        self.pid = pid
        self.console = console
        self._finished = finished
        self._kill = kill

    async def wait(self) -> ExecFinished:
        """Wait for the end; may be cancelled and repeated, and answers at once when it is known."""
        return await asyncio.shield(self._finished)

    async def kill(self) -> None:
        """SIGKILL to the process and its group; an ended one is fine. :meth:`wait` tells when it is done."""
        self.kill_now()

    def kill_now(self) -> None:
        """The same, for callers that cannot wait even for a turn of the loop."""
        if not self._finished.done():
            self._kill()

    def take_console(self) -> int | None:
        """The console's master end, now the caller's to close."""
        console, self.console = self.console, None
        return console

    def close(self) -> None:
        """Close the console; does not touch the process. Idempotent."""
        console = self.take_console()
        if console is not None:
            os.close(console)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.kill()
        self.close()


class Attachment:
    """Output copied to the daemon's descriptors, and perhaps the container's stdin on loan, non-blocking."""

    def __init__(self, *, stdin: int | None, detach: Callable[[], Awaitable[None]]) -> None:
        """Take ``stdin`` over; ``detach`` tells the monitor."""
        self.stdin = stdin
        self._detach: Callable[[], Awaitable[None]] | None = detach

    def take_stdin(self) -> int | None:
        """The loan, now the caller's to close; closing it gives it back."""
        stdin, self.stdin = self.stdin, None
        return stdin

    def return_stdin(self) -> None:
        """Give the loan back, which leaves the container's stdin open. Idempotent."""
        if self.stdin is not None:
            os.close(self.stdin)
            self.stdin = None

    async def close(self) -> None:
        """Stop copying and give stdin back; with ``stdin_once`` this closes it. Idempotent."""
        self.return_stdin()
        if self._detach is not None:
            detach, self._detach = self._detach, None
            await detach()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()
