"""Leases on disk as the reference host-local keeps them, so that either may release the other's.

<dataDir>/<network>/<ip>                  "<container id>\\r\\n<interface>"
<dataDir>/<network>/last_reserved_ip.<n>  the last address leased from range set n
<dataDir>/<network>/lock                  flock(2)ed while anything changes
"""

import fcntl
import os
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from cni.builtin.ranges import RangeSet
from cni.errors import PluginFailed
from cni.fields import IpAddress

_LOCK_TIMEOUT_S = 10.0
_LOCK_PAUSE_S = 0.005
_LAST = "last_reserved_ip."
_TEMPORARY = ".tmp"


@dataclass(frozen=True, slots=True)
class Leases:
    """The lease directory of one network. ``guard`` orders our own threads; the flock other processes."""

    directory: Path
    guard: threading.Lock = field(default_factory=threading.Lock)

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Hold the directory's lock.

        Raises:
            PluginFailed: another process kept it for ten seconds.
        """
        with self.guard:
            self.directory.mkdir(parents=True, exist_ok=True)
            descriptor = os.open(self.directory / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
            try:
                self._flock(descriptor)
                yield
            finally:
                os.close(descriptor)

    def reserve(self, address: IpAddress, owner: bytes, position: int) -> bool:
        """Lease one address; False when it is taken. Needs the lock."""
        path = self.directory / str(address)
        if path.exists():
            return False
        # Written before it gets its name: a crash leaves no lease that nobody owns.
        temporary = self.directory / f".{address}{_TEMPORARY}"
        temporary.write_bytes(owner)
        temporary.replace(path)
        _overwrite(self.directory / f"{_LAST}{position}", str(address).encode())
        return True

    def last(self, position: int) -> str:
        """The last address leased from a range set, "" if none is known."""
        try:
            return (self.directory / f"{_LAST}{position}").read_text().strip()
        except FileNotFoundError:
            return ""

    def of(self, owner: bytes) -> list[str]:
        """The addresses that ``owner`` has leased."""
        return [name for name, content in self._contents() if _owned(content, owner)]

    def release(self, owner: bytes, hints: list[str]) -> None:
        """End the leases of ``owner``; ``hints`` are addresses to look at first. Needs the lock.

        All hints being the owner's, nothing else is read: a full directory costs as little as an empty one.
        """
        found = [name for name in hints if _owned(self._read(name), owner)]
        if not found or len(found) != len(hints):
            found = self.of(owner)
        for name in found:
            (self.directory / name).unlink(missing_ok=True)

    def owners(self) -> dict[str, tuple[str, str]]:
        """Container id and interface ("" in old files) of every leased address."""
        found = {}
        for name, content in self._contents():
            container, _, ifname = content.decode(errors="replace").partition("\r\n")
            found[name] = (container.strip(), ifname.strip())
        return found

    def free(self, address: str) -> None:
        """End one lease, whoever has it. Needs the lock."""
        (self.directory / address).unlink(missing_ok=True)

    def sweep(self) -> None:
        """Remove what a writer that was killed left unfinished. Needs the lock."""
        for path in self.directory.glob(f".*{_TEMPORARY}"):
            path.unlink(missing_ok=True)

    def _contents(self) -> Iterator[tuple[str, bytes]]:
        try:
            names = [path.name for path in self.directory.iterdir()]
        except FileNotFoundError:
            return
        for name in names:
            if name != "lock" and not name.startswith((".", _LAST)):
                yield name, self._read(name)

    def _read(self, name: str) -> bytes:
        try:
            return (self.directory / name).read_bytes()
        except FileNotFoundError:
            return b""

    def _flock(self, descriptor: int) -> None:
        deadline = time.monotonic() + _LOCK_TIMEOUT_S
        while True:
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                return
            except BlockingIOError:
                if time.monotonic() > deadline:
                    raise PluginFailed(
                        f"{self.directory / 'lock'} is held by another process for {_LOCK_TIMEOUT_S:g} s"
                    ) from None
            time.sleep(_LOCK_PAUSE_S)


def owner_bytes(container_id: str, ifname: str) -> bytes:
    """What a lease of this attachment contains."""
    return f"{container_id}\r\n{ifname}".encode()


def allocate(
    leases: Leases,
    ranges: RangeSet,
    position: int,
    owner: bytes,
    wanted: IpAddress | None,
    last: IpAddress | None,
) -> tuple[IpAddress, int] | None:
    """Lease ``wanted`` or the next free address of a range set; None when there is none. Needs the lock.

    Returns:
        The address and the position of its range in the set.
    """
    if wanted is not None:
        one = ranges.find(wanted)
        if one is None or wanted == one.gateway or not leases.reserve(wanted, owner, position):
            return None
        return wanted, ranges.ranges.index(one)
    for one, candidate in ranges.candidates(last):
        if leases.reserve(candidate, owner, position):
            return candidate, ranges.ranges.index(one)
    return None


def _overwrite(path: Path, content: bytes) -> None:
    """Replace a small file's content in place: after O_TRUNC ext4 would flush it to disk."""
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o644)
    try:
        os.pwrite(descriptor, content, 0)
        os.ftruncate(descriptor, len(content))
    finally:
        os.close(descriptor)


def _owned(content: bytes, owner: bytes) -> bool:
    """Files of old versions hold the container id alone."""
    text = content.strip()
    return text == owner or (b"\r\n" not in text and text == owner.partition(b"\r\n")[0])
