"""Exec to the end with its output collected: what probes and ExecSync need (api.proto, ExecSync)."""

import contextlib
from dataclasses import dataclass
from typing import Protocol

from api.ids import ContainerId
from host.processes import OutputPipe
from oci.monitor.handles import ExecHandle
from oci.runtime import Json, Runtime

FRAME_BYTES = 64  # at most, of an answer beside its output: tags, lengths, the exit code, gRPC's prefix
OUTPUT_LIMIT = (16 << 20) - FRAME_BYTES  # both streams: the kubelet and crictl take no longer message


@dataclass(frozen=True, slots=True)
class ExecOutput:
    """What came of an exec; ``exit_code`` is None if the monitor died meanwhile and no one saw the end."""

    exit_code: int | None
    stdout: bytes
    stderr: bytes
    timed_out: bool
    truncated: bool


class Executing(Protocol):
    """What is needed of a monitor."""

    async def exec(
        self,
        container_id: ContainerId,
        runtime: Runtime,
        process: Json,
        *,
        stdout: int | None = None,
        stderr: int | None = None,
        run_timeout_s: float | None = None,
        stdio_owner: tuple[int, int] = (0, 0),
    ) -> ExecHandle: ...


async def exec_sync(
    monitor: Executing,
    container_id: ContainerId,
    runtime: Runtime,
    process: Json,
    *,
    timeout_s: float | None = None,
    output_limit: int = OUTPUT_LIMIT,
    stdio_owner: tuple[int, int] = (0, 0),
) -> ExecOutput:
    """Run ``process`` in the container and collect its output, at most ``output_limit`` bytes in all.

    What the process leaves behind does not delay the answer. After ``timeout_s`` it is killed with its
    group, and ``timed_out`` is set. Errors are those of :meth:`Monitor.exec`.
    """
    with contextlib.ExitStack() as cleanup:
        outputs = [OutputPipe(output_limit), OutputPipe(output_limit)]
        for output in outputs:
            cleanup.callback(output.close)
        handle = await monitor.exec(
            container_id,
            runtime,
            process,
            stdout=outputs[0].writing,
            stderr=outputs[1].writing,
            run_timeout_s=timeout_s,
            stdio_owner=stdio_owner,
        )
        async with handle:
            for output in outputs:
                output.handed_on()
            finished = await handle.wait()
        for output in outputs:
            output.read_available()
        lengths = len(outputs[0].data), len(outputs[1].data)
        kept = shares(lengths[0], lengths[1], output_limit)
        return ExecOutput(
            finished.exit_code,
            bytes(outputs[0].data[: kept[0]]),
            bytes(outputs[1].data[: kept[1]]),
            finished.timed_out,
            any(output.truncated for output in outputs) or sum(kept) < sum(lengths),
        )


def shares(stdout: int, stderr: int, limit: int) -> tuple[int, int]:
    """How much of two streams to keep within ``limit`` together: half each, and what the other leaves."""
    half = limit // 2
    return min(stdout, max(half, limit - stderr)), min(stderr, max(limit - half, limit - stdout))
