"""`make runtime-test`: each validation program of opencontainers/runtime-tools with each runtime, as a table.

It fails when a program that crun or runc passes is not passed by podwright-oci, unless differences.py says
why. By environment variables: ONLY (a regular expression for programs), RUNTIMES (names, by commas), REPORT
(a file for the whole output).
"""

import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from tests.critest.toolchain import ToolchainFailed
from tests.harness import private
from tests.harness.cache import PROJECT
from tests.harness.patience import patient
from tests.harness.runs import scratch
from tests.harness.runtimes import OWN, RUNTIMES, program
from tests.runtime_tools.differences import OURS, UNPASSABLE
from tests.runtime_tools.programs import programs_directory, release, rootfs_name
from tests.runtime_tools.tap import Outcome, Verdict, judge

PROGRAM_TIMEOUT_S = patient(120)
_HELPER_FILES = ("runtimetest", rootfs_name())

Table = Mapping[str, Mapping[str, Outcome]]
"""Outcomes by program, then runtime."""


def main() -> int:
    try:
        directory = programs_directory()
    except ToolchainFailed as error:
        print(error, file=sys.stderr)
        return 2
    if not os.environ.get(private.INSIDE):
        return private.main([sys.executable, "-m", "tests.runtime_tools.run"])
    only = re.compile(os.environ.get("ONLY", ""))
    runtimes = os.environ.get("RUNTIMES", ",".join(RUNTIMES)).split(",")
    programs = [
        file
        for file in sorted(directory.iterdir())
        if file.name not in _HELPER_FILES and only.search(file.name)
    ]
    report = Path(os.environ.get("REPORT") or PROJECT / "build/runtime-tools.log")
    report.parent.mkdir(parents=True, exist_ok=True)
    with report.open("w") as log:
        table = {file.name: run_all(directory, file, runtimes, log.write) for file in programs}
    print(f"{release()}; all they said: {report}\n\n{shown(table, runtimes)}")
    wrong = complaints(table, OURS, UNPASSABLE)
    print("\n".join(wrong) if wrong else "\nno difference without a reason")
    return 1 if wrong else 0


def run_all(
    directory: Path, file: Path, runtimes: Sequence[str], log: Callable[[str], object]
) -> Mapping[str, Outcome]:
    """One program with every runtime, one after the other: they would be in each other's way."""
    found = {}
    for runtime in runtimes:
        text, outcome = run(directory, file, program(runtime))
        log(f"=== {file.name} {runtime}: {outcome.verdict}\n{text}\n")
        found[runtime] = outcome
    print(f"{file.name}: {', '.join(f'{name} {one.verdict}' for name, one in found.items())}", flush=True)
    return found


def run(directory: Path, file: Path, runtime: str) -> tuple[str, Outcome]:
    """One program with one runtime, in a directory and namespaces of its own, with which all that it leaves
    mounted and running ends."""
    with tempfile.TemporaryDirectory(
        dir=scratch(), prefix="validation-", ignore_cleanup_errors=True
    ) as place:
        for name in _HELPER_FILES:
            shutil.copy(directory / name, place)
        environment = {**os.environ, "RUNTIME": runtime, "TMPDIR": place}
        process = subprocess.Popen(
            ["unshare", "--mount", "--pid", "--fork", "--kill-child", "--mount-proc", str(file)],
            cwd=place,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            start_new_session=True,
            errors="replace",
        )
        try:
            text, _ = process.communicate(timeout=PROGRAM_TIMEOUT_S)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.communicate()
            return "", Outcome(Verdict.HANGS, told=f"it did not end within {PROGRAM_TIMEOUT_S:g} s")
        return text, judge(text, process.returncode)


def shown(table: Table, runtimes: Sequence[str]) -> str:
    """The table, and below it what fails."""
    width = max((len(name) for name in table), default=0)
    lines = [" " * width + "".join(f"  {name:10}" for name in runtimes)]
    for name, outcomes in table.items():
        lines.append(f"{name:{width}}" + "".join(f"  {outcomes[one].verdict:10}" for one in runtimes))
    totals = [sum(one[name].verdict is Verdict.PASSED for one in table.values()) for name in runtimes]
    lines.append(f"{'passed':{width}}" + "".join(f"  {count:<10}" for count in totals) + "\n")
    for name, outcomes in table.items():
        for runtime in runtimes:
            lines += [f"{name}, {runtime}: {words}" for words in outcomes[runtime].failed]
    return "\n".join(lines)


def complaints(table: Table, ours: Mapping[str, str], unpassable: Mapping[str, str]) -> list[str]:
    """What is neither right nor explained, in programs and in their single assertions; and explanations of
    what is right by now."""
    wrong = []
    for name, outcomes in table.items():
        own = outcomes.get(OWN)
        others = {runtime: one for runtime, one in outcomes.items() if runtime != OWN}
        if own is None or own.verdict is Verdict.SKIPPED:
            continue
        passed = own.verdict is Verdict.PASSED
        if passed and (name in ours or name in unpassable):
            wrong.append(f"{name}: passes by now, contrary to differences.py")
        if passed or name in ours:
            continue
        better = [runtime for runtime, one in others.items() if one.verdict is Verdict.PASSED]
        if better:
            wrong.append(f"{name}: passed by {', '.join(better)}, not by {OWN}: {own.failed or own.told}")
        elif name not in unpassable:
            wrong.append(f"{name}: passed by nobody, and no reason is given: {own.failed or own.told}")
        for runtime, one in others.items():
            lost = [words for words in own.failed if one.assertions.get(words)]
            if lost and name not in unpassable:
                wrong.append(f"{name}: holds with {runtime}, not with {OWN}: {lost}")
    return wrong


if __name__ == "__main__":
    sys.exit(main())
