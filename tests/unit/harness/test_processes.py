"""Processes that have ended, or do while they are looked at: each answer is empty, and nothing raises."""

import fcntl
import os
import re
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.harness import processes
from tests.harness.cache import PROJECT

Child = subprocess.Popen[bytes]
# What is asked of a process, and the answer of one that is gone.
QUESTIONS: dict[str, tuple[Callable[[int], object], object]] = {
    "limits": (lambda pid: processes.read(pid, "limits"), ""),
    "bytes": (lambda pid: processes.read_bytes(pid, "environ"), b""),
    "link": (lambda pid: processes.link(pid, "ns/net"), ""),
    "comm": (processes.comm, ""),
    "words": (processes.words, []),
    "command line": (processes.command_line, ""),
    "cgroup": (processes.cgroup, ""),
    "status": (processes.status, {}),
    "state": (processes.state, processes.GONE),
    "has ended": (processes.has_ended, True),
    "is there": (processes.is_there, False),
    "start time": (processes.start_time, None),
    "cpu": (processes.cpu_ticks, 0),
    "smaps": (lambda pid: processes.smaps_kib(pid, "Anonymous"), None),
    "children": (processes.children, []),
    "descriptors": (processes.descriptors, {}),
    "descriptor count": (processes.descriptor_count, 0),
}
each_question = pytest.mark.parametrize("question", QUESTIONS)


@pytest.fixture
def child() -> Iterator[Child]:
    """A process of its own that waits, and has its words."""
    with subprocess.Popen(["/bin/sleep", "600"]) as process:
        while not processes.words(process.pid):
            time.sleep(0.001)
        yield process
        process.kill()


def end(child: Child) -> None:
    child.kill()
    child.wait()


@each_question
def test_one_that_is_gone_answers_nothing(child: Child, question: str) -> None:
    ask, nothing = QUESTIONS[question]
    end(child)
    assert ask(child.pid) == nothing


@each_question
@pytest.mark.parametrize("moment", ["before it is opened", "before it is read"])
def test_one_that_ends_while_it_is_looked_at_answers_nothing(
    child: Child, question: str, moment: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The answers are the kernel's: the process really ends, at the first file or link that is looked at."""
    ask, nothing = QUESTIONS[question]
    answer = ask(child.pid)
    real_open, real_link = Path.open, Path.readlink

    def ending_open(path: Path, mode: str) -> object:
        if moment == "before it is opened":
            end(child)
        file = real_open(path, mode)
        end(child)
        return file

    def ending_link(path: Path) -> Path:
        end(child)
        return real_link(path)

    monkeypatch.setattr(Path, "open", ending_open)
    monkeypatch.setattr(Path, "readlink", ending_link)
    # A file may be made when it is opened, and tell of what was.
    assert ask(child.pid) in ((nothing,) if moment == "before it is opened" else (nothing, answer))
    assert child.returncode is not None


# A file of a process that is not the one that reads, other than by the functions that expect its end.
RAW = re.compile(r"""f"/proc/\{|"/proc"\)( /|\.glob|\.iterdir)|"/proc/locks|listdir\("/proc"\)""")


def test_no_other_module_of_the_tests_reads_of_processes_by_itself() -> None:
    own = {Path(processes.__file__), Path(__file__)}
    found = [
        f"{path.relative_to(PROJECT)}: {line.strip()}"
        for top in ("tests", "bench")
        for path in (PROJECT / top).rglob("*.py")
        if path not in own
        for line in path.read_text().splitlines()
        if RAW.search(line)
    ]
    # It names files for another account to read, which tells of none that it cannot.
    assert [line for line in found if not line.startswith("tests/harness/reach.py")] == []


def test_a_zombie_has_ended_and_is_there(child: Child) -> None:
    assert (processes.has_ended(child.pid), processes.is_there(child.pid)) == (False, True)
    child.kill()
    os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT)
    assert processes.state(child.pid) == processes.ZOMBIE
    assert (processes.has_ended(child.pid), processes.is_there(child.pid)) == (True, True)
    assert (processes.words(child.pid), processes.smaps_kib(child.pid, "Anonymous")) == ([], None)
    assert processes.descriptors(child.pid) == {}


def test_one_that_lives_is_described(child: Child) -> None:
    pid = child.pid
    assert pid in processes.children("self")
    assert pid in processes.with_words("/bin/sleep", "600")
    assert pid not in processes.with_words("sleep", "600"), "words are whole"
    assert pid in processes.mentioning("leep", "60")
    assert processes.words(pid) == ["/bin/sleep", "600"]
    assert processes.command_line(pid) == "/bin/sleep 600"
    assert processes.status(pid)["PPid"] == str(os.getpid())
    assert processes.link(pid, "cwd") == str(Path.cwd())
    assert (processes.smaps_kib(pid, "Rss") or 0) > 0
    assert 0 < (processes.start_time("self") or 0) <= (processes.start_time(pid) or 0)


def test_descriptors_are_those_of_the_process_and_not_of_the_look(tmp_path: Path) -> None:
    before = processes.descriptor_count()
    with (tmp_path / "file").open("w") as file:
        assert processes.descriptors()[file.fileno()] == str(tmp_path / "file")
        assert processes.descriptor_count() == before + 1
    assert processes.descriptor_count() == before


def test_a_lock_has_the_holder_that_has_it_now(tmp_path: Path) -> None:
    path, other = tmp_path / "lock", tmp_path / "other"
    other.touch()
    with path.open("w") as file:
        assert processes.lock_holder(path) is None
        fcntl.flock(file, fcntl.LOCK_EX)
        assert processes.lock_holder(path) == os.getpid()
        assert processes.lock_holder(other) is None
    assert processes.lock_holder(path) is None


def test_all_can_be_looked_through_while_processes_come_and_go() -> None:
    for _ in range(20):
        crowd = [subprocess.Popen(["/bin/true"]) for _ in range(10)]
        assert processes.mentioning("no such words") == []
        assert processes.in_cgroup("no such cgroup") == []
        for each in crowd:
            each.wait()
