"""The monitor replaces itself by another version in place: execve(2) keeps pid, children and descriptors.

What the new image must know goes through a memfd, whose number is in its arguments: the lock, the listening
socket, the daemon's connections, containers and execs as the keeper has them (oci/monitor/kept.py), each with
its descriptors. It happens at a moment when no command runs and nobody waits for an answer but who asked for
it; requests wait in their sockets meanwhile. Log writers end, and the new image's go on by the journals.
"""

import json
import os
from collections.abc import Sequence
from typing import NamedTuple, NoReturn

from host.fds import close_all
from oci.monitor.keeping import Kept

RESUME = "--resume="


class Connected(NamedTuple):
    """A daemon's connection."""

    descriptor: int
    wants_events: bool


class State(NamedTuple):
    """What goes over; ``askers`` are the indices in ``peers`` of who asked for execs, by key, and ``answer``
    is index and request id of who waits for the upgrade."""

    lock: int
    listener: int
    peers: list[Connected]
    kept: list[Kept]
    askers: dict[str, int]
    answer: tuple[int, int]


def encode(state: State) -> bytes:
    """The bytes for the memfd."""
    kept = [[one.key, one.value.decode(), one.descriptors] for one in state.kept]
    return json.dumps({**state._asdict(), "kept": kept}).encode()


def decode(data: bytes) -> State:
    """Read them back."""
    fields = json.loads(data)
    return State(
        fields["lock"],
        fields["listener"],
        [Connected(*one) for one in fields["peers"]],
        [Kept(key, value.encode(), descriptors) for key, value, descriptors in fields["kept"]],
        fields["askers"],
        (fields["answer"][0], fields["answer"][1]),
    )


def descriptors_of(state: State) -> list[int]:
    """All that must stay open."""
    owned = [number for one in state.kept for number in one.descriptors]
    return [state.lock, state.listener, *(peer.descriptor for peer in state.peers), *owned]


def become(argv: Sequence[str], state: State) -> NoReturn:
    """Execute ``argv`` (its last word is the directory) with the state.

    Raises:
        OSError: it cannot be executed; nothing has changed.
    """
    memory = os.memfd_create("podwright-upgrade", os.MFD_CLOEXEC)
    state, copies = _with_copies(state)
    kept = [memory, *descriptors_of(state)]
    try:
        view = memoryview(encode(state))
        while view:
            view = view[os.write(memory, view) :]
        for number in kept:
            os.set_inheritable(number, True)
        os.execve(argv[0], [*argv[:-1], f"{RESUME}{memory}", argv[-1]], dict(os.environ))
    except OSError:
        for number in kept:
            os.set_inheritable(number, False)
        close_all([memory, *copies])
        raise


def _with_copies(state: State) -> tuple[State, list[int]]:
    """Each object with descriptors of its own, which it may close; containers share the journal's."""
    seen: set[int] = set()
    copies: list[int] = []
    kept = []
    for one in state.kept:
        owned = []
        for number in one.descriptors:
            if number in seen:
                copies.append(os.dup(number))
            owned.append(copies[-1] if number in seen else number)
            seen.add(number)
        kept.append(one._replace(descriptors=owned))
    return state._replace(kept=kept), copies


def resumed(argument: str) -> State | None:
    """The state that an argument of the new image names, if it does."""
    if not argument.startswith(RESUME):
        return None
    memory = int(argument.removeprefix(RESUME))
    try:
        return decode(os.pread(memory, os.fstat(memory).st_size, 0))
    finally:
        os.close(memory)
