"""What is measured, part by part: each gives numbers by measure, target by target in turns."""

import signal
import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

from api.runtime.v1 import api_pb2 as pb
from bench.targets import Target, pss_mib
from tests.harness.client import container_config, eventually, pod_config

BUSYBOX_IMAGE = "bench/busybox:1"
FILES_IMAGE = "bench/files:1"
MASKED = ("/proc/acpi", "/proc/kcore", "/proc/keys", "/proc/timer_list", "/proc/scsi", "/sys/firmware")
READ_ONLY = ("/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger")
START = ("RunPodSandbox", "CreateContainer", "StartContainer")
END = ("StopContainer", "RemoveContainer", "StopPodSandbox", "RemovePodSandbox")
REMOVAL_TIMEOUT_S = 600
_SETTLES_S = 0.05  # for what goes on behind an answer


@dataclass
class Samples:
    """Numbers by measure and target."""

    values: dict[str, dict[str, list[float]]] = field(default_factory=lambda: defaultdict(dict))

    def add(self, measure: str, target: Target, number: float) -> None:
        """One more."""
        self.values[measure].setdefault(target.name, []).append(number)


@dataclass(frozen=True, slots=True)
class Size:
    """How much is done."""

    rounds: int
    pods: int
    restarts: int
    pulls: int


def turns(targets: Sequence[Target], round_number: int) -> Iterator[Target]:
    """All targets, another one first in each round."""
    shift = round_number % len(targets)
    yield from (*targets[shift:], *targets[:shift])


class Pod:
    """A pod with one container, as a kubelet would ask for it, driven call by call."""

    def __init__(self, target: Target, number: int) -> None:
        self._target = target
        self._client = target.client
        name = f"pod{number}"
        self.group = f"{target.cgroup}/pods/{name}"
        self._logs = target.state / "logs" / name
        self._config = pod_config(name, log_directory=self._logs, cgroup_parent=self.group)
        self._config.dns_config.CopyFrom(
            pb.DNSConfig(servers=["10.96.0.10"], searches=["svc.cluster.local"], options=["ndots:5"])
        )
        self._container = container_config(
            "main",
            f"{target.registry.address}/{BUSYBOX_IMAGE}",
            ["sleep", "1000000"],
            env={f"SVC_{number}_SERVICE_HOST": f"10.96.0.{number}" for number in range(10)},
        )
        self._as_kubelets_do(target.state / "pods" / name)
        self.sandbox = self.container = ""
        self.took_ms: dict[str, float] = {}

    def _as_kubelets_do(self, directory: Path) -> None:
        (directory / "token").mkdir(parents=True, exist_ok=True)
        for name in ("hosts", "termination"):
            (directory / name).write_text("127.0.0.1 localhost\n")
        linux = self._container.linux
        linux.resources.CopyFrom(
            pb.LinuxContainerResources(cpu_period=100000, cpu_shares=102, memory_limit_in_bytes=64 << 20)
        )
        linux.security_context.masked_paths.extend(MASKED)
        linux.security_context.readonly_paths.extend(READ_ONLY)
        for path, source, readonly in (
            ("/etc/hosts", "hosts", False),
            ("/dev/termination-log", "termination", False),
            ("/var/run/secrets/kubernetes.io/serviceaccount", "token", True),
        ):
            self._container.mounts.append(
                pb.Mount(container_path=path, host_path=str(directory / source), readonly=readonly)
            )

    def _timed(self, verb: str, call: Callable[[], object]) -> object:
        begun = time.perf_counter()
        result = call()
        self.took_ms[verb] = (time.perf_counter() - begun) * 1e3
        return result

    def start(self) -> None:
        """Until the container runs."""
        self._target.hierarchy.create(self.group)
        client = self._client
        self.sandbox = str(self._timed("RunPodSandbox", lambda: client.run_pod(self._config)))
        self.container = str(
            self._timed(
                "CreateContainer",
                lambda: client.create_container(self.sandbox, self._container, self._config),
            )
        )
        self._timed("StartContainer", lambda: client.start_container(self.container))
        state = client.container(self.container).state
        if state != pb.CONTAINER_RUNNING:
            raise RuntimeError(f"the container of {self._target.name} is {state} after its start")
        self.took_ms["cold start"] = sum(self.took_ms[verb] for verb in START)

    def end(self) -> None:
        """Until nothing of it is left."""
        client = self._client
        self._timed("StopContainer", lambda: client.stop_container(self.container))
        self._timed("RemoveContainer", lambda: client.remove_container(self.container))
        self._timed("StopPodSandbox", lambda: client.stop_pod(self.sandbox))
        self._timed("RemovePodSandbox", lambda: client.remove_pod(self.sandbox))
        self.took_ms["teardown"] = sum(self.took_ms[verb] for verb in END)
        self._target.hierarchy.remove(self.group)

    def exec(self) -> float:
        """Milliseconds of an ExecSync of ``true``."""
        begun = time.perf_counter()
        answer = self._client.exec(self.container, "true")
        if answer.exit_code:
            raise RuntimeError(f"exec in {self._target.name} ended with {answer.exit_code}")
        return (time.perf_counter() - begun) * 1e3


