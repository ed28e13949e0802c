"""The crash matrix over the real thing: daemon, monitor, keeper, a log writer, or several at once get
SIGKILL at a step of a verb; what follows is looked at, asked again, and relieved of everything.

Steps are lines of the product that do something to the world, before and after they do it; they are found by
letting the verb run once (tests/crash/points.py). ``python -m tests.crash.real [VERB…] [--victim VICTIM]
[--most N] [--successors N]`` tries each, or N of them, in the namespaces of tests.harness.private, and prints
one JSON object a verb and victim: steps, tried, failures.
"""

import argparse
import asyncio
import json
import logging
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, field
from enum import StrEnum

import grpc

from api.runtime.v1 import api_pb2 as pb
from tests.crash.planned import DAEMON, KEEPER, MONITOR, WRITER
from tests.crash.rig import EXIT_CODE, UNSEEN_EXIT_CODE, Rig
from tests.harness import private
from tests.harness.daemon import DaemonFailed
from tests.integration.streaming.pods.remote import WEBSOCKET, exec_url, join

logger = logging.getLogger(__name__)
READY, NOTREADY = pb.SANDBOX_READY, pb.SANDBOX_NOTREADY
CREATED, RUNNING, EXITED = pb.CONTAINER_CREATED, pb.CONTAINER_RUNNING, pb.CONTAINER_EXITED


class Victim(StrEnum):
    """Who dies, and at whose steps."""

    DAEMON = DAEMON
    MONITOR = MONITOR
    WRITER = WRITER
    KEEPER = KEEPER
    BOTH_AT_DAEMON = "daemon+monitor"
    BOTH_AT_MONITOR = "monitor+daemon"
    ALL_AT_DAEMON = "daemon+monitor+keeper"
    ALL_AT_MONITOR = "monitor+daemon+keeper"

    @property
    def who(self) -> str:
        return self.split("+")[0]

    @property
    def also(self) -> list[str]:
        return self.split("+")[1:]

    @property
    def is_all(self) -> bool:
        """Whether nobody is left who holds a container's descriptors."""
        return KEEPER in self.also


@dataclass
class Result:
    """Of one verb and victim: the ``steps`` there are, ``tried`` of them, and what went wrong."""

    verb: str
    victim: str
    steps: int = 0
    tried: int = 0
    failures: list[str] = field(default_factory=list)


def exec_streamed(rig: Rig) -> None:
    """As kubectl exec."""

    async def command() -> None:
        url = exec_url(rig.client, rig.container_id(), "echo", "something")
        remote = None
        try:
            remote = await join(url, WEBSOCKET)
            assert await remote.exit_code() == 0
            assert remote.got("stdout") == b"something\n"
        except (json.JSONDecodeError, OSError, EOFError) as error:
            raise AssertionError(f"the stream was cut: {error}") from error
        finally:
            if remote is not None:
                await remote.leave()

    asyncio.run(command())


Step = Callable[[Rig], None]
LIVES: tuple[Step, ...] = (Rig.run_pod, Rig.create_container, Rig.start_container)


@dataclass(frozen=True)
class Scenario:
    """``verb`` is cut short after ``before``; it and its repeat leave these states, None for none."""

    verb: Step
    before: tuple[Step, ...]
    pod: int | None
    container: int | None
    shared_pid: bool = False
    image: bool = False


