"""A guest: boot it, let it do a job, bring back what it left; several may run at the same time.

Disks are files in a temporary directory of the machine, its root an overlay over the image. The guest has two
serial lines: the first, with the words of the kernel and of systemd, goes to ``console.log``; the second,
with the words of the job, is shown. It has no network device.
"""

import os
import shutil
import signal
import subprocess
import sys
import tarfile
import tempfile
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from types import TracebackType
from typing import IO, Self

from tests.harness.patience import patient
from tests.node.image import Image, emulator, run
from tests.node.job import pack

BOOT_TIMEOUT_S = 900
STOP_TIMEOUT_S = 10
RESULTS_SIZE = 1 << 30
CONSOLE_TAIL = 60
STARTED = b"the job starts\n"
EXIT_CODE = ".exit-code"
# Retpolines and the like cost an emulated processor two thirds of its speed, and protect nobody here.
UNPROTECTED = ("mitigations=off", "init_on_alloc=0", "no5lvl")
KERNEL_OPTIONS = ("console=ttyS0", "panic=-1", "quiet", "loglevel=4", "systemd.show_status=0", *UNPROTECTED)


class End(StrEnum):
    """How the guest is switched off after its job: the command that does it."""

    QUICK = "poweroff --force --force"  # nobody is asked to end, what is written is on the disk
    ORDERLY = "systemctl --no-block poweroff"
    CUT = "poweroff --force --force --no-sync"  # as a power failure: what was not synced is lost


class GuestFailed(Exception):
    """The guest did not get to the end of its job; the message has the end of its console."""


class EmulatorAborted(GuestFailed):
    """The emulator broke down before the job began."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """How a job ended: the script's exit code and all that it printed."""

    code: int
    output: str


