"""A start that no process is needed for: who waits in the container is sent a byte, and says on its FIFO what
came of it (oci/run/state.py). Nothing here waits."""

import errno
import json
import os
from collections.abc import Callable

from api.errors import PodwrightError
from oci.monitor.commands import KILLED, Commands, Result
from oci.monitor.reactor import READ, Reactor
from oci.orders import Inside
from oci.run.errors import NoSuchContainer
from oci.run.state import Place

_AT_ONCE_BYTES = 65536
_GONE = "cannot start a container that has stopped"
_RUNS = "cannot start an already running container"


def can_begin(inside: Inside) -> bool:
    """Whether that is all there is to a start: hooks are a process's business."""
    return not Place(inside.root, inside.order.id).names("poststart")


class Beginning:
    """One start under way; ``on_end`` is called once, never by the constructor."""

    def __init__(
        self,
        reactor: Reactor,
        commands: Commands,
        inside: Inside,
        timeout_s: float,
        on_end: Callable[[Result], None],
    ) -> None:
        """Send the byte. To those who wait for quiet it is a command that runs."""
        self._reactor = reactor
        self._commands = commands
        self._on_end = on_end
        self._place = Place(inside.root, inside.order.id)
        self._words = b""
        self._answer = -1
        self._is_over = False
        commands.began()
        self._timer = reactor.later(timeout_s, self._time_is_up)
        try:
            self._answer = _sent(self._place)
        except (OSError, PodwrightError) as error:
            said = json.dumps({"level": "error", "msg": str(error)})
            reactor.soon(lambda: self._end(Result(1, timed_out=False, log=said, stderr="")))
        else:
            reactor.watch(self._answer, READ, self._readable)

    def _readable(self) -> None:
        try:
            data = os.read(self._answer, _AT_ONCE_BYTES)
        except BlockingIOError:
            return
        self._words = (self._words + data)[:_AT_ONCE_BYTES]
        if not data:
            self._place.has_begun()
            log = json.dumps({"level": "error", "msg": _said(self._words)}) if self._words else ""
            self._end(Result(int(bool(self._words)), timed_out=False, log=log, stderr=""))

    def _time_is_up(self) -> None:
        self._end(Result(KILLED, timed_out=True, log="", stderr=""))

    def kill(self) -> None:
        """Wait no longer."""
        self._end(Result(KILLED, timed_out=False, log="", stderr=""))

    def _end(self, result: Result) -> None:
        if self._is_over:
            return
        self._is_over = True
        self._timer.cancel()
        if self._answer >= 0:
            self._reactor.unwatch(self._answer)
            os.close(self._answer)
        try:
            self._on_end(result)
        finally:
            self._commands.over()


def _sent(place: Place) -> int:
    """
    Raises:
        OSError, NoSuchContainer: it cannot be started, in words of the runtime's.
    """
    if not place.exists():
        raise NoSuchContainer(place.id)
    try:
        return place.send_start()
    except FileNotFoundError:
        raise OSError(_RUNS) from None
    except OSError as error:
        if error.errno != errno.ENXIO:
            raise
        raise OSError(_GONE) from None


def _said(words: bytes) -> str:
    try:
        return str(json.loads(words)["failed"])
    except (ValueError, KeyError, TypeError):
        return words.decode(errors="replace")
