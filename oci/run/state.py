"""What is kept of a container: ``<root>/<id>/``, root's alone.

    state.json    written to a temporary and renamed: ids, the first process, where its cgroup is
    config.json   the configuration as it was at create; a later change of the bundle has no effect
    exec.fifo     while the container is created: a byte to it has the program executed
    exec.begun    the same, renamed by who starts it; if that is killed before the byte, another may
    exec.answer   what came of it: empty, or the error's words

A container whose directory has no state.json is being created, or its creator was killed.
"""

import contextlib
import errno
import json
import os
import select
import time
from collections.abc import Mapping
from typing import NamedTuple

from host.spawn import start_time
from oci.run.document import Table
from oci.run.errors import BadConfig, ContainerExists, NoSuchContainer

OCI_VERSION = "1.2.1"
START, BEGUN, ANSWER = "exec.fifo", "exec.begun", "exec.answer"
_STATE, _CONFIG = "state.json", "config.json"
_ID_LIMIT = 1024
_ID_CHARACTERS = frozenset("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_+.-")


class Container(NamedTuple):
    """What is known of a container; ``start_time`` is in clock ticks since boot (proc(5))."""

    id: str
    pid: int
    start_time: int
    bundle: str
    rootfs: str
    created: str
    oci_version: str
    annotations: Mapping[str, str]
    cgroup: Mapping[str, object]
    no_keyring: bool = False


