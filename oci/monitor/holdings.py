"""The daemon's duplicates of live containers' descriptors: what a new monitor needs if the old one dies.

Each container has a state of its own in the hand-over, and what goes wrong with one is that one's alone:

    held ──monitor lost──▶ waiting ──adopted──▶ held
                             │  ▲
                       failed│  │tried again, when all others have been served
                             ▼  │
                            refused        at any time: ended ──▶ released, its descriptors are closed

Descriptors belong to :class:`host.fds.Descriptor`: the number of one that was closed cannot be sent.
"""

import asyncio
import contextlib
import os
from collections.abc import Callable, Iterator, Sequence
from enum import StrEnum

from api.ids import ContainerId
from host.fds import Descriptor, close_all
from host.spawn import pidfd_exit_code
from oci.monitor.protocol import Record


class Stage(StrEnum):
    """Where a container is in the hand-over."""

    HELD = "held"  # a monitor has it
    WAITING = "waiting"  # its monitor died
    REFUSED = "refused"  # another could not take it yet


class Held:
    """One live container's record as last heard of, and its descriptors by name.

    ``exit_code`` is set if this process has reaped it. ``failures`` counts the monitors that could not take
    it, or died over it.
    """

    __slots__ = ("exit_code", "failures", "record", "stage", "streams")

    def __init__(self, record: Record, streams: dict[str, Descriptor]) -> None:
        """Take the descriptors over."""
        self.record = record
        self.streams = streams
        self.stage = Stage.HELD
        self.failures = 0
        self.exit_code: int | None = None


class Holdings:
    """All of them."""

    def __init__(self) -> None:
        """None yet."""
        self._held: dict[ContainerId, Held] = {}
        self._journals: dict[int, Descriptor] = {}  # by file system; see oci/monitor/journal.py
        self._expected: dict[ContainerId, bool] = {}  # whether it has ended meanwhile

    def __contains__(self, container_id: str) -> bool:
        return container_id in self._held

    def __len__(self) -> int:
        return len(self._held)

    def find(self, container_id: ContainerId) -> Held | None:
        """What is held of a container."""
        return self._held.get(container_id)

    def is_held(self, held: Held) -> bool:
        """Whether it has not ended."""
        return self._held.get(ContainerId(held.record.id)) is held

    @contextlib.contextmanager
    def expecting(self, container_id: ContainerId) -> Iterator[None]:
        """For who asks for a container's descriptors and then calls ``keep``.

        The word of its end may come with the answer, and is heard before whoever asked goes on.
        """
        self._expected[container_id] = False
        try:
            yield
        finally:
            del self._expected[container_id]

    def keep(self, record: Record, names: object, descriptors: Sequence[int]) -> None:
        """Hold a container's descriptors, which are taken over, under the names that came with them; not
        those of one that has ended since it was expected.

        The journal among them is held once for all containers of a file system.
        """
        assert isinstance(names, list)
        if self._expected.get(ContainerId(record.id)):
            close_all(descriptors)
            return
        self._drop(ContainerId(record.id))
        owned = [Descriptor(number) for number in descriptors]
        streams = dict(zip(names, owned, strict=True))
        if "journal" in streams:
            self._keep_journal(record.log_device, streams.pop("journal"))
        self._held[ContainerId(record.id)] = Held(record, streams)

    def _keep_journal(self, device: int, journal: Descriptor) -> None:
        """Hold the latest that came."""
        before = self._journals.get(device)
        if before is not None and os.path.sameopenfile(before.number, journal.number):
            journal.close()
            return
        self._journals[device] = journal
        if before is not None:
            before.close()

    # --- hand-over --------------------------------------------------------------------------------

    def monitor_lost(self) -> None:
        """None has a monitor now."""
        for held in self._held.values():
            held.stage = Stage.WAITING

    def waiting(self, stage: Stage) -> list[Held]:
        """Those in ``stage``, the ones that gave no trouble first."""
        found = [held for held in self._held.values() if held.stage is stage]
        return sorted(found, key=lambda held: held.failures)

    def to_hand_over(self, held: Held) -> dict[str, int]:
        """What a new monitor needs of a container, for a message that is sent at once.

        Raises:
            DescriptorClosed: it has ended.
        """
        owned = dict(held.streams)
        journal = self._journals.get(held.record.log_device)
        if journal is not None:
            owned["journal"] = journal
        return {name: descriptor.number for name, descriptor in owned.items()}

    def watch(self, held: Held, on_ended: Callable[[int | None], None]) -> None:
        """Reap an orphan of a dead monitor, which may have become our child, and tell its exit code if this
        process saw it; replaces an earlier watch."""
        loop = asyncio.get_running_loop()
        pidfd = held.streams["pidfd"].number

        def ended() -> None:
            loop.remove_reader(pidfd)
            if held.exit_code is None:
                held.exit_code = pidfd_exit_code(pidfd)
            on_ended(held.exit_code)

        loop.add_reader(pidfd, ended)

    # --- what becomes of one ----------------------------------------------------------------------

    def update(self, record: Record) -> None:
        """Note a newer record of a container that is held."""
        held = self._held.get(ContainerId(record.id))
        if held is not None:
            held.record = record

    def release(self, container_id: ContainerId) -> None:
        """The container has ended: close what is held of it. Idempotent."""
        if container_id in self._expected:
            self._expected[container_id] = True
        self._drop(container_id)

    def _drop(self, container_id: ContainerId) -> None:
        held = self._held.pop(container_id, None)
        if held is None:
            return
        asyncio.get_running_loop().remove_reader(held.streams["pidfd"].number)
        for descriptor in held.streams.values():
            descriptor.close()

    def drop_stdin(self, container_id: ContainerId) -> None:
        """Close the duplicate of stdin, so that the container can read its end. Idempotent."""
        held = self._held.get(container_id)
        if held is not None and "stdin" in held.streams:
            held.streams.pop("stdin").close()

    def close(self) -> None:
        """Release all; the containers live on."""
        for container_id in list(self._held):
            self.release(container_id)
        for journal in self._journals.values():
            journal.close()
        self._journals.clear()
