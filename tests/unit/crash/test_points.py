"""Points are found by what a process does: nothing that a verb gets to do has to be entered anywhere."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.harness.patience import patient

# Replaces calls for good, so that it is a process of its own.
PROGRAM = """
import asyncio, fcntl, json, os, signal, socket, sqlite3, sys
import host.namespaces, host.spawn, host.syscalls
from pathlib import Path
from tests.crash.points import Points, put, turns
passed = []
points = Points(print, seen=passed.append)
put(points, below=sys.argv[1])
os.chdir(sys.argv[1])
here, there = socket.socketpair()
async def main():
    turns(asyncio.get_running_loop(), points)
    await asyncio.create_task(do())
async def do():
    points.arm(0)
    %s
    points.disarm()
asyncio.run(main())
sys.stdout.write(json.dumps(passed))
"""


def passed(directory: Path, statement: str) -> list[str]:
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM % statement, str(directory)],
        capture_output=True,
        text=True,
        timeout=patient(60),
        check=False,
    )
    assert done.returncode == 0, done.stderr
    found: list[str] = json.loads(done.stdout)
    return found[:-1]  # which is the end


@pytest.mark.parametrize(
    ("statement", "name"),
    [
        ("os.mkdir('new')", "os.mkdir"),
        ("Path('new').mkdir()", "os.mkdir"),
        ("Path('file').write_text('')", "open of a file to be written"),
        ("os.close(os.open('file', os.O_WRONLY | os.O_CREAT))", "open of a file to be written"),
        ("os.symlink('a', 'b')", "os.symlink"),
        ("os.write(2, b' ')", "os.write"),
        ("os.kill(os.getpid(), 0)", "os.kill"),
        ("signal.pidfd_send_signal(os.pidfd_open(os.getpid()), 0)", "signal.pidfd_send_signal"),
        ("here.send(b'x')", "socket.send"),
        ("here.sendmsg([b'x'])", "socket.sendmsg"),
        ("fcntl.flock(1, fcntl.LOCK_UN)", "fcntl.flock"),
        ("host.syscalls.libc.sync()", "libc.sync"),
        ("host.spawn.libc.sync()", "libc.sync"),
        ("host.syscalls.syscall('getpid', 39)", "libc.syscall"),
    ],
)
def test_what_changes_something_has_a_point_before_and_after(
    tmp_path: Path, statement: str, name: str
) -> None:
    found = passed(tmp_path, statement)
    assert found[:2] == [f"before {name}", f"after {name}"]


@pytest.mark.parametrize(
    "statement",
    [
        "os.listdir('.')",
        "os.stat('.')",
        "Path('/proc/self/stat').read_text()",
        "os.close(os.dup(1))",
        "os.getpid()",
    ],
)
def test_what_only_asks_has_none(tmp_path: Path, statement: str) -> None:
    assert passed(tmp_path, statement) == []


def test_each_statement_that_changes_a_database_has_one(tmp_path: Path) -> None:
    statement = (
        "d = sqlite3.connect(':memory:'); d.execute('CREATE TABLE t (a)'); d.execute('SELECT * FROM t')"
    )
    assert passed(tmp_path, statement) == ["before CREATE TABLE t"]


def test_an_await_that_waits_has_one_on_either_side(tmp_path: Path) -> None:
    assert passed(tmp_path, "await asyncio.sleep(0)") == [
        "before an await in sleep",
        "after an await in sleep",
    ]