class Place:
    """The directory of one container."""

    def __init__(self, root: str, container_id: str) -> None:
        """
        Raises:
            BadConfig: no such id can be.
        """
        if not 0 < len(container_id) <= _ID_LIMIT or container_id in (".", ".."):
            raise BadConfig(f"invalid container id {container_id!r}")
        if not _ID_CHARACTERS.issuperset(container_id):
            raise BadConfig(f"invalid container id format: {container_id!r}")
        self.id = container_id
        self.directory = os.path.join(root, container_id)

    def path(self, name: str) -> str:
        """A file in the directory."""
        return os.path.join(self.directory, name)

    def reserve(self) -> None:
        """Make the directory.

        Raises:
            ContainerExists: the id is taken.
        """
        os.makedirs(os.path.dirname(self.directory), 0o700, exist_ok=True)
        try:
            os.mkdir(self.directory, 0o711)
        except FileExistsError:
            raise ContainerExists(self.id) from None

    def exists(self) -> bool:
        """Whether there is a directory."""
        return os.path.isdir(self.directory)

    def save_config(self, content: bytes) -> None:
        """Keep the configuration."""
        with open(self.path(_CONFIG), "wb") as file:
            file.write(content)

    def config(self) -> Table:
        """The configuration as it was at create.

        Raises:
            NoSuchContainer: there is none.
        """
        try:
            with open(self.path(_CONFIG), "rb") as file:
                return Table(json.load(file))
        except FileNotFoundError:
            raise NoSuchContainer(self.id) from None

    def names(self, hook: str) -> bool:
        """Whether the configuration may have hooks of this point; without it, there are none."""
        try:
            with open(self.path(_CONFIG), "rb") as file:
                return b'"%s"' % hook.encode() in file.read()
        except OSError:
            return False

    def save(self, container: Container) -> None:
        """Write state.json; whoever reads sees the old or the new one."""
        temporary = self.path(f".{_STATE}")
        with open(temporary, "w", encoding="utf-8") as file:
            json.dump(container._asdict(), file)
        os.rename(temporary, self.path(_STATE))

    def load(self) -> Container:
        """
        Raises:
            NoSuchContainer: there is none, or its creation is not complete.
        """
        try:
            with open(self.path(_STATE), encoding="utf-8") as file:
                values = json.load(file)
        except (FileNotFoundError, NotADirectoryError):
            raise NoSuchContainer(self.id) from None
        return Container(**values)

    def make_fifos(self) -> tuple[int, int]:
        """The ends that the container's process holds: where its start comes from, and its answer goes to."""
        for name in (START, ANSWER):
            os.mkfifo(self.path(name), 0o600)
        # Both ways, so that neither opening waits and neither reading ends.
        flags = os.O_RDWR | os.O_CLOEXEC
        return os.open(self.path(START), flags), os.open(self.path(ANSWER), flags)

    def is_created(self) -> bool:
        """Whether nobody has started it, or who did was killed, so that it waits still."""
        if os.path.exists(self.path(START)):
            return True
        try:
            os.close(self._open_for_start(BEGUN))
        except OSError:
            return False
        return True

    def _open_for_start(self, name: str) -> int:
        """ENXIO: nobody waits there (any more)."""
        return os.open(self.path(name), os.O_WRONLY | os.O_NONBLOCK | os.O_CLOEXEC)

    def send_start(self) -> int:
        """Let the process that waits go on; a descriptor, non-blocking, on which an error's words come, and
        the end when the program has been executed or the process has ended.

        Raises:
            FileNotFoundError: it has been started.
            OSError: ENXIO: the process that waits has ended.
        """
        answer = os.open(self.path(ANSWER), os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        try:
            try:
                os.rename(self.path(START), self.path(BEGUN))
            except FileNotFoundError:
                if not self.is_created():
                    raise
            start = self._open_for_start(BEGUN)
            try:
                os.write(start, b"!")
            finally:
                os.close(start)
        except BaseException:
            os.close(answer)
            raise
        return answer

    def begin(self, pidfd: int) -> bytes:
        """Have the program executed; the error's words, b"" if there was none.

        Raises:
            OSError: see send_start.
        """
        answer = self.send_start()
        try:
            words = _until_end(answer, pidfd)
        finally:
            os.close(answer)
        self.has_begun()
        return words

    def has_begun(self) -> None:
        """The answer's end has come. The kernel closes an executing process's descriptors in any order: for a
        moment the one that it waited on may be open still. Without its name nobody takes it for waiting."""
        with contextlib.suppress(FileNotFoundError):
            os.unlink(self.path(BEGUN))

    def remove(self) -> None:
        """Remove the directory and what is in it; gone already is fine."""
        try:
            names = os.listdir(self.directory)
        except FileNotFoundError:
            return
        for name in names:
            try:
                os.unlink(self.path(name))
            except FileNotFoundError:
                pass
        try:
            os.rmdir(self.directory)
        except FileNotFoundError:
            pass


def _until_end(answer: int, pidfd: int) -> bytes:
    """What comes until the other end is closed or the process ends."""
    poll = select.poll()
    poll.register(answer, select.POLLIN)
    poll.register(pidfd, select.POLLIN)
    words = b""
    while True:
        ready = dict(poll.poll())
        if answer in ready:
            try:
                data = os.read(answer, 65536)
            except BlockingIOError:
                data = b""
            words += data
            if not data:
                return words
        elif pidfd in ready:
            return words


def ids(root: str) -> list[str]:
    """The ids of all directories below ``root`` that can be containers."""
    try:
        names = sorted(os.listdir(root))
    except FileNotFoundError:
        return []
    return [name for name in names if _ID_CHARACTERS.issuperset(name) and not name.startswith(".")]


def is_alive(container: Container) -> bool:
    """Whether the first process is there, is the same one, and has not ended."""
    try:
        with open(f"/proc/{container.pid}/stat", "rb") as file:
            text = file.read()
    except (FileNotFoundError, ProcessLookupError):
        return False
    fields = text[text.rindex(b")") + 2 :].split()
    return int(fields[19]) == container.start_time and fields[0] not in (b"Z", b"X")


def open_process(container: Container) -> int | None:
    """A pidfd of the first process; None when it has ended."""
    try:
        pidfd = os.pidfd_open(container.pid)
    except ProcessLookupError:
        return None
    except OSError as error:
        if error.errno in (errno.EINVAL, errno.ESRCH):
            return None
        raise
    if is_alive(container):
        return pidfd
    os.close(pidfd)
    return None


def now() -> str:
    """The time as RFC 3339 with nanoseconds, in UTC."""
    seconds, nanoseconds = divmod(time.time_ns(), 1_000_000_000)
    return f"{time.strftime('%Y-%m-%dT%H:%M:%S', time.gmtime(seconds))}.{nanoseconds:09d}Z"


def identity(pid: int) -> int:
    """The start time that, with the pid, names one process."""
    return start_time(pid)