class Machine:
    """``with Machine(image) as machine``: its disk lasts over several boots, and is gone afterwards."""

    def __init__(
        self, image: Image, *, memory_mb: int = 2048, processors: int = 2, qemu: Path | None = None
    ) -> None:
        self._image = image
        self._memory_mb = memory_mb
        self._processors = processors
        self._qemu = qemu or emulator()
        self._home = Path(tempfile.mkdtemp(prefix="podwright-node-", dir="/var/tmp"))

    def __enter__(self) -> Self:
        try:
            self._make_disk()
        except BaseException:
            shutil.rmtree(self._home)
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        shutil.rmtree(self._home)

    def _make_disk(self) -> None:
        backing = ["-F", "raw", "-b", str(self._image.disk)]
        create = ["create", "-q", "-f", "qcow2", *backing, str(self._home / "root.qcow2")]
        subprocess.run(program(self._qemu, "qemu-img", *create), check=True, timeout=STOP_TIMEOUT_S)

    def command(self) -> list[str]:
        """The emulator's command line for one boot."""
        usr = self._qemu / "usr"
        options = {
            "accel": "tcg,thread=multi",
            "cpu": "max",
            "smp": str(self._processors),
            "m": str(self._memory_mb),
            "display": "none",
            "monitor": "none",
            "kernel": str(self._image.kernel),
            "initrd": str(self._image.initramfs),
            "append": " ".join(KERNEL_OPTIONS),
        }
        line = [word for name, value in options.items() for word in (f"-{name}", value)]
        line += ["-nodefaults", "-no-reboot", "-L", str(usr / "share/qemu"), "-L", str(usr / "share/seabios")]
        line += ["-serial", f"file:{self.console}", "-serial", "stdio"]
        for name, form in (("root.qcow2", "qcow2"), ("job.tar", "raw"), ("results.tar", "raw")):
            line += ["-drive", f"file={self._home / name},format={form},if=virtio,cache=unsafe"]
        return program(self._qemu, "qemu-system-x86_64", *line)

    @property
    def console(self) -> Path:
        """The words of the kernel and of systemd in the last boot."""
        return self._home / "console.log"

    def boot(
        self,
        script: str,
        *,
        timeout_s: float,
        additions: Mapping[Path, Path] | None = None,
        results: Path | None = None,
        show: Callable[[bytes], object] = lambda _: None,
        end: End = End.QUICK,
    ) -> Outcome:
        """Boot, run ``script`` in bash as root, switch off; what it left in $RESULTS is then in ``results``.

        Raises:
            GuestFailed: it did not boot, hung, or broke down.
        """
        pack(self._home / "job.tar", script, end, additions or {})
        with (self._home / "results.tar").open("wb") as disk:
            disk.truncate(RESULTS_SIZE)
        _pad(self._home / "job.tar")
        try:
            output = self._run(timeout_s, show)
        except EmulatorAborted as error:
            # Rarely QEMU's threads race while the firmware maps memory: "iotlb_to_section: Assertion …".
            print(f"booting once more: {error}", flush=True)
            output = self._run(timeout_s, show)
        return Outcome(self._unpack(results), output)

    def _run(self, timeout_s: float, show: Callable[[bytes], object]) -> str:
        """One run of the emulator; what the job said."""
        process = subprocess.Popen(
            self.command(), stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
        )
        assert process.stdout is not None
        reader = _Reader(process.stdout, show)
        try:
            reader.start()
            begun = time.monotonic()
            while not reader.ended.wait(0.2):
                waited = time.monotonic() - begun
                if not reader.started.is_set() and waited > patient(BOOT_TIMEOUT_S):
                    raise GuestFailed(f"not booted after {waited:.0f} s\n{self._console_tail()}")
                if waited > timeout_s:
                    raise GuestFailed(f"not finished after {waited:.0f} s\n{self._console_tail()}")
            code = process.wait(STOP_TIMEOUT_S)
        finally:
            process.kill()
            process.wait(STOP_TIMEOUT_S)
            reader.join(STOP_TIMEOUT_S)
            process.stdout.close()
        if not reader.started.is_set():
            kind = EmulatorAborted if code == -signal.SIGABRT else GuestFailed
            raise kind(f"ended while it booted: {reader.text()}\n{self._console_tail()}")
        return reader.text()

    def _unpack(self, results: Path | None) -> int:
        """Lay what came back into ``results``; the exit code."""
        try:
            with tarfile.open(self._home / "results.tar", "r:") as tar:
                member = tar.extractfile(f"./{EXIT_CODE}")
                code = int(member.read()) if member else None
        except (tarfile.TarError, KeyError, ValueError) as error:
            raise GuestFailed(
                f"it went down in the middle of its job: {error}\n{self._console_tail()}"
            ) from error
        if code is None:
            raise GuestFailed(f"it brought no exit code back\n{self._console_tail()}")
        if results is not None:
            results.mkdir(parents=True, exist_ok=True)
            # Not extractall: Python's filters came with 3.11.4, and Debian 12 has 3.11.2.
            unpack = ["tar", "--extract", "--no-same-owner", f"--exclude=./{EXIT_CODE}"]
            run([*unpack, f"--file={self._home / 'results.tar'}", f"--directory={results}"])
        return code

    def _console_tail(self) -> str:
        text = self.console.read_text(errors="replace") if self.console.exists() else ""
        lines = text.splitlines()[-CONSOLE_TAIL:]
        return "the end of its console:\n" + ("\n".join(lines) or "(nothing)")


class _Reader(threading.Thread):
    """Reads the job's serial line: passes on what comes after the start of the job, and keeps it."""

    def __init__(self, line: IO[bytes], show: Callable[[bytes], object]) -> None:
        super().__init__(daemon=True)
        self.started, self.ended = threading.Event(), threading.Event()
        self._line, self._show = line, show
        self._seen = bytearray()

    def run(self) -> None:
        while data := os.read(self._line.fileno(), 1 << 16):
            self._take(data)
        self.ended.set()

    def _take(self, data: bytes) -> None:
        self._seen += data
        if self.started.is_set():
            self._show(data)
            return
        _, found, after = self._seen.partition(STARTED)
        if found:
            self.started.set()
            self._seen = after
            if after:
                self._show(bytes(after))

    def text(self) -> str:
        return self._seen.decode(errors="replace")


def program(tree: Path, name: str, *arguments: str) -> list[str]:
    """A command line for a program of the unpacked ``tree``, which ends when we do."""
    usr = tree / "usr"
    libraries = next(usr.glob("lib/*-linux-gnu"))
    loader = next(usr.glob("lib64/ld-linux*.so.*"))
    ends_with_us = ["setpriv", "--pdeathsig", "KILL", "--"]
    line = [*ends_with_us, loader, "--library-path", libraries, usr / "bin" / name, *arguments]
    return [str(word) for word in line]


def _pad(path: Path) -> None:
    """Disks are made of whole sectors."""
    with path.open("ab") as disk:
        disk.truncate(-(-path.stat().st_size // 512) * 512)


def show_on_stdout(data: bytes) -> None:
    sys.stdout.buffer.write(data)
    sys.stdout.buffer.flush()
