"""Tracing from the caller's metadata to the collector, over real gRPC and the fakes below the verbs."""

import asyncio
import gc
import logging
import socket
import threading
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import grpc
import pytest
from opentelemetry.proto.trace.v1.trace_pb2 import Status

from api.runtime.v1 import api_pb2 as pb
from conf.schema import TracingTable
from cri.logs import subject
from cri.node import Node
from cri.operations import Operation
from cri.server import generic_handlers
from cri.tracing import export, service
from tests.fakes import node as fakes
from tests.harness.collector import Collector, collecting
from tests.harness.patience import patient

PATIENCE_S = patient(30)
TRACE, PARENT = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"
SAMPLED = (("traceparent", f"00-{TRACE}-{PARENT}-01"),)
RUNTIME = "runtime.v1.RuntimeService"


@pytest.fixture(autouse=True)
def prompt(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(export, "EVERY_MS", 20)
    monkeypatch.setattr(export, "TIMEOUT_S", 1)


@pytest.fixture
async def collector() -> AsyncIterator[Collector]:
    async with collecting() as made:
        yield made


@pytest.fixture
def kernel(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for owner, name, value in fakes.kernel(tmp_path):
        monkeypatch.setattr(owner, name, value)


class Traced:
    """A node served with tracing, and a channel to it."""

    def __init__(self, node: Node, channel: grpc.aio.Channel, out: export.Export) -> None:
        self.node = node
        self.out = out
        self._channel = channel

    async def call(self, method: str, request: Any, metadata: Any = ()) -> Any:
        found = pb.DESCRIPTOR.services_by_name["RuntimeService"].methods_by_name[method]
        from google.protobuf.message_factory import GetMessageClass

        stub = self._channel.unary_unary(
            f"/{RUNTIME}/{method}",
            request_serializer=lambda message: message.SerializeToString(),
            response_deserializer=GetMessageClass(found.output_type).FromString,
        )
        return await stub(request, metadata=metadata, timeout=PATIENCE_S)


@asynccontextmanager
async def traced(directory: Path, endpoint: str, rate: int = 0) -> AsyncIterator[Traced]:
    async with fakes.started(directory) as node:
        table = TracingTable(True, endpoint, rate)
        node.config = replace(node.config, tracing=table)
        spans, out = service.start(node)
        server = grpc.aio.server()
        server.add_generic_rpc_handlers(generic_handlers(node, 60, None, spans))
        path = directory / "s"
        server.add_insecure_port(f"unix:{path}")
        await server.start()
        try:
            async with grpc.aio.insecure_channel(f"unix:{path}") as channel:
                yield Traced(node, channel, out)
        finally:
            await server.stop(None)
            await out.close()
            for thread in threading.enumerate():
                if thread.name == export.PARTING:  # it must not outlive the test
                    await asyncio.to_thread(thread.join, PATIENCE_S)


def pod(name: str = "web") -> pb.RunPodSandboxRequest:
    metadata = pb.PodSandboxMetadata(name=name, uid=name, namespace="tests")
    return pb.RunPodSandboxRequest(config=pb.PodSandboxConfig(metadata=metadata))


async def test_the_tree_of_a_pods_start_hangs_under_the_callers_span(
    tmp_path: Path, kernel: None, collector: Collector
) -> None:
    async with traced(tmp_path, collector.endpoint) as there:
        found = await there.call("RunPodSandbox", pod(), SAMPLED)
        await asyncio.wait_for(collector.has(f"{RUNTIME}/RunPodSandbox", "RunPodSandbox"), PATIENCE_S)
    [call] = collector.named(f"{RUNTIME}/RunPodSandbox")
    [operation] = collector.named("RunPodSandbox")
    assert (call.trace_id.hex(), call.parent_span_id.hex()) == (TRACE, PARENT)
    assert collector.children(call) == {"RunPodSandbox"}
    assert {"files and namespaces", "network"} <= collector.children(operation)
    assert {span.trace_id.hex() for span in collector.spans} == {TRACE}
    for span in collector.spans:
        assert operation.start_time_unix_nano <= span.end_time_unix_nano
        assert span.start_time_unix_nano <= span.end_time_unix_nano
    attributes = {pair.key: pair.value.string_value for pair in operation.attributes}
    assert attributes["k8s.pod.name"] == "web"
    assert attributes["k8s.namespace.name"] == "tests"
    assert attributes["k8s.pod.sandbox.id"] == found.pod_sandbox_id
    assert collector.resource["service.name"] == "podwright"


async def test_a_call_that_fails_is_a_span_with_its_error(
    tmp_path: Path, kernel: None, collector: Collector
) -> None:
    async with traced(tmp_path, collector.endpoint) as there:
        with pytest.raises(grpc.aio.AioRpcError, match="NOT_FOUND"):
            await there.call("ContainerStatus", pb.ContainerStatusRequest(container_id="no"), SAMPLED)
        await asyncio.wait_for(collector.has(f"{RUNTIME}/ContainerStatus"), PATIENCE_S)
    [span] = collector.spans
    assert span.status.code == Status.STATUS_CODE_ERROR
    assert "no" in span.status.message
    [code] = [pair.value.int_value for pair in span.attributes if pair.key == "rpc.grpc.status_code"]
    assert code == grpc.StatusCode.NOT_FOUND.value[0]


@pytest.mark.parametrize(
    "metadata",
    [
        (),
        (("traceparent", f"00-{TRACE}-{PARENT}-00"),),
        (("traceparent", "00-0-0-01"),),
        (("traceparent", "x" * 4000), ("tracestate", "y" * 2000)),
        (("traceparent-bin", b"\xff\x00"),),
    ],
)
async def test_who_does_not_ask_for_it_is_not_traced_at_rate_0(
    tmp_path: Path, kernel: None, collector: Collector, metadata: Any
) -> None:
    async with traced(tmp_path, collector.endpoint) as there:
        await there.call("RunPodSandbox", pod(), metadata)
        await there.call("Version", pb.VersionRequest(), SAMPLED)
        await asyncio.wait_for(collector.has(f"{RUNTIME}/Version"), PATIENCE_S)
    assert [span.name for span in collector.spans] == [f"{RUNTIME}/Version"]


async def test_at_the_full_rate_everybody_is(tmp_path: Path, kernel: None, collector: Collector) -> None:
    async with traced(tmp_path, collector.endpoint, 1_000_000) as there:
        await there.call("Version", pb.VersionRequest())
        await asyncio.wait_for(collector.has(f"{RUNTIME}/Version"), PATIENCE_S)


def _endpoint_of(kind: str, stack: list[socket.socket]) -> str:
    listening = socket.socket()
    stack.append(listening)
    listening.bind(("127.0.0.1", 0))
    if kind == "mute":
        listening.listen()
    return f"127.0.0.1:{listening.getsockname()[1]}"


@pytest.mark.parametrize("kind", ["down", "mute"])
async def test_a_collector_that_takes_nothing_costs_no_call_and_no_memory(
    tmp_path: Path, kernel: None, kind: str
) -> None:
    kept: list[socket.socket] = []
    endpoint = _endpoint_of(kind, kept)
    with closing(kept[0]):
        async with traced(tmp_path, endpoint, 1_000_000) as there:
            for number in range(20):
                request = pod(f"pod-{number}")
                sandbox = (await there.call("RunPodSandbox", request)).pod_sandbox_id
                await there.call("RemovePodSandbox", pb.RemovePodSandboxRequest(pod_sandbox_id=sandbox))
            for _ in range(3 * export.QUEUE):
                with there.node.operations.track("Probe", "x"):
                    pass
            assert _waiting_spans() <= export.QUEUE + 2 * export.BATCH
            async with asyncio.timeout(PATIENCE_S):
                while not [one for one in there.node.background.troubles() if one.key == service.TROUBLE]:
                    await asyncio.sleep(0.02)
            assert there.out.told.lost > 0


def _waiting_spans() -> int:
    from opentelemetry.sdk.trace import ReadableSpan

    gc.collect()
    return sum(isinstance(one, ReadableSpan) for one in gc.get_objects())


async def test_operations_that_never_end_do_not_pile_up(
    tmp_path: Path, kernel: None, collector: Collector, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("cri.tracing.spans._OPEN_LIMIT", 5)
    async with traced(tmp_path, collector.endpoint, 1_000_000) as there:
        spans, other = service.start(there.node)
        kept = [Operation("Probe", str(number)) for number in range(20)]
        for operation in kept:
            spans.started(operation)
        assert len(spans._open) == 5
        for operation in kept:
            spans.ended(operation, None)
        assert len(spans._open) == 0
        await other.close()


async def test_lines_of_a_traced_call_name_its_trace_and_those_of_others_none(
    tmp_path: Path, kernel: None, collector: Collector
) -> None:
    told: list[object] = []
    handler = logging.Handler()
    handler.emit = lambda record: told.append(subject().get("trace_id"))  # type: ignore[method-assign]
    logger = logging.getLogger("cri.sandboxes.run")
    logger.addHandler(handler)
    logger.setLevel(logging.INFO)
    try:
        async with traced(tmp_path, collector.endpoint) as there:
            await there.call("RunPodSandbox", pod("one"), SAMPLED)
            await there.call("RunPodSandbox", pod("two"))
    finally:
        logger.removeHandler(handler)
        logger.setLevel(logging.NOTSET)
    assert told == [TRACE, None]
