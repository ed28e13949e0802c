"""A launch without namespaces or root: the phases, and which descriptors a child has.

A fork beside threads of others hangs now and then, so each test runs in an interpreter of its own.
"""

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[4]
PRELUDE = f"""
import os, sys
sys.path.insert(0, {str(ROOT)!r})
from oci.run.errors import StepFailed
from oci.run.launch import Duties, Gift, Launch, Phase
from oci.run.operations import AskParent, Plan
from oci.run.process_operations import (
    AwaitParent, AwaitStart, Execute, FindProgram, ReportReady, SetEnvironment, SetUmask
)
procfs = os.open("/proc", os.O_PATH | os.O_DIRECTORY)
called = []
duties = Duties(called.append, called.append, lambda *words: called.append(words))
def plan(*steps):
    return Plan(0, "", (), (), (SetEnvironment(("PATH=/bin:/usr/bin",), 0), *steps), (), ())
def settle(launch):
    while launch.phase is Phase.SETTING_UP:
        launch.advance()
    return launch.phase
"""


def run(script: str) -> list[str]:
    done = subprocess.run(
        [sys.executable, "-I", "-c", PRELUDE + script],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.split()


def test_a_child_asks_reports_and_executes() -> None:
    script = """
steps = AskParent("hooks"), FindProgram("echo"), ReportReady(), AwaitParent(), Execute(("echo", "executed"))
launch = Launch(plan(*steps), Gift(procfs), duties)
print(settle(launch), called == [launch.pid], flush=True)
launch.go_on()
print(launch.advance(), flush=True)
launch.reap()
"""
    assert sorted(run(script)) == sorted(["ready", "True", "executed", "executed"])


@pytest.mark.parametrize(
    ("step", "words"),
    [
        ("FindProgram('no-such')", "no-such"),
        ("FindProgram('/no/such')", "stat"),
        ("AskParent('what')", "says"),
    ],
)
def test_a_step_that_fails_is_told(step: str, words: str) -> None:
    script = f"""
launch = Launch(plan({step}, ReportReady()), Gift(procfs), duties)
print(settle(launch), launch.failure)
launch.abandon()
"""
    said = run(script)
    assert said[0] == "failed"
    assert any(words in one for one in said)


def test_a_child_that_is_killed_has_failed() -> None:
    script = """
import signal
launch = Launch(plan(AwaitParent(), ReportReady()), Gift(procfs), duties)
os.kill(launch.pid, signal.SIGKILL)
print(settle(launch))
launch.reap()
"""
    assert run(script) == ["failed"]


def test_many_launches_are_under_way_at_once_and_none_has_anothers_descriptors() -> None:
    script = """
import select
launches = {}
for number in range(5):
    out, end = os.pipe2(os.O_CLOEXEC)
    steps = FindProgram("echo"), ReportReady(), AwaitParent(), Execute(("echo", str(number)))
    null = os.open("/dev/null", os.O_RDWR)
    launch = Launch(plan(*steps), Gift(procfs, stdio=(null, end, 2)), duties)
    os.close(end)
    launches[launch.fileno()] = (launch, out)
waiting = dict(launches)
while waiting:
    for descriptor in select.select(list(waiting), [], [])[0]:
        launch, _ = waiting[descriptor]
        if launch.advance() is Phase.READY:
            launch.go_on()
            del waiting[descriptor]
for launch, out in reversed(launches.values()):
    launch.advance()
    with open(out) as file:  # ends only if no other child has the pipe's writing end
        print(file.read().strip())
    launch.reap()
"""
    assert run(script) == ["4", "3", "2", "1", "0"]


def test_nothing_but_the_programs_descriptors_outlives_the_execution() -> None:
    script = """
leak = os.open("/dev/null", os.O_RDONLY)
os.set_inheritable(leak, True)
steps = FindProgram("ls"), ReportReady(), AwaitParent(), Execute(("ls", "/proc/self/fd"))
launch = Launch(plan(*steps), Gift(procfs), duties)
settle(launch)
launch.go_on()
launch.advance()
launch.reap()
"""
    assert run(script) == ["0", "1", "2", "3"]  # 3 is how ls reads the directory
