"""start, kill, delete, pause, resume, update: what is done to a container that is there."""

import contextlib
import errno
import json
import os
import select
import signal
from collections.abc import Mapping

from host.clone import CLONE_NEWPID
from oci.run import hooks
from oci.run.document import Table
from oci.run.errors import BadConfig, NoSuchContainer, NotRunning, StepFailed, WrongState
from oci.run.operations import Hook
from oci.run.plan import hooks as hook_plan
from oci.run.plan import namespaces
from oci.run.state import Container, Place, open_process
from oci.run.verbs.settings import Settings, cgroup_of, state_document, status_of

_END_TIMEOUT_S = 10.0


def start(settings: Settings, container_id: str) -> None:
    """Have the program of a created container executed, and run its poststart hooks.

    Raises:
        NoSuchContainer, WrongState: see there.
        StepFailed: the program could not be executed, or a hook failed; then the container is killed.
    """
    place = settings.place(container_id)
    container = place.load()
    with contextlib.ExitStack() as stack:
        pidfd = open_process(container)
        if pidfd is None:
            raise WrongState("cannot start a container that has stopped")
        stack.callback(os.close, pidfd)
        words = _begin(place, pidfd)
    if words:
        _raise(words)
    points = hook_plan.read(place.config())
    try:
        hooks.run("poststart", points["poststart"], state_document(container, "running"))
    except StepFailed:
        with contextlib.suppress(NotRunning):
            kill(settings, container_id, signal.SIGKILL)
        raise


def _begin(place: Place, pidfd: int) -> bytes:
    try:
        return place.begin(pidfd)
    except FileNotFoundError:
        raise WrongState("cannot start an already running container") from None
    except OSError as error:
        if error.errno != errno.ENXIO:
            raise
        raise WrongState("cannot start a container that has stopped") from None


def _raise(words: bytes) -> None:
    try:
        said = Table(json.loads(words))
        raise StepFailed(said.text("failed"), said.number("errno"))
    except (ValueError, BadConfig):
        raise StepFailed(words.decode(errors="replace")) from None


def kill(settings: Settings, container_id: str, number: int, *, everything: bool = False) -> None:
    """Send a signal to the first process; to all with ``everything``, or by KILL where they share a PID
    namespace with others, so that their end does not follow from the first's.

    Raises:
        NoSuchContainer: see there.
        NotRunning: nothing is there to be signalled.
    """
    place = settings.place(container_id)
    container = place.load()
    pidfd = open_process(container) if container.pid else None
    try:
        shared = not _has_own_pids(place)
        if everything or (number == signal.SIGKILL and shared):
            _kill_all(container, number, pidfd)
            return
        if pidfd is None:
            raise NotRunning
        _signal(pidfd, number)
        if number == signal.SIGKILL:
            cgroup_of(container).thaw()
    finally:
        if pidfd is not None:
            os.close(pidfd)


def _signal(pidfd: int, number: int) -> None:
    try:
        signal.pidfd_send_signal(pidfd, number)
    except ProcessLookupError:
        raise NotRunning from None


def _has_own_pids(place: Place) -> bool:
    return bool(namespaces.read(place.config().table("linux")).new & CLONE_NEWPID)


def _kill_all(container: Container, number: int, pidfd: int | None) -> None:
    cgroup = cgroup_of(container)
    pids = cgroup.pids()
    if pidfd is None and not pids:
        raise NotRunning
    if number == signal.SIGKILL:
        cgroup.kill()
        if pidfd is not None:  # an owner may have moved it elsewhere
            with contextlib.suppress(NotRunning):
                _signal(pidfd, number)
        return
    for pid in pids:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, number)


def delete(settings: Settings, container_id: str, *, force: bool = False) -> None:
    """Remove a stopped container, a created one by killing it, any other by ``force``.

    Raises:
        NoSuchContainer: see there; not with ``force``.
        WrongState: it runs.
    """
    place = settings.place(container_id)
    container = _deletable(place, force=force)
    if container is None:
        return
    _end(container)
    points = _poststop(place)
    _take_away(place, container)
    with contextlib.suppress(StepFailed):  # they are told of, and nothing waits for them (runtime.md)
        hooks.run("poststop", points, state_document(container, "stopped"))


def delete_without_hooks(settings: Settings, container_id: str, *, force: bool = False) -> bool:
    """The same for a caller that may start no programs; False, and nothing has been done, if there are hooks.
    A first process that is the caller's child is not reaped."""
    place = settings.place(container_id)
    if _poststop(place):
        return False
    container = _deletable(place, force=force)
    if container is not None:
        _end(container, reap=False)
        _take_away(place, container)
    return True


def _deletable(place: Place, *, force: bool) -> Container | None:
    """None: there was no container, but perhaps a directory, and is none now."""
    try:
        container = place.load()
    except NoSuchContainer:
        if not force:
            raise
        place.remove()
        return None
    status = status_of(place, container)
    if status not in ("stopped", "created") and not force:
        raise WrongState(f"cannot delete container {place.id} that is not stopped: {status}")
    return container


def _take_away(place: Place, container: Container) -> None:
    cgroup = cgroup_of(container)
    cgroup.kill()
    cgroup.delete()
    place.remove()


def _poststop(place: Place) -> tuple[Hook, ...]:
    try:
        return hook_plan.read(place.config())["poststop"]
    except (NoSuchContainer, BadConfig):
        return ()


def _end(container: Container, *, reap: bool = True) -> None:
    """Kill the first process if it lives, and wait until it has ended."""
    pidfd = open_process(container) if container.pid else None
    if pidfd is None:
        return
    try:
        with contextlib.suppress(NotRunning):
            _signal(pidfd, signal.SIGKILL)
        cgroup_of(container).thaw()
        if not select.select([pidfd], [], [], _END_TIMEOUT_S)[0]:
            raise WrongState(f"container {container.id} is still running after {_END_TIMEOUT_S:g} s")
        with contextlib.suppress(ChildProcessError):
            if reap:
                os.waitid(os.P_PIDFD, pidfd, os.WEXITED | os.WNOHANG)
    finally:
        os.close(pidfd)


def pause(settings: Settings, container_id: str) -> None:
    """Freeze every process of a container.

    Raises:
        WrongState: it is stopped, or paused already.
    """
    place = settings.place(container_id)
    container = place.load()
    status = status_of(place, container)
    if status not in ("created", "running"):
        raise WrongState(f"container not running: {status}")
    cgroup_of(container).freeze()


def resume(settings: Settings, container_id: str) -> None:
    """Let them go on.

    Raises:
        WrongState: it is not paused.
    """
    place = settings.place(container_id)
    container = place.load()
    cgroup = cgroup_of(container)
    if status_of(place, container) == "stopped" or not cgroup.frozen():
        raise WrongState("container not paused")
    cgroup.thaw()


def update(settings: Settings, container_id: str, resources: Mapping[str, object]) -> None:
    """Set ``linux.resources``; what it does not name stays.

    Raises:
        NotRunning: it has stopped.
    """
    place = settings.place(container_id)
    container = place.load()
    if status_of(place, container) == "stopped":
        raise NotRunning
    cgroup_of(container).update(resources)