SCENARIOS = {
    "RunPodSandbox": Scenario(Rig.run_pod, (), READY, None),
    "RunPodSandbox/pause": Scenario(Rig.run_pod, (), READY, None, shared_pid=True),
    "CreateContainer": Scenario(Rig.create_container, LIVES[:1], READY, CREATED),
    "StartContainer": Scenario(Rig.start_container, LIVES[:2], READY, RUNNING),
    "UpdateContainerResources": Scenario(Rig.update_container, LIVES, READY, RUNNING),
    "UpdatePodSandboxResources": Scenario(Rig.update_pod, LIVES, READY, RUNNING),
    "ExecSync": Scenario(Rig.exec_sync, LIVES, READY, RUNNING),
    "Exec": Scenario(exec_streamed, LIVES, READY, RUNNING),
    "ReopenContainerLog": Scenario(Rig.reopen_log, LIVES, READY, RUNNING),
    "exit": Scenario(Rig.end_by_itself, LIVES, READY, EXITED),
    "StopContainer": Scenario(Rig.stop_container, LIVES, READY, EXITED),
    "RemoveContainer": Scenario(Rig.remove_container, LIVES, READY, None),
    "StopPodSandbox": Scenario(Rig.stop_pod, LIVES, NOTREADY, EXITED),
    "StopPodSandbox/pause": Scenario(Rig.stop_pod, LIVES, NOTREADY, EXITED, shared_pid=True),
    "RemovePodSandbox": Scenario(Rig.remove_pod, LIVES, None, None),
    "RemovePodSandbox/pause": Scenario(Rig.remove_pod, LIVES, None, None, shared_pid=True),
    "PullImage": Scenario(Rig.pull_image, (), None, None, image=True),
    "RemoveImage": Scenario(Rig.remove_image, (Rig.pull_image,), None, None),
    "restart": Scenario(Rig.restart_daemon, LIVES, READY, RUNNING),
    "hand-over": Scenario(Rig.replace_monitor, LIVES, READY, RUNNING),
}
VICTIMS = tuple(Victim)


class Matrix:
    """What can be tried with one rig."""

    def __init__(self, rig: Rig) -> None:
        self.rig = rig
        self._passed: dict[str, list[str]] = {}

    def attempt(self, verb: str, victim: Victim, most: int = 0, offset: int = 0) -> Result:
        """Kill at each step, or at ``most`` that are spread over the verb, others with another ``offset``."""
        result, scenario = Result(verb, victim), SCENARIOS[verb]
        self.rig.shared_pid = scenario.shared_pid
        passed = self._survey(result)
        of_victim = [line.partition(" ")[2] for line in passed if line.startswith(f"{victim.who} ")]
        steps = {name: at for at, name in reversed(list(enumerate(of_victim, 1)))}
        result.steps = len(steps)
        for at in _some(sorted(steps.values()), most, offset):
            self._kill(result, scenario, at, of_victim[at - 1])
        return result

    def _survey(self, result: Result) -> list[str]:
        """The points of a verb that is left alone, and what is wrong even then."""
        if result.verb not in self._passed:
            rig, scenario = self.rig, SCENARIOS[result.verb]
            _prepare(rig, scenario)
            self._passed[result.verb] = rig.points(scenario.verb)
            found = [*rig.broken(), *_outcome(rig, scenario)]
            rig.end_cell()
            found += [f"left: {text}" for text in rig.left()]
            result.failures += [f"left alone: {text}" for text in found]
        return self._passed[result.verb]

    def _kill(self, result: Result, scenario: Scenario, at: int, name: str) -> None:
        rig, victim, begun = self.rig, Victim(result.victim), time.monotonic()
        _prepare(rig, scenario)
        where = rig.under(scenario.verb, victim.who, at, victim.also)
        result.tried += where is not None
        found = list(_findings(rig, scenario, victim))
        result.failures += [f"killed {where or f'nowhere near {name}'}: {text}" for text in found]
        told = (result.verb, victim, where, time.monotonic() - begun, found)
        logger.info("%s: %s killed %s, %.1f s, %s", *told)

    def kill_successors(self, tries: int) -> Result:
        """The monitor dies, and each that follows one step later than the one before, ``tries`` of them.

        The daemon answers all the while, and the container goes on under the last one as if nothing had been.
        """
        rig, result = self.rig, Result("hand-over", "each successor", steps=tries)
        scenario = SCENARIOS[result.verb]
        rig.shared_pid = scenario.shared_pid
        _prepare(rig, scenario)
        for left in rig.kill_successors(tries):
            result.tried = tries - left
            if [one.state for one in rig.client.containers()] != [RUNNING]:
                result.failures.append(f"the container is {rig.client.containers()} after {result.tried}")
        result.failures += _findings(rig, scenario, Victim.MONITOR)
        return result


def _some(steps: Sequence[int], most: int, offset: int) -> list[int]:
    if not most or len(steps) <= most:
        return list(steps)
    stride = len(steps) / most
    return [steps[int(number * stride + offset % max(1, int(stride)))] for number in range(most)]


def _prepare(rig: Rig, scenario: Scenario) -> None:
    rig.begin_cell()
    for step in scenario.before:
        step(rig)


