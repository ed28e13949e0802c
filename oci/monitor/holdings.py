"""The daemon's duplicates of live containers' descriptors: what a new monitor needs if the old one dies."""

import asyncio
import os
from collections.abc import Callable, Sequence

from api.ids import ContainerId
from host.fds import close_all
from host.spawn import pidfd_exit_code
from oci.monitor.protocol import Record


class Held:
    """One live container's record as last heard of, and its descriptors by name."""

    __slots__ = ("record", "streams")

    def __init__(self, record: Record, streams: dict[str, int]) -> None:
        """Take the descriptors over."""
        self.record = record
        self.streams = streams


class Holdings:
    """All of them."""

    def __init__(self) -> None:
        """None yet."""
        self._held: dict[ContainerId, Held] = {}
        self._journals: dict[int, int] = {}  # by file system; see oci/monitor/journal.py

    def __contains__(self, container_id: str) -> bool:
        return container_id in self._held

    def __len__(self) -> int:
        return len(self._held)

    def all(self) -> list[Held]:
        """Everything that is held now."""
        return list(self._held.values())

    def keep(self, record: Record, names: object, descriptors: Sequence[int]) -> None:
        """Hold a container's descriptors, which are taken over, under the names that came with them.

        The journal among them is held once for all containers of a file system.
        """
        assert isinstance(names, list)
        self.release(ContainerId(record.id))
        streams = dict(zip(names, descriptors, strict=True))
        if "journal" in streams:
            self._keep_journal(record.log_device, streams.pop("journal"))
        self._held[ContainerId(record.id)] = Held(record, streams)

    def _keep_journal(self, device: int, journal: int) -> None:
        """Hold the latest that came."""
        before = self._journals.get(device)
        if before is not None and os.path.sameopenfile(before, journal):
            os.close(journal)
            return
        self._journals[device] = journal
        if before is not None:
            os.close(before)

    def to_hand_over(self, held: Held) -> dict[str, int]:
        """What a new monitor needs of a container."""
        journal = self._journals.get(held.record.log_device)
        return held.streams if journal is None else {**held.streams, "journal": journal}

    def update(self, record: Record) -> None:
        """Note a newer record of a container that is held."""
        held = self._held.get(ContainerId(record.id))
        if held is not None:
            held.record = record

    def release(self, container_id: ContainerId) -> None:
        """The container has ended: close what is held of it. Idempotent."""
        held = self._held.pop(container_id, None)
        if held is None:
            return
        asyncio.get_running_loop().remove_reader(held.streams["pidfd"])
        close_all(held.streams.values())

    def drop_stdin(self, container_id: ContainerId) -> None:
        """Close the duplicate of stdin, so that the container can read its end. Idempotent."""
        held = self._held.get(container_id)
        if held is not None and "stdin" in held.streams:
            os.close(held.streams.pop("stdin"))

    def watch(self, held: Held, on_reaped: Callable[[str, int], None]) -> None:
        """An orphan of a dead monitor may have become our child: reap it, and tell its exit code."""
        pidfd = held.streams["pidfd"]
        loop = asyncio.get_running_loop()

        def ended() -> None:
            loop.remove_reader(pidfd)
            code = pidfd_exit_code(pidfd)
            if code is not None:
                on_reaped(held.record.id, code)

        loop.add_reader(pidfd, ended)

    def close(self) -> None:
        """Release all; the containers live on."""
        for container_id in list(self._held):
            self.release(container_id)
        close_all(self._journals.values())
        self._journals.clear()
