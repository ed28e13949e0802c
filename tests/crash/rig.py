"""Daemon, monitor and log writers that die by a plan, and a pod with a container, found by their names."""

import contextlib
import json
import os
import re
import secrets
import shutil
import signal
import sqlite3
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path

import grpc

from api.runtime.v1 import api_pb2 as pb
from host.cgroups import Hierarchy
from host.files import remove_tree
from tests.crash.planned import DAEMON, KEEPER, MONITOR, WRITER, Plan, died, trace
from tests.harness.client import Client, container_config, eventually, pod_config
from tests.harness.counts import Counts
from tests.harness.daemon import Daemon, DaemonFailed, Settings
from tests.harness.images import Entry, Image, Layer
from tests.harness.patience import patient
from tests.harness.registry import Registry
from tools.demo import busybox_image

IMAGE = "localhost/test/busybox:1"
EXIT_CODE = 7
UNSEEN_EXIT_CODE = 255
# Writes numbered lines until it is told to end.
SCRIPT = f"trap 'exit {EXIT_CODE}' USR1; i=0; while :; do echo line $i; i=$((i+1)); sleep 0.05; done"
_EXPECTED = re.compile(
    r"^process: .*( serve --config|oci\.monitor\.main|tests\.crash\.daemon|podwright-(logs|keeper|zygote)"
    r"|cri\.streaming\.process\.main)"
    r"|^file: .*((sqlite|\.db)-(wal|shm)|/keeper\.sock)$"  # the keeper stays with the monitor
)
_QUIET_S = 0.3  # without a new point: what a verb has brought about is over
_SETTLES_S = 10.0
_A_DEATH_S = 6.0  # of a monitor, and the start of the next with its pause before


