"""The crash matrix over the real thing: a daemon with its monitor, runtime, network and mounts gets SIGKILL
at a point of a verb or of its start; the next one is looked at, asked again, and relieved of everything.

``python -m tests.crash.real [VERB…] [--every N]`` tries every Nth point, in the namespaces of
tests.harness.private, and prints one JSON object a verb: points, tried, failures.
"""

import argparse
import contextlib
import json
import re
import secrets
import sqlite3
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path

import grpc

from api.runtime.v1 import api_pb2 as pb
from host.cgroups import Hierarchy
from tests.harness.client import Client, container_config, pod_config
from tests.harness.counts import Counts
from tests.harness.daemon import Daemon, DaemonFailed, Settings
from tests.harness.patience import patient
from tools.demo import busybox_image

IMAGE = "localhost/test/busybox:1"
START = "start"
_EXPECTED = re.compile(
    r"^process: .*( serve --config|oci\.monitor\.main|podwright-(logs|keeper)|cri\.streaming\.process\.main)"
    r"|^file: .*(sqlite|\.db)-(wal|shm)$"
)


@dataclass
class Result:
    """What was tried of one verb; ``points`` there are, ``tried`` of them, and what went wrong."""

    verb: str
    points: int = 0
    tried: int = 0
    failures: list[str] = field(default_factory=list)


class Rig:
    """A daemon that dies by a plan, and one pod with one container, found by their names."""

    def __init__(self) -> None:
        self._directory = Path(tempfile.mkdtemp(prefix="crash-", dir="/var/tmp"))
        self.plan = self._directory / "plan"
        program = [sys.executable, "-m", "tests.crash.daemon", str(self.plan)]
        self.daemon = Daemon(Settings(bridge="pw-crash0", subnet="10.93.0.0/16"), program=program)
        self.cgroup = f"/podwright-crash-{secrets.token_hex(4)}"
        self.shared_pid = False
        self.number = 0
        self.before = Counts({})

    def open(self) -> None:
        archive = self._directory / "busybox.tar"
        busybox_image().write_docker_archive(archive, IMAGE)
        command = self.daemon.command("image import", str(archive))
        subprocess.run(command, check=True, timeout=patient(60), capture_output=True)
        archive.unlink()
        Hierarchy.detect().create(self.cgroup)
        self.daemon.start()
        self.run_pod()  # what the first pod makes stays: the bridge, the firewall's table
        self.remove_pod()

    def close(self) -> list[str]:
        """What had to be forced."""
        self.plan.unlink(missing_ok=True)
        forced = self.daemon.teardown()
        Hierarchy.detect().remove(self.cgroup)
        self._directory.rmdir()
        return forced

    @property
    def client(self) -> Client:
        return self.daemon.client

    def counts(self) -> Counts:
        state = self.daemon.state
        return Counts.take(
            [self.daemon.runroot, state / "root", state / "ipam"], cgroups=re.compile(self.cgroup)
        )

    def config(self) -> pb.PodSandboxConfig:
        config = pod_config(
            f"crash-{self.number}", log_directory=self.daemon.state / "log/pod", cgroup_parent=self.cgroup
        )
        if self.shared_pid:
            config.linux.security_context.namespace_options.pid = pb.POD
        config.port_mappings.add(host_port=18080, container_port=80)
        return config

    def pod(self) -> pb.PodSandbox | None:
        uid = self.config().metadata.uid
        return next((one for one in self.client.pods() if one.metadata.uid == uid), None)

    def container(self) -> pb.Container | None:
        there = self.pod()
        all_of_it = [one for one in self.client.containers() if there and one.pod_sandbox_id == there.id]
        return next(iter(all_of_it), None)

    def run_pod(self) -> None:
        self.client.run_pod(self.config())

    def create_container(self) -> None:
        wanted = container_config("main", IMAGE, ["sleep", "1000000"])
        if self.shared_pid:
            wanted.linux.security_context.namespace_options.pid = pb.POD
        self.client.create_container(self._pod_id(), wanted, self.config())

    def start_container(self) -> None:
        """As who asks again does: not if it runs, which its status says."""
        found = self.container()
        if found is None or found.state != pb.CONTAINER_RUNNING:
            self.client.start_container(self._container_id())

    def update_container(self) -> None:
        resources = pb.LinuxContainerResources(cpu_shares=77)
        request = pb.UpdateContainerResourcesRequest(container_id=self._container_id(), linux=resources)
        self.client.runtime.UpdateContainerResources(request, timeout=patient(60))

    def stop_container(self) -> None:
        self.client.stop_container(self._container_id())

    def remove_container(self) -> None:
        self.client.remove_container(self._container_id())

    def stop_pod(self) -> None:
        self.client.stop_pod(self._pod_id())

    def remove_pod(self) -> None:
        self.client.remove_pod(self._pod_id())

    def _pod_id(self) -> str:
        found = self.pod()
        return "0" * 64 if found is None else found.id

    def _container_id(self) -> str:
        found = self.container()
        return "0" * 64 if found is None else found.id