def pull(target: Target, image: str) -> float:
    """Milliseconds of a PullImage."""
    begun = time.perf_counter()
    target.client.pull(f"{target.registry.address}/{image}")
    return (time.perf_counter() - begun) * 1e3


def verbs(targets: Sequence[Target], size: Size) -> Samples:
    """One pod after the other."""
    samples = Samples()
    for number in range(-1, size.rounds):  # the first warms up
        for target in turns(targets, number):
            pod = Pod(target, number + 1)
            marks = [target.cpu_ms()]
            for work in (pod.start, pod.end):
                work()
                time.sleep(_SETTLES_S)
                marks.append(target.cpu_ms())
            if number >= 0:
                for verb, took_ms in pod.took_ms.items():
                    samples.add(f"{verb}, ms", target, took_ms)
                samples.add("CPU of a start, ms", target, marks[1] - marks[0])
                samples.add("CPU of a teardown, ms", target, marks[2] - marks[1])
    return samples


def standing(targets: Sequence[Target], size: Size) -> Samples:
    """Many pods: memory, lists, statuses, statistics, execs, restarts of the daemon."""
    samples = Samples()
    pods = {target.name: [Pod(target, number) for number in range(size.pods)] for target in targets}
    with ThreadPoolExecutor(4) as pool:
        for target in targets:
            list(pool.map(Pod.start, pods[target.name]))
    for target in targets:
        daemon, helpers = pss_mib(target.pid), sum(map(pss_mib, target.helpers()))
        samples.add(f"daemon at {size.pods} pods, MiB PSS", target, daemon)
        samples.add("helpers, MiB PSS a pod", target, helpers / size.pods)
    _ask(targets, pods, size, samples)
    _execs(targets, pods, samples)
    _restarts(targets, size, samples)
    with ThreadPoolExecutor(4) as pool:
        for target in targets:
            list(pool.map(Pod.end, pods[target.name]))
    return samples