class Rig:
    """See the module's docstring; ``open`` and ``close`` it."""

    def __init__(self, handler: str = "crun") -> None:
        self._directory = Path(tempfile.mkdtemp(prefix="crash-", dir="/var/tmp"))
        self.plan = self._directory / "plan"
        (self._directory / "registry").mkdir()
        self.registry = Registry(self._directory / "registry")
        self.registry.start()
        program = [sys.executable, "-m", "tests.crash.daemon", str(self.plan)]
        settings = Settings(
            bridge="pw-crash0",
            subnet="10.93.0.0/16",
            registries_conf=self.registry.registries_conf(),
            handler=handler,
        )
        self.daemon = Daemon(settings, program=program)
        self.cgroup = f"/podwright-crash-{secrets.token_hex(4)}"
        self.shared_pid = False
        self.number = 0
        self._plans = 0
        self.before = Counts({})

    @property
    def remote(self) -> str:
        """An image that is to be pulled."""
        return f"{self.registry.address}/test/busybox:1"

    def open(self) -> None:
        archive = self._directory / "busybox.tar"
        busybox_image().write_docker_archive(archive, IMAGE)
        command = self.daemon.command("image import", str(archive))
        subprocess.run(command, check=True, timeout=patient(60), capture_output=True)
        archive.unlink()
        base = busybox_image()  # a removal takes all names of an image: not that of our own
        self.registry.push(
            Image([*base.layers, Layer.of([Entry("more", b"")])], base.config), "test/busybox:1"
        )
        Hierarchy.detect().create(self.cgroup)
        self.daemon.start()
        self.run_pod()  # what the first pod makes stays: the bridge, the firewall's table, a log writer
        self.create_container()
        self.start_container()
        self.end_cell()

    def close(self) -> list[str]:
        """What had to be forced."""
        self.plan.unlink(missing_ok=True)
        if self.daemon.running:
            self.client.remove_all()
        forced = self.daemon.teardown()
        self.registry.stop()
        Hierarchy.detect().remove(self.cgroup)
        shutil.rmtree(self._directory)
        return forced

    @property
    def client(self) -> Client:
        return self.daemon.client

    # --- plans ------------------------------------------------------------------------------------

    def begin_cell(self) -> None:
        """Another pod, and what is there before it."""
        self.number += 1
        Hierarchy.detect().create(self.cgroup)
        self.before = self.counts()

    def end_cell(self) -> None:
        """As the kubelet does: pod, logs and image go."""
        self.remove_pod()
        self.remove_image()
        remove_tree(self._logs)

    def under(
        self, verb: Callable[["Rig"], None], who: str = "", at: int = 0, also: Sequence[str] = ()
    ) -> str | None:
        """Do it under a plan: where somebody died, or None if nobody did.

        Raises:
            grpc.RpcError: it failed, and nobody had died.
        """
        self._plans += 1
        died(self.plan).unlink(missing_ok=True)
        Plan(self._plans, who, at, tuple(pid for one in also if (pid := self._pid_of(one)))).write(self.plan)
        failure: Exception | None = None
        try:
            verb(self)
        except (grpc.RpcError, DaemonFailed, AssertionError, TimeoutError) as error:
            failure = error
        self._wait_until_over(who)
        self.plan.unlink(missing_ok=True)
        with contextlib.suppress(FileNotFoundError):
            where = died(self.plan).read_text()
            if DAEMON in (who, *also):
                self._wait_for_death()
            return where
        if failure is not None:
            raise failure
        return None

    def kill_successors(self, tries: int) -> Iterator[int]:
        """Have the monitor die, and each that follows it; in between, how many are still to die."""
        self._plans += 1
        Plan(self._plans, MONITOR, at=1, successors=tries - 1).write(self.plan)
        os.kill(self._pid_of(MONITOR), signal.SIGKILL)
        end = time.monotonic() + patient(_A_DEATH_S * tries)
        while (left := self._still_to_die()) and time.monotonic() < end:
            yield left
            with contextlib.suppress(grpc.RpcError, AssertionError):
                self.exec_sync()  # gives one that lives something to do
        self.plan.unlink(missing_ok=True)
        yield left

    def _still_to_die(self) -> int:
        try:
            return int(json.loads(self.plan.read_text())[-1]) + 1
        except FileNotFoundError:
            return 0

    def points(self, verb: Callable[["Rig"], None]) -> list[str]:
        """All that are passed when the verb is left alone: who and where."""
        trace(self.plan).unlink(missing_ok=True)
        self.under(verb)
        with contextlib.suppress(FileNotFoundError):
            return trace(self.plan).read_text().splitlines()
        return []

    def _wait_until_over(self, who: str) -> None:
        """Until somebody has died, or nothing more happens but that a container writes."""
        end, passed, since = time.monotonic() + patient(_SETTLES_S), -1, time.monotonic()
        while time.monotonic() < end and not died(self.plan).exists():
            if (found := len(self._passed())) != passed:
                passed, since = found, time.monotonic()
            quiet_s = patient(_QUIET_S) if who else _QUIET_S
            if time.monotonic() - since > quiet_s and not (who == WRITER and self.writes):
                return
            time.sleep(0.02)

    def _passed(self) -> list[str]:
        """What daemon and monitor have passed."""
        with contextlib.suppress(FileNotFoundError):
            lines = trace(self.plan).read_text().splitlines()
            return [line for line in lines if not line.startswith(WRITER)]
        return []

    def _wait_for_death(self) -> None:
        """Who has told of it has a moment to live, and is a zombie then."""
        end = time.monotonic() + patient(_SETTLES_S)
        while self.daemon.running and time.monotonic() < end:
            time.sleep(0.01)
        self.daemon.stop()

    def _pid_of(self, who: str) -> int:
        if who == DAEMON:
            return self.daemon.pid
        if who == KEEPER:
            return self._find("podwright-keeper")  # there is one only where something is to be kept
        look = partial(self._find, "tests.crash.daemon import monitor")
        return eventually(look, bool, "there is a monitor")  # one that died is replaced after a while

    def _find(self, words: str) -> int:
        """The process of ours with these words in its command line, or 0."""
        for line in self.counts().kinds["process"]:
            if words in line and str(self.daemon.runroot) in line:
                return int(line.split()[0])
        return 0

    @property
    def writes(self) -> bool:
        """Whether points are passed all the time, by a container that writes."""
        found = self.container() if self.daemon.running else None
        return found is not None and found.state == pb.CONTAINER_RUNNING

    # --- one pod and one container ------------------------------------------------------------------

    @property
    def _logs(self) -> Path:
        return self.daemon.state / f"log/pod-{self.number}"

    def counts(self) -> Counts:
        state = self.daemon.state
        return Counts.take(
            [self.daemon.runroot, state / "root", state / "ipam"], cgroups=re.compile(self.cgroup)
        )

    def config(self) -> pb.PodSandboxConfig:
        name = f"crash-{self.number}"
        config = pod_config(name, log_directory=self._logs, cgroup_parent=self.cgroup)
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

    def lines(self) -> list[int]:
        """The numbers of the lines in the container's log."""
        with contextlib.suppress(FileNotFoundError):
            text = (self._logs / "main/0.log").read_text()
            return [int(line.rsplit(" ", 1)[1]) for line in text.splitlines() if " line " in line]
        return []

    def run_pod(self) -> None:
        self.client.run_pod(self.config())

    def create_container(self) -> None:
        wanted = container_config("main", IMAGE, ["sh", "-c", SCRIPT])
        if self.shared_pid:
            wanted.linux.security_context.namespace_options.pid = pb.POD
        self.client.create_container(self.pod_id(), wanted, self.config())

    def start_container(self) -> None:
        """As who asks again does: not if it runs, which its status says."""
        found = self.container()
        if found is None or found.state != pb.CONTAINER_RUNNING:
            self.client.start_container(self.container_id())

    def update_container(self) -> None:
        resources = pb.LinuxContainerResources(cpu_shares=77)
        request = pb.UpdateContainerResourcesRequest(container_id=self.container_id(), linux=resources)
        self.client.runtime.UpdateContainerResources(request, timeout=patient(60))

    def update_pod(self) -> None:
        resources = pb.LinuxContainerResources(cpu_shares=77)
        request = pb.UpdatePodSandboxResourcesRequest(pod_sandbox_id=self.pod_id(), resources=resources)
        self.client.runtime.UpdatePodSandboxResources(request, timeout=patient(60))

    def stop_container(self) -> None:
        self.client.stop_container(self.container_id())

    def remove_container(self) -> None:
        self.client.remove_container(self.container_id())

    def stop_pod(self) -> None:
        self.client.stop_pod(self.pod_id())

    def remove_pod(self) -> None:
        self.client.remove_pod(self.pod_id())

    def exec_sync(self) -> None:
        answer = self.client.exec(self.container_id(), "echo", "something", timeout_s=30)
        assert (answer.exit_code, answer.stdout) == (0, b"something\n")

    def end_by_itself(self) -> None:
        """The container ends by what it does itself; not again if it has."""
        found = self.container()
        if found is not None and found.state == pb.CONTAINER_RUNNING:
            self.client.exec(found.id, "kill", "-USR1", "1", timeout_s=30)
            self.client.wait_exited(found.id)

    def reopen_log(self) -> None:
        request = pb.ReopenContainerLogRequest(container_id=self.container_id())
        self.client.runtime.ReopenContainerLog(request, timeout=patient(60))

    def pull_image(self) -> None:
        self.client.pull(self.remote)

    def remove_image(self) -> None:
        request = pb.RemoveImageRequest(image=pb.ImageSpec(image=self.remote))
        self.client.image.RemoveImage(request, timeout=patient(60))

    def has_image(self) -> bool:
        request = pb.ImageStatusRequest(image=pb.ImageSpec(image=self.remote))
        return bool(self.client.image.ImageStatus(request, timeout=patient(60)).image.id)

    def restart_daemon(self) -> None:
        if self.daemon.running:
            self.daemon.stop(signal.SIGTERM)
        self.daemon.start()

    def replace_monitor(self) -> None:
        """A monitor that dies has a successor that has taken over what lives: a command says so."""
        os.kill(self._pid_of(MONITOR), signal.SIGKILL)
        eventually(self._is_served, bool, "a monitor serves")

    def _is_served(self) -> bool:
        """What was asked of the one that died, before that was noticed, fails."""
        try:
            self.exec_sync()
        except grpc.RpcError as error:
            if error.code() != grpc.StatusCode.UNAVAILABLE or not self.daemon.running:
                raise
            return False
        return True

    def pod_id(self) -> str:
        found = self.pod()
        return "0" * 64 if found is None else found.id

    def container_id(self) -> str:
        found = self.container()
        return "0" * 64 if found is None else found.id

    # --- what must be so whenever no verb runs ------------------------------------------------------

    def broken(self) -> list[str]:
        """Contradictions between lists, records and the machine that do not go away by themselves."""
        end = time.monotonic() + patient(_SETTLES_S)
        while (found := list(self._broken())) and time.monotonic() < end:
            time.sleep(0.1)
        return found

    def _broken(self) -> Iterator[str]:
        pods, containers = self.client.pods(), self.client.containers()
        listed = {one.id for one in pods} | {one.id for one in containers}
        with contextlib.closing(sqlite3.connect(self.daemon.runroot / "records.sqlite")) as records:
            stored = {row[0] for row in records.execute("SELECT id FROM records")}
        if listed != stored:
            yield f"listed and not stored, or the other way round: {sorted(listed ^ stored)}"
        mounts = Path("/proc/self/mountinfo").read_text()
        leases = " ".join(path.read_text() for path in (self.daemon.state / "ipam").glob("*/*.*.*.*"))
        for pod in pods:
            ready = pod.state == pb.SANDBOX_READY
            if ready and (f"{pod.id}/ns/net" not in mounts or pod.id not in leases):
                yield "a ready pod has no network"
        for container in containers:
            alive = container.state in (pb.CONTAINER_CREATED, pb.CONTAINER_RUNNING)
            processes = Hierarchy.detect().pids(f"{self.cgroup}/podwright-{container.id}")
            if bool(processes) is not alive:
                state = pb.ContainerState.Name(container.state)
                yield f"a container is {state}, its processes are {processes}"
            if alive and f"{container.id}/merged" not in mounts:
                yield "a live container has no root file system"
            if alive and not self._states().get(container.id):
                yield "a live container is unknown to its runtime"

    def _states(self) -> dict[str, bool]:
        """The runtimes' states, by container."""
        return {path.name: True for path in (self.daemon.runroot / "runtimes").glob("*/*")}

    def left(self) -> list[str]:
        """What is there and was not before the cell, but for daemon and monitor, which are others now."""
        end = time.monotonic() + patient(_SETTLES_S)
        while True:
            left = [line for line in self.before.left_over(self.counts()) if not _EXPECTED.search(line)]
            if not left or time.monotonic() > end:
                return left
            time.sleep(0.1)
