"""``podwright top``: containers by what they use, and operations that run.

On a terminal a table that is drawn anew, sorted by a key: c CPU, m memory, n name, a age, r reverse, q quit.
Elsewhere, or with -o, one table or document after the first second.
"""

import argparse
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from cri.cli.arguments import load_configuration
from cri.cli.live import keys
from cri.cli.ops import NoDaemon, ask, operation_lines
from cri.cli.output import draw, show
from cri.timeline.form import bytes_text, duration

PACE_S = 1.0
TIMEOUT_S = 10.0
SORTS = {"c": "cpu", "m": "memory_bytes", "n": "name", "a": "age_s"}


@dataclass(frozen=True, slots=True)
class Row:
    """A container; ``cpu`` in cores, of the last second."""

    name: str
    id: str
    state: str
    cpu: float
    memory_bytes: int
    age_s: float
    restarts: int


def run(arguments: argparse.Namespace) -> int:
    """See above.

    Raises:
        NoDaemon: no daemon answers.
    """
    listen = str(load_configuration(arguments).config.api.listen)
    ask(listen, {"ask": "running"})
    before = _usage(listen)
    if arguments.output == "table" and sys.stdout.isatty() and sys.stdin.isatty():
        return _live(listen, arguments.sort, before)
    time.sleep(PACE_S)
    rows = ordered(_rows(listen, before, _usage(listen)), arguments.sort)
    show(arguments.output, [asdict(row) for row in rows], table(rows))
    return 0


def _live(listen: str, sort: str, before: "Usage") -> int:
    reverse = False
    with keys() as wait:
        draw(())
        while (key := wait(PACE_S)) != "q":
            sort = SORTS.get(key, sort)
            reverse ^= key == "r"
            now = _usage(listen)
            running = ask(listen, {"ask": "running"})["running"]
            rows = ordered(_rows(listen, before, now), sort, reverse=reverse)
            operations = [line for each in running for line in operation_lines(each)]
            head = [f"by {sort}; keys: c CPU, m memory, n name, a age, r reverse, q quit", ""]
            draw([*head, *operations, *([""] if operations else []), *table(rows)])
            before = now if now.taken - before.taken >= PACE_S / 2 else before
    return 0


@dataclass(frozen=True, slots=True)
class Usage:
    """What ListContainerStats said: nanoseconds of CPU and bytes, by id."""

    taken: float
    cpu: Mapping[str, int]
    memory: Mapping[str, int]


def _call(listen: str, method: str, request: Any, answer: Any) -> Any:
    import grpc

    with grpc.insecure_channel(
        f"unix:{listen}", options=[("grpc.max_receive_message_length", -1)]
    ) as channel:
        call = channel.unary_unary(
            f"/runtime.v1.RuntimeService/{method}",
            request_serializer=type(request).SerializeToString,
            response_deserializer=answer.FromString,
        )
        try:
            return call(request, timeout=TIMEOUT_S)
        except grpc.RpcError as error:
            raise NoDaemon(f"no daemon answers on {listen}: {error.details()}") from error


def _usage(listen: str) -> Usage:
    from api.runtime.v1 import api_pb2 as pb

    answer = _call(
        listen, "ListContainerStats", pb.ListContainerStatsRequest(), pb.ListContainerStatsResponse
    )
    return Usage(
        time.monotonic(),
        {one.attributes.id: one.cpu.usage_core_nano_seconds.value for one in answer.stats},
        {one.attributes.id: one.memory.working_set_bytes.value for one in answer.stats},
    )


def _rows(listen: str, before: Usage, now: Usage) -> list[Row]:
    from api.runtime.v1 import api_pb2 as pb

    pods = _call(listen, "ListPodSandbox", pb.ListPodSandboxRequest(), pb.ListPodSandboxResponse).items
    names = {one.id: f"{one.metadata.namespace}/{one.metadata.name}" for one in pods}
    listed = _call(listen, "ListContainers", pb.ListContainersRequest(), pb.ListContainersResponse).containers
    span_ns = max(now.taken - before.taken, 0.001) * 1e9
    return [
        Row(
            name=f"{names.get(one.pod_sandbox_id, one.pod_sandbox_id[:12])}/{one.metadata.name}",
            id=one.id[:13],
            state=pb.ContainerState.Name(one.state).removeprefix("CONTAINER_").lower(),
            cpu=round(
                max(0, now.cpu.get(one.id, 0) - before.cpu.get(one.id, now.cpu.get(one.id, 0))) / span_ns, 3
            ),
            memory_bytes=now.memory.get(one.id, 0),
            age_s=round(time.time() - one.created_at / 1e9, 1),
            restarts=one.metadata.attempt,
        )
        for one in listed
    ]


def ordered(rows: Sequence[Row], sort: str, *, reverse: bool = False) -> list[Row]:
    """By a column: the largest first, names from A."""
    return sorted(rows, key=lambda row: getattr(row, sort), reverse=(sort != "name") ^ reverse)


def table(rows: Sequence[Row]) -> list[str]:
    """A line a container, under a head."""
    lines = [f"{'CPU':>7} {'MEMORY':>10} {'AGE':>12} {'RESTARTS':>8}  {'STATE':<8} {'ID':<13} NAME"]
    for row in rows:
        lines.append(
            f"{row.cpu:7.3f} {bytes_text(row.memory_bytes):>10} {duration(max(0.0, row.age_s)):>12} "
            f"{row.restarts:8}  {row.state:<8} {row.id:<13} {row.name}"
        )
    return lines
