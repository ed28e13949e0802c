"""SIGKILL to monitor, daemon, keeper, or daemon and monitor at once, under containers that print numbered
lines and end with a code of their own: no line is lost or doubled, and every exit code is right.

``python -m tests.crash.kills [MODE…] [--rounds N] [--writers N]`` runs in the namespaces of
tests.harness.private and prints one JSON object a mode.
"""

import argparse
import contextlib
import json
import os
import random
import re
import secrets
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path

import grpc

from api.runtime.v1 import api_pb2 as pb
from host.cgroups import Hierarchy
from tests.harness import private
from tests.harness.client import container_config, eventually, pod_config
from tests.harness.daemon import Daemon, Settings
from tests.harness.patience import patient
from tests.harness.processes import lock_holder, mentioning
from tools.demo import busybox_image

IMAGE = "localhost/test/busybox:1"
LINES = 2000
# Fast, slow, in bursts, on the other stream, in pieces: all print the numbers from 0.
SCRIPTS = (
    f"sleep 0.$((RANDOM % 9)); seq 0 {LINES - 1}",
    f"i=0; while [ $i -lt {LINES} ]; do echo $i; i=$((i+1)); [ $((i % 200)) = 0 ] && sleep .1; done",
    f"i=0; while [ $i -lt {LINES} ]; do echo $i; i=$((i+1)); [ $((i % 50)) = 0 ] && sleep .05; done",
    f"sleep 0.$((RANDOM % 9)); seq 0 {LINES - 1} >&2",
    f"i=0; while [ $i -lt {LINES} ]; do printf $i; [ $((i % 100)) = 0 ] && sleep .1; echo; i=$((i+1)); done",
)
MODES = ("monitor", "daemon", "both", "keeper")
SPAN_S = 4.0  # in which the kills of a round fall


@dataclass
class Result:
    """What was seen; ``unclear`` are containers whose start was never known to have succeeded."""

    mode: str
    rounds: int = 0
    kills: int = 0
    containers: int = 0
    lines: int = 0
    lost: int = 0
    doubled: int = 0
    malformed: int = 0
    wrong_codes: int = 0
    unclear: int = 0
    notes: list[str] = field(default_factory=list)

    @property
    def is_right(self) -> bool:
        """Whether nothing is missing and nothing wrong."""
        wrong = (self.lost, self.doubled, self.malformed, self.wrong_codes, self.unclear)
        return not any(wrong) and self.kills > 0 and self.lines == self.containers * LINES