Step = Callable[[Rig], None]
RUNNING: tuple[Step, ...] = (Rig.run_pod, Rig.create_container, Rig.start_container)


@dataclass(frozen=True)
class Scenario:
    """``verb`` is killed after the steps ``before``; it and its repeat leave these states, None for none."""

    verb: Step
    before: tuple[Step, ...]
    pod: int | None
    container: int | None
    shared_pid: bool = False


READY, NOTREADY = pb.SANDBOX_READY, pb.SANDBOX_NOTREADY
SCENARIOS = {
    "RunPodSandbox": Scenario(Rig.run_pod, (), READY, None),
    "RunPodSandbox/pause": Scenario(Rig.run_pod, (), READY, None, shared_pid=True),
    "CreateContainer": Scenario(Rig.create_container, RUNNING[:1], READY, pb.CONTAINER_CREATED),
    "StartContainer": Scenario(Rig.start_container, RUNNING[:2], READY, pb.CONTAINER_RUNNING),
    "UpdateContainerResources": Scenario(Rig.update_container, RUNNING, READY, pb.CONTAINER_RUNNING),
    "StopContainer": Scenario(Rig.stop_container, RUNNING, READY, pb.CONTAINER_EXITED),
    "RemoveContainer": Scenario(Rig.remove_container, RUNNING, READY, None),
    "StopPodSandbox": Scenario(Rig.stop_pod, RUNNING, NOTREADY, pb.CONTAINER_EXITED),
    "StopPodSandbox/pause": Scenario(Rig.stop_pod, RUNNING, NOTREADY, pb.CONTAINER_EXITED, shared_pid=True),
    "RemovePodSandbox": Scenario(Rig.remove_pod, RUNNING, None, None),
    "RemovePodSandbox/pause": Scenario(Rig.remove_pod, RUNNING, None, None, shared_pid=True),
}


def attempt(rig: Rig, verb: str, every: int, offset: int = 0) -> Result:
    """Kill at every so-many-th point, the first of them 1 + ``offset``."""
    if verb == START:
        return _attempt_start(rig, every, offset)
    result, scenario = Result(verb), SCENARIOS[verb]
    rig.shared_pid = scenario.shared_pid
    at = 1 + offset % every
    while (where := _killed(rig, scenario, at)) is not None:
        result.points, result.tried = at, result.tried + 1
        found = list(_findings(rig, scenario))
        result.failures += [f"killed {where}: {text}" for text in found]
        at += every
    return result


def _attempt_start(rig: Rig, every: int, offset: int) -> Result:
    """Kill the daemon that is started after a kill in the midst of a removal, at points of its start."""
    result, scenario = Result(START), SCENARIOS["RemovePodSandbox"]
    rig.shared_pid = False
    at = 1 + offset % every
    while True:
        where = _killed(rig, scenario, 3 + at % 9)
        again = _killed_start(rig, at) if where is not None else None
        if again is not None:
            result.points, result.tried = at, result.tried + 1
            where = f"{where}; started again, {again}"
        found = list(_findings(rig, scenario))
        result.failures += [f"killed {where}: {text}" for text in found]
        if again is None:
            return result
        at += every


