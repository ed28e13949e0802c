"""What must be so whenever no request is under way: lists, records and the machine say the same."""

import contextlib
import json
import re
import sqlite3
import subprocess
import time
from collections import Counter
from collections.abc import Collection, Iterable, Iterator
from pathlib import Path

import grpc

from api.runtime.v1 import api_pb2 as pb
from host.cgroups import Hierarchy
from tests.chaos.place import Place
from tests.harness.counts import cgroup_roots
from tests.harness.patience import patient

_ID = re.compile(r"[0-9a-f]{64}")
_SETTLE_S = patient(30)
_COMMAND_S = patient(30)
_LIVE = (pb.CONTAINER_CREATED, pb.CONTAINER_RUNNING)

# What the record of an object may say that is listed as this.
_PHASES = {
    "SANDBOX_READY": ("ready",),
    "SANDBOX_NOTREADY": ("stopping", "stopped", "creating"),  # creating: with an undo that failed
    "CONTAINER_CREATED": ("created",),
    "CONTAINER_RUNNING": ("running",),
    "CONTAINER_EXITED": ("exited",),
}


def contradictions(place: Place, known: Collection[str] = ()) -> list[str]:
    """As sentences, but for ``known`` ones. What a client has given up goes on for a while, so this looks
    again until all is well."""
    end = time.monotonic() + _SETTLE_S
    while True:
        try:
            found = [text for text in _look(place) if text not in known]
        except (grpc.RpcError, OSError) as error:
            found = [f"the look failed: {error}"[:500]]
        if not found or time.monotonic() > end:
            return found
        time.sleep(patient(0.1))


def _look(place: Place) -> Iterator[str]:
    pods, containers = place.client.pods(), place.client.containers()
    machine = _Machine(place)
    everybody = {one.id for one in pods} | {one.id for one in containers}
    stored = machine.records()
    yield from _differ("listed", everybody, "stored", set(stored))
    listed: list[pb.PodSandbox | pb.Container] = [*pods, *containers]
    for one in listed:
        if stored.get(one.id) not in (None, *_PHASES[_state(one)]):
            yield f"{one.id[:12]} is listed as {_state(one)} and stored as {stored[one.id]}"
    yield from _differ("of a container", {one.pod_sandbox_id for one in containers}, "a pod", everybody)
    for kind, owners in machine.things():
        yield from (f"{kind} of nobody: {owner}" for owner in sorted(owners - everybody))
    for pod in pods:
        if pod.state == pb.SANDBOX_READY:
            yield from (f"READY pod {pod.id[:12]}: {text}" for text in machine.lacks(pod.id))
    for container in containers:
        yield from (
            f"{pb.ContainerState.Name(container.state)} container {container.id[:12]}: {text}"
            for text in machine.denies(container)
        )


def _differ(what: str, first: set[str], other_what: str, other: Iterable[str]) -> Iterator[str]:
    one_way = what.startswith("of a")
    odd = first - set(other) if one_way else first ^ set(other)
    yield from (f"{what} and not {other_what}, or the other way round: {name}" for name in sorted(odd))


def _state(one: pb.PodSandbox | pb.Container) -> str:
    if isinstance(one, pb.PodSandbox):
        return pb.PodSandboxState.Name(one.state)
    return pb.ContainerState.Name(one.state)


class _Machine:
    """The machine at one moment, by the ids in the names of things."""

    def __init__(self, place: Place) -> None:
        self._place = place
        self._mounts = Path("/proc/self/mountinfo").read_text()
        self._leases = dict(self._read_leases())

    def _read_leases(self) -> Iterator[tuple[str, str]]:
        """Address and id of its pod."""
        for path in (self._place.daemon.state / "ipam").glob("*/[0-9]*.*"):
            with contextlib.suppress(FileNotFoundError):
                yield path.name, path.read_bytes().partition(b"\r\n")[0].decode()

    def records(self) -> dict[str, str]:
        """Phases by id."""
        path = self._place.daemon.runroot / "records.sqlite"
        with contextlib.closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True, timeout=10)) as records:
            rows = records.execute("SELECT id, state FROM records")
            return {identifier: json.loads(state)["phase"] for identifier, state in rows}

    def things(self) -> Iterator[tuple[str, set[str]]]:
        """Whatever is named after pods and containers: what it is, and the ids."""
        runroot, root = self._place.daemon.runroot, self._place.daemon.state / "root"
        for kind in ("sandboxes", "containers", "mounts", "exits"):
            yield kind, _ids(runroot / kind)
        for handler in (runroot / "runtimes").iterdir():
            yield f"state of {handler.name}", _ids(handler)
        yield "root file system", _ids(root / "containers")
        for directory in (root / "cni").rglob("*"):
            yield "result of a network", set(_ID.findall(directory.name))
        yield "lease", set(self._leases.values())
        ours = [line for line in self._mounts.splitlines() if str(runroot) in line or str(root) in line]
        yield "mount", {found for line in ours for found in _ID.findall(line.split()[4])}
        for hierarchy in cgroup_roots():
            for directory in (hierarchy / self._place.cgroup.strip("/")).rglob("*"):
                yield "cgroup", set(_ID.findall(directory.name))

    def lacks(self, pod: str) -> Iterator[str]:
        """What a ready pod must have and this one has not."""
        status = self._place.client.pod(pod)
        if status.linux.namespaces.options.network != pb.POD:
            return
        leased = Counter(self._leases.values())[pod]
        if leased != 1:
            yield f"{leased} leases"
        elif self._leases.get(status.network.ip) != pod:
            yield f"its address {status.network.ip} is leased to another"
        pinned = self._place.daemon.runroot / "sandboxes" / pod / "ns/net"
        if str(pinned) not in self._mounts:
            yield "no network namespace"
        elif status.network.ip not in _addresses(pinned):
            yield f"no interface with {status.network.ip}"

    def denies(self, container: pb.Container) -> Iterator[str]:
        """What of a container's state is not so."""
        live = container.state in _LIVE
        group = f"{self._place.cgroup}/podwright-{container.id}"
        if live is not bool(Hierarchy.detect().pids(group)):
            yield "its cgroup has no process" if live else "its cgroup has processes"
        if live and f"{container.id}/merged" not in self._mounts:
            yield "no root file system"


def _ids(directory: Path) -> set[str]:
    try:
        return {found for path in directory.iterdir() for found in _ID.findall(path.name)}
    except FileNotFoundError:
        return set()


def _addresses(namespace: Path) -> set[str]:
    """Of the interfaces that are up in there."""
    listed = subprocess.run(
        ["nsenter", f"--net={namespace}", "ip", "-json", "address", "show", "up", "scope", "global"],
        capture_output=True,
        timeout=_COMMAND_S,
        check=False,
    ).stdout
    links = json.loads(listed or "[]")
    return {info["local"] for link in links for info in link.get("addr_info", []) if "local" in info}