def _ask(targets: Sequence[Target], pods: Mapping[str, Sequence[Pod]], size: Size, samples: Samples) -> None:
    """Calls are many in a turn, so that the CPU of one can be told."""

    def one_of(target: Target, number: int) -> Pod:
        return pods[target.name][number % size.pods]

    calls: dict[str, Callable[[Target, int], object]] = {
        "Version": lambda target, _: target.client.runtime.Version(pb.VersionRequest()),
        "ListPodSandbox": lambda target, _: target.client.runtime.ListPodSandbox(pb.ListPodSandboxRequest()),
        "ListContainers": lambda target, _: target.client.runtime.ListContainers(pb.ListContainersRequest()),
        "PodSandboxStatus": lambda target, number: target.client.pod(one_of(target, number).sandbox),
        "ContainerStatus": lambda target, number: target.client.container(one_of(target, number).container),
        "ListContainerStats": lambda target, _: target.client.runtime.ListContainerStats(
            pb.ListContainerStatsRequest()
        ),
        "ListPodSandboxStats": lambda target, _: target.client.runtime.ListPodSandboxStats(
            pb.ListPodSandboxStatsRequest()
        ),
    }
    for name, call in calls.items():
        count = 5 if "Stats" in name else 40
        for number in range(size.rounds):
            for target in turns(targets, number):
                before_ms = target.cpu_ms()
                for turn in range(count):
                    begun = time.perf_counter()
                    call(target, number * count + turn)
                    samples.add(f"{name}, ms", target, (time.perf_counter() - begun) * 1e3)
                samples.add(f"{name}, CPU ms", target, (target.cpu_ms() - before_ms) / count)


def _execs(targets: Sequence[Target], pods: Mapping[str, Sequence[Pod]], samples: Samples) -> None:
    for number in range(3):
        for target in turns(targets, number):
            some = pods[target.name][:8]
            before_ms = target.cpu_ms()
            for _ in range(10):
                samples.add("ExecSync alone, ms", target, some[0].exec())
            samples.add("ExecSync, CPU ms", target, (target.cpu_ms() - before_ms) / 10)
            with ThreadPoolExecutor(8) as pool:
                begun = time.perf_counter()
                for took_ms in pool.map(Pod.exec, some * 4):
                    samples.add("ExecSync of eight at once, ms", target, took_ms)
                took_s = time.perf_counter() - begun
            samples.add("ExecSync by eight, a second", target, len(some) * 4 / took_s)


def _restarts(targets: Sequence[Target], size: Size, samples: Samples) -> None:
    for number in range(size.restarts):
        for target in turns(targets, number):
            target.stop(signal.SIGKILL if number % 2 else signal.SIGTERM)
            begun = time.perf_counter()
            samples.add("restart to Version, ms", target, target.started_ms())
            eventually(
                target.client.containers,
                lambda found: sum(one.state == pb.CONTAINER_RUNNING for one in found) == size.pods,
                f"{target.name} lists all containers",
                poll_s=0.002,
            )
            samples.add("restart to complete lists, ms", target, (time.perf_counter() - begun) * 1e3)
            target.wait_ready()


def starts(targets: Sequence[Target], size: Size) -> Samples:
    """Daemons without pods."""
    samples = Samples()
    for number in range(size.restarts):
        for target in turns(targets, number):
            target.stop()
            before_ms = target.cpu_ms()
            samples.add("empty start to Version, ms", target, target.started_ms())
            target.wait_ready()
            samples.add("CPU of an empty start, ms", target, target.cpu_ms() - before_ms)
    return samples


def images(targets: Sequence[Target], size: Size) -> Samples:
    """Ten layers of many small files, then the same again when nothing has changed."""
    samples = Samples()
    for number in range(size.pulls):
        for target in turns(targets, number):
            before_ms = target.cpu_ms()
            samples.add("pull of ten layers, ms", target, pull(target, FILES_IMAGE))
            samples.add("pull of ten layers, CPU ms", target, target.cpu_ms() - before_ms)
            for _ in range(5):
                samples.add("repeated pull, ms", target, pull(target, FILES_IMAGE))
            image = pb.ImageSpec(image=f"{target.registry.address}/{FILES_IMAGE}")
            target.client.image.RemoveImage(pb.RemoveImageRequest(image=image), timeout=REMOVAL_TIMEOUT_S)
    return samples


PARTS: Mapping[str, Callable[[Sequence[Target], Size], Samples]] = {
    "start": starts,
    "verbs": verbs,
    "standing": standing,
    "images": images,
}