def _killed(rig: Rig, scenario: Scenario, at: int) -> str | None:
    """The name of the point at which the verb was killed; None if it has fewer, and is over."""
    rig.number += 1
    rig.before = rig.counts()
    for step in scenario.before:
        step(rig)
    rig.plan.write_text(str(at))
    try:
        scenario.verb(rig)
    except grpc.RpcError:
        if (where := _named(rig)) is None:
            raise  # it lives, and has refused
        return where
    where = _named(rig)  # it may have died of what it did after the answer
    if where is None:
        rig.remove_pod()
    return where


def _killed_start(rig: Rig, at: int) -> str | None:
    rig.plan.write_text(str(at))
    with contextlib.suppress(DaemonFailed):
        rig.daemon.start()
    return _named(rig)


def _named(rig: Rig) -> str | None:
    """What the plan says after a death; the plan is over then."""
    died = " " in rig.plan.read_text()
    if died:
        rig.daemon.stop()  # collects it
    number, _, name = rig.plan.read_text().partition(" ")
    rig.plan.unlink()
    if not died and not rig.daemon.running:
        raise DaemonFailed(f"died before the point {number}\n{rig.daemon.log_tail()}")
    return name if died else None


def _findings(rig: Rig, scenario: Scenario) -> Iterator[str]:
    if not rig.daemon.running:
        rig.daemon.start()
    try:
        yield from (f"after the start: {text}" for text in broken(rig))
        scenario.verb(rig)
        yield from (f"after the repeat: {text}" for text in [*broken(rig), *_outcome(rig, scenario)])
        rig.remove_pod()
    except grpc.RpcError as error:
        yield f"{error.code()}: {error.details()}"
        rig.client.remove_all()
    yield from (f"left: {text}" for text in _left(rig))


def _outcome(rig: Rig, scenario: Scenario) -> list[str]:
    there, inside = rig.pod(), rig.container()
    got = (None if there is None else there.state, None if inside is None else inside.state)
    wanted = (scenario.pod, scenario.container)
    return [] if got == wanted else [f"pod and container are {got}, not {wanted}"]


def broken(rig: Rig) -> Iterator[str]:
    """Contradictions between lists, records and the machine."""
    pods, containers = rig.client.pods(), rig.client.containers()
    listed = {one.id for one in pods} | {one.id for one in containers}
    with contextlib.closing(sqlite3.connect(rig.daemon.runroot / "records.sqlite")) as records:
        stored = {row[0] for row in records.execute("SELECT id FROM records")}
    if listed != stored:
        yield f"listed and not stored, or the other way round: {sorted(listed ^ stored)}"
    mounts = Path("/proc/self/mountinfo").read_text()
    leases = " ".join(path.read_text() for path in (rig.daemon.state / "ipam").glob("*/*.*.*.*"))
    for pod in pods:
        if pod.state == READY and (f"{pod.id}/ns/net" not in mounts or pod.id not in leases):
            yield "a ready pod has no network"
    for container in containers:
        alive = container.state in (pb.CONTAINER_CREATED, pb.CONTAINER_RUNNING)
        processes = Hierarchy.detect().pids(f"{rig.cgroup}/podwright-{container.id}")
        if bool(processes) is not alive:
            yield f"a container is {pb.ContainerState.Name(container.state)}, its processes are {processes}"
        if alive and f"{container.id}/merged" not in mounts:
            yield "a live container has no root file system"


def _left(rig: Rig) -> list[str]:
    """What is there and was not before the cell, but for daemon and monitor, which are others now."""
    end = time.monotonic() + patient(10)
    while True:
        left = [line for line in rig.before.left_over(rig.counts()) if not _EXPECTED.search(line)]
        if not left or time.monotonic() > end:
            return left
        time.sleep(0.1)


def main() -> None:
    """See the module's docstring."""
    parser = argparse.ArgumentParser()
    parser.add_argument("verbs", nargs="*", default=[*SCENARIOS, START])
    parser.add_argument("--every", type=int, default=1)
    arguments = parser.parse_args()
    rig, failed = Rig(), False
    rig.open()
    try:
        for verb in arguments.verbs:
            result = attempt(rig, verb, arguments.every)
            failed = failed or bool(result.failures)
            print(json.dumps(asdict(result)), flush=True)
    finally:
        forced = rig.close()
    sys.exit(f"had to be forced: {forced}" if forced else failed)


if __name__ == "__main__":
    main()
