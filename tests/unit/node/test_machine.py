"""How a guest ends is told by how its emulator ends; shell scripts stand for that here."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.node.image import Image
from tests.node.machine import GuestFailed, Machine

SUCCEED = """
printf 'from the firmware\nthe job starts\nhello\n'
mkdir r && echo 3 >r/.exit-code && echo data >r/file && tar -cf results.tar -C r . && rm -r r
"""


class Scripted(Machine):
    """Each run of the emulator is the next of these scripts, in the directory of the disks."""

    scripts: tuple[str, ...] = ()
    runs = 0

    def command(self) -> list[str]:
        script = self.scripts[self.runs]
        self.runs += 1
        return ["sh", "-c", f"cd {self.console.parent}\n{script}"]


@pytest.fixture
def machine(tmp_path: Path) -> Iterator[Scripted]:
    """Its qemu-img does nothing."""
    libraries = tmp_path / "qemu/usr/lib/x86_64-linux-gnu"
    loader = tmp_path / "qemu/usr/lib64/ld-linux-fake.so.2"
    libraries.mkdir(parents=True)
    loader.parent.mkdir()
    loader.write_text("#!/bin/sh\nexit 0\n")
    loader.chmod(0o755)
    image = Image(tmp_path / "disk", tmp_path / "kernel", tmp_path / "initramfs")
    with Scripted(image, qemu=tmp_path / "qemu") as scripted:
        yield scripted
    assert not scripted.console.parent.exists()


def test_output_since_the_start_of_the_job_exit_code_and_files_come_back(
    machine: Scripted, tmp_path: Path
) -> None:
    machine.scripts = (SUCCEED,)
    outcome = machine.boot("", timeout_s=30, results=tmp_path / "results")
    assert (outcome.code, outcome.output) == (3, "hello\n")
    assert [path.name for path in (tmp_path / "results").iterdir()] == ["file"]


def test_an_emulator_that_aborts_before_the_job_is_run_once_more(machine: Scripted) -> None:
    machine.scripts = ("echo assertion; kill -ABRT $$", SUCCEED)
    assert machine.boot("", timeout_s=30).code == 3
    machine.scripts = ("kill -ABRT $$",) * 4
    with pytest.raises(GuestFailed, match="while it booted"):
        machine.boot("", timeout_s=30)
    assert machine.runs == 4


@pytest.mark.parametrize(
    ("script", "words"),
    [
        ("echo last words >console.log; exit 1", "(?s)while it booted.*last words"),
        ("echo the job starts; echo Kernel panic >console.log", "(?s)middle of its job.*Kernel panic"),
        ("echo the job starts; kill -ABRT $$", "middle of its job"),
        ("echo the job starts; exec sleep 100", "not finished after"),
    ],
)
def test_a_guest_that_does_not_finish_is_told_once_with_its_console(
    machine: Scripted, script: str, words: str
) -> None:
    machine.scripts = (script,)
    with pytest.raises(GuestFailed, match=words):
        machine.boot("", timeout_s=2)
    assert machine.runs == 1