class Rig:
    """A daemon whose processes die, and writers in one pod."""

    def __init__(self) -> None:
        self.daemon = Daemon(Settings(bridge="pw-kills0", subnet="10.94.0.0/16"))
        self.cgroup = f"/podwright-kills-{secrets.token_hex(4)}"
        self.number = 0

    def open(self) -> None:
        archive = self.daemon.state / "busybox.tar"
        busybox_image().write_docker_archive(archive, IMAGE)
        command = self.daemon.command("image import", str(archive))
        subprocess.run(command, check=True, timeout=patient(60), capture_output=True)
        archive.unlink()
        Hierarchy.detect().create(self.cgroup)
        self.daemon.start()

    def close(self) -> list[str]:
        """What had to be forced."""
        forced = self.daemon.teardown()
        Hierarchy.detect().remove(self.cgroup)
        return forced

    def monitor(self) -> int | None:
        """Who holds the monitor's lock."""
        return lock_holder(self.daemon.runroot / "monitor.lock")

    def keeper(self) -> int | None:
        """The keeper of this daemon's monitor."""
        found = mentioning(f"podwright-keeper: {self.daemon.runroot}")
        return found[0] if found else None

    def kill(self, mode: str) -> int:
        """Have it die, and come back; the number of processes that were killed."""
        victims = {"monitor": [self.monitor()], "keeper": [self.keeper()], "both": [self.monitor()]}
        found = [pid for pid in victims.get(mode, []) if pid is not None]
        if mode in ("daemon", "both"):
            if random.getrandbits(1):  # either may be the first
                self.daemon.kill()
            else:
                found.insert(0, self.daemon.pid)
        killed = 0
        for pid in found:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
                killed += 1
        if mode in ("daemon", "both"):
            if self.daemon.running:
                self.daemon.kill()  # collects it
            time.sleep(random.random() / 2)
            self.daemon.start(patient(60))
            return 1 + (mode == "both" and killed > 0)
        return killed

    def round(self, result: Result, writers: int) -> None:
        self.number += 1
        logs = self.daemon.state / f"log/{self.number}"
        config = pod_config(
            f"kills-{self.number}", log_directory=logs, cgroup_parent=self.cgroup, host_network=True
        )
        client = self.daemon.client
        pod = client.run_pod(config)
        codes = {}
        for index in range(writers):
            script = f"{SCRIPTS[index % len(SCRIPTS)]}; exit {10 + index}"
            wanted = container_config(f"w{index}", IMAGE, ["sh", "-c", script])
            codes[client.create_container(pod, wanted, config)] = index
        starting = threading.Thread(target=self._start_all, args=(list(codes), result))
        starting.start()
        for pause_s in _pauses():
            time.sleep(pause_s)
            result.kills += self.kill(result.mode)
        starting.join()
        for one, index in codes.items():
            self._wait_for_end(one)
            self._judge(result, self.daemon.client.container(one), index, logs / f"w{index}/0.log")
        client.remove_pod(pod)
        result.rounds += 1

    def _status(self, container: str) -> pb.ContainerStatus | None:
        with contextlib.suppress(grpc.RpcError):
            return self.daemon.client.container(container)
        return None

    def _wait_for_end(self, container: str) -> None:
        eventually(lambda: self._status(container), _is_over, f"{container} ends", 120)

    def _start_all(self, containers: Sequence[str], result: Result) -> None:
        for one in containers:
            self._start(one, result)

    def _start(self, container: str, result: Result) -> None:
        """As a kubelet does: again, as long as the container is only created."""
        end = time.monotonic() + patient(120)
        while time.monotonic() < end:
            try:
                self.daemon.client.start_container(container)
                return
            except grpc.RpcError as error:
                why = f"{error.code()}: {error.details()}"
            status = self._status(container)
            if status is not None and status.state != pb.CONTAINER_CREATED:
                return
            time.sleep(0.05)
        result.notes.append(f"never started: {why}")

    def _judge(self, result: Result, status: pb.ContainerStatus, index: int, log: Path) -> None:
        result.containers += 1
        if status.reason == "StartError":
            result.unclear += 1
            result.notes.append(f"round {self.number}, writer {index}: {status.message[:120]}")
            return
        numbers, odd = numbers_in(log)
        missing, doubled = LINES - len(set(numbers)), len(numbers) - len(set(numbers))
        result.lines += len(numbers)
        result.lost += missing
        result.doubled += doubled
        result.malformed += len(odd) or int(numbers != sorted(numbers))
        result.wrong_codes += status.exit_code != 10 + index
        if missing or doubled or odd or status.exit_code != 10 + index:
            what = f"missing {missing}, doubled {doubled}, odd {odd[:2]}, code {status.exit_code}"
            result.notes.append(f"round {self.number}, writer {index}: {what}")


def _pauses() -> list[float]:
    """Before each kill of a round: one or two."""
    at = sorted(random.random() * SPAN_S for _ in range(random.choice((1, 1, 2))))
    return [after - before for before, after in zip([0.0, *at], at, strict=False)]


def _is_over(status: pb.ContainerStatus | None) -> bool:
    return status is not None and status.state == pb.CONTAINER_EXITED


def numbers_in(log: Path) -> tuple[list[int], list[str]]:
    """The numbers in a log's lines, P pieces joined, and the lines that are none."""
    numbers: list[int] = []
    odd: list[str] = []
    text = ""
    if not log.exists():
        return [], []
    for line in log.read_text(errors="replace").splitlines():
        match = re.fullmatch(r"\S+ std(?:out|err) ([FP]) ?(.*)", line)
        if match is None:
            odd.append(line)
            continue
        text += match[2]
        if match[1] == "F":
            if text.isdecimal():
                numbers.append(int(text))
            else:
                odd.append(text)
            text = ""
    return numbers, odd + [text] * bool(text)


def run(modes: Sequence[str], rounds: int, writers: int) -> list[Result]:
    """All of it, on one daemon."""
    rig = Rig()
    results = []
    try:
        rig.open()
        for mode in modes:
            result = Result(mode)
            results.append(result)
            for _ in range(rounds):
                rig.round(result, writers)
            print(json.dumps(asdict(result)), flush=True)
    finally:
        forced = rig.close()
    if forced:
        results[-1].notes.append(f"had to be forced: {forced}")
        results[-1].malformed += 1
    return results


def main() -> None:
    """See the module's docstring."""
    parser = argparse.ArgumentParser()
    parser.add_argument("modes", nargs="*", default=MODES)
    parser.add_argument("--rounds", type=int, default=20)
    parser.add_argument("--writers", type=int, default=50)
    arguments = parser.parse_args()
    private.go_inside("tests.crash.kills", sys.argv[1:])
    results = run(arguments.modes, arguments.rounds, arguments.writers)
    sys.exit(not all(result.is_right for result in results))


if __name__ == "__main__":
    main()
