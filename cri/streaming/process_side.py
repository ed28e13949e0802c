"""The process's half of a remote command: its descriptors, copied until it has ended.

The exit is not the end of the output: what the process wrote lies in its pipes, and grandchildren may
hold them open for ever. So after the exit the pipes are read to their end, or until nothing has come
for ``quiet_s`` while the client was taking everything.
"""

import asyncio
import logging
import os
from collections.abc import Callable, Iterable, Sequence
from functools import partial

from api.errors import PodwrightError
from cri.streaming.backend import Session
from cri.streaming.descriptors import prepare, read_some, write_all
from cri.streaming.inflow import Inflow
from cri.streaming.link import ByteLink
from cri.streaming.remotecommand import Channel
from cri.streaming.resize import Size
from cri.streaming.status import Exited, Failed, Outcome

logger = logging.getLogger(__name__)


class ProcessSide:
    """Owns a session and its descriptors from the start on."""

    def __init__(
        self,
        session: Session,
        link: ByteLink,
        frame: Callable[[Channel, bytes], Sequence[bytes]],
        quiet_s: float,
    ) -> None:
        self._session = session
        self._link = link
        self._frame = frame
        self._quiet_s = quiet_s
        self._stdio = session.stdio
        self._open = set(self._stdio.all())
        self._pumps: dict[Channel, asyncio.Task[None]] = {}
        self._moved_bytes = 0
        for fd in self._open:
            prepare(fd)

    async def run(self, stdin: Inflow) -> Outcome:
        """An exec'd command: copy until it has exited and its output is out."""
        async with asyncio.TaskGroup() as group:
            feeder = self._begin(group, stdin)
            outcome = await self._outcome()
            await self._last_output()
            feeder.cancel()
        return outcome

    async def run_attached(self, stdin: Inflow) -> Outcome:
        """A container that was there before: copy until it ends, or nothing is left to copy."""
        async with asyncio.TaskGroup() as group:
            feeder = self._begin(group, stdin)
            ended = group.create_task(self._outcome())
            copying = group.create_task(_all_done(self._pumps.values() or [feeder]))
            await asyncio.wait([ended, copying], return_when=asyncio.FIRST_COMPLETED)
            if ended.done():
                await self._last_output()
            for task in (feeder, ended, copying):
                task.cancel()
        failed = ended.done() and not ended.cancelled() and isinstance(ended.result(), Failed)
        return ended.result() if failed else Exited(0)

    async def resize(self, size: Size) -> None:
        """Set the terminal's size; a failure costs the size, not the session."""
        try:
            await self._session.resize(size.width, size.height)
        except (PodwrightError, OSError) as error:
            logger.warning("terminal resize failed error=%s", error)

    def refuse(self, channel: Channel) -> None:
        """The client wants no more of an output: close it, as a shell's pipe would."""
        if channel in self._pumps:
            self._pumps[channel].cancel()

    async def close(self) -> None:
        """Close what is open and let the session go."""
        for fd in list(self._open):
            self._close_fd(fd)
        await self._session.close(kill=False)

    # ---- copying

    def _begin(self, group: asyncio.TaskGroup, stdin: Inflow) -> asyncio.Task[None]:
        stdout = self._stdio.stdout if self._stdio.tty is None else self._stdio.tty
        outputs = {Channel.STDERR: self._stdio.stderr, Channel.STDOUT: stdout}
        for channel, fd in outputs.items():
            if fd is not None:
                self._pumps[channel] = group.create_task(self._pump(fd, channel))
                self._pumps[channel].add_done_callback(partial(self._close_pipe, fd))
        feeder = group.create_task(self._feed(stdin))
        if self._stdio.stdin is not None:
            feeder.add_done_callback(partial(self._close_pipe, self._stdio.stdin))
        return feeder

    async def _pump(self, fd: int, channel: Channel) -> None:
        try:
            while data := await read_some(fd, self._link.piece_bytes):
                self._moved_bytes += len(data)
                self._link.write_pieces(self._frame(channel, data))
                await self._link.drain()
        except OSError as error:
            logger.warning("reading output failed channel=%s error=%s", channel, error)

    async def _feed(self, stdin: Inflow) -> None:
        """Input to the process; its end closes a pipe, while a terminal ends by what is typed."""
        fd = self._stdio.stdin if self._stdio.tty is None else self._stdio.tty
        if fd is None:
            stdin.discard()
            return
        try:
            while data := await stdin.take():
                await write_all(fd, data)
            if self._stdio.tty is None:
                self._close_fd(fd)  # first: the end is not the end while we hold it open
                await self._session.input_ended()
        except OSError as error:
            logger.debug("the process takes no more input error=%s", error)
        finally:
            stdin.discard()

    async def _outcome(self) -> Outcome:
        try:
            return Exited(await self._session.wait())
        except PodwrightError as error:
            return Failed(str(error))
        except Exception as error:
            logger.exception("waiting for a streamed process failed")
            return Failed(f"the process was lost: {error}")

    async def _last_output(self) -> None:
        pending = {pump for pump in self._pumps.values() if not pump.done()}
        while pending:
            before = self._moved_bytes
            _, pending = await asyncio.wait(pending, timeout=self._quiet_s)
            if self._moved_bytes == before and not self._link.congested:
                break
        for pump in pending:
            pump.cancel()

    def _close_pipe(self, fd: int, _: asyncio.Task[None]) -> None:
        """What a copying task leaves behind, also one that was cancelled before its first step."""
        if fd != self._stdio.tty:  # shared by both directions, closed at the very end
            self._close_fd(fd)

    def _close_fd(self, fd: int) -> None:
        if fd in self._open:
            self._open.remove(fd)
            os.close(fd)


async def _all_done(tasks: Iterable[asyncio.Task[None]]) -> None:
    await asyncio.wait(list(tasks))