def _findings(rig: Rig, scenario: Scenario, victim: Victim) -> Iterator[str]:
    try:
        if not rig.daemon.running:
            rig.daemon.start()
        yield from (f"after the kill: {text}" for text in rig.broken())
        if victim.is_all:
            yield from _lost(rig, scenario)
        else:
            scenario.verb(rig)
            found = [*rig.broken(), *_outcome(rig, scenario), *_log(rig)]
            yield from (f"after the repeat: {text}" for text in found)
        rig.end_cell()
    except (grpc.RpcError, DaemonFailed, AssertionError, TimeoutError) as error:
        text = f"{error.code()}: {error.details()}" if isinstance(error, grpc.RpcError) else str(error)
        yield f"{type(error).__name__} {text}"
        if not rig.daemon.running:
            rig.daemon.start()
        rig.client.remove_all()
        rig.end_cell()
    yield from (f"left: {text}" for text in rig.left())


def _outcome(rig: Rig, scenario: Scenario) -> list[str]:
    there, inside = rig.pod(), rig.container()
    got = (None if there is None else there.state, None if inside is None else inside.state)
    wanted = (scenario.pod, scenario.container)
    found = [] if got == wanted else [f"pod and container are {got}, not {wanted}"]
    if rig.has_image() is not scenario.image:
        found.append(f"that the image is there is {rig.has_image()}")
    if scenario.verb is Rig.end_by_itself and inside is not None:
        code = rig.client.container(inside.id).exit_code
        found += [f"the exit code is {code}"] if code != EXIT_CODE else []
    return found


def _log(rig: Rig) -> list[str]:
    lines = rig.lines()
    return [] if lines == list(range(len(lines))) else [f"the log has the lines {lines}"]


def _lost(rig: Rig, scenario: Scenario) -> list[str]:
    """What may be lost with all three: containers have ended, with a code that nobody has seen, and so have
    pause processes, whose pods are not ready then. What is made anew works."""
    found = _log(rig)
    inside, there = rig.container(), rig.pod()
    if inside is not None:
        status = rig.client.container(inside.id)
        if status.state != EXITED or status.exit_code not in (UNSEEN_EXIT_CODE, EXIT_CODE, 137):
            state = pb.ContainerState.Name(status.state)
            found.append(f"after all died the container is {state}, its exit code {status.exit_code}")
    lives = (NOTREADY,) if scenario.shared_pid else (READY,) if scenario.pod == READY else (READY, NOTREADY)
    if there is not None and there.state not in lives:
        found.append(f"after all died the pod is {pb.PodSandboxState.Name(there.state)}")
    rig.end_cell()
    rig.number += 1
    for step in scenario.before:
        step(rig)
    scenario.verb(rig)
    return [*found, *rig.broken(), *_outcome(rig, scenario)]


def _results(matrix: Matrix, arguments: argparse.Namespace) -> Iterator[Result]:
    for verb in arguments.verbs:
        for victim in arguments.victim or VICTIMS:
            yield matrix.attempt(verb, victim, arguments.most, arguments.offset)
    if arguments.successors:
        yield matrix.kill_successors(arguments.successors)


def main() -> None:
    """See the module's docstring."""
    parser = argparse.ArgumentParser()
    parser.add_argument("verbs", nargs="*", default=list(SCENARIOS))
    parser.add_argument("--victim", type=Victim, action="append", choices=VICTIMS)
    parser.add_argument("--most", type=int, default=0)
    parser.add_argument("--offset", type=int, default=0)
    parser.add_argument("--successors", type=int, default=0, help="monitors that die one after the other")
    parser.add_argument("--tell", action="store_true", help="of each kill, on standard error")
    arguments = parser.parse_args()
    private.go_inside("tests.crash.real", sys.argv[1:])
    logging.basicConfig(level=logging.INFO if arguments.tell else logging.WARNING)
    rig, failed = Rig(), False
    try:
        rig.open()
        for result in _results(Matrix(rig), arguments):
            failed = failed or bool(result.failures)
            print(json.dumps(asdict(result)), flush=True)
    except BaseException:
        print(rig.daemon.log_tail(), file=sys.stderr)
        raise
    finally:
        forced = rig.close()
    sys.exit(f"had to be forced: {forced}" if forced else failed)


if __name__ == "__main__":
    main()
