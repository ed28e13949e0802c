"""A real daemon sends the span tree of a pod's start to a collector, under the caller's trace id."""

import asyncio

import grpc
import pytest

from api.runtime.v1 import api_pb2 as pb
from api.runtime.v1.api_pb2_grpc import RuntimeServiceStub
from tests.harness.client import pod_config
from tests.harness.collector import collecting
from tests.harness.daemon import Daemon, Settings, Value
from tests.harness.patience import patient

pytestmark = pytest.mark.root
TIMEOUT_S = patient(60)
TRACE, PARENT = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"
METADATA = (("traceparent", f"00-{TRACE}-{PARENT}-01"),)


def start_and_remove(daemon: Daemon) -> None:
    with grpc.insecure_channel(daemon.endpoint) as channel:
        stub = RuntimeServiceStub(channel)
        request = pb.RunPodSandboxRequest(config=pod_config("traced"))
        pod = stub.RunPodSandbox(request, metadata=METADATA, timeout=TIMEOUT_S).pod_sandbox_id
        stub.StopPodSandbox(pb.StopPodSandboxRequest(pod_sandbox_id=pod), timeout=TIMEOUT_S)
        stub.RemovePodSandbox(pb.RemovePodSandboxRequest(pod_sandbox_id=pod), timeout=TIMEOUT_S)


async def test_the_span_tree_of_a_pods_start_arrives() -> None:
    async with collecting() as collector:
        tracing: dict[str, Value] = {"enable_tracing": True, "tracing_endpoint": collector.endpoint}
        daemon = Daemon(Settings(bridge="pw-test3", tables={"crio.tracing": tracing}))
        try:
            await asyncio.to_thread(daemon.start)
            await asyncio.to_thread(start_and_remove, daemon)
            await asyncio.wait_for(collector.has("RunPodSandbox", "network"), TIMEOUT_S)
            lines = await asyncio.to_thread(daemon.told, "pod started", f"trace_id={TRACE}")
        finally:
            forced = await asyncio.to_thread(daemon.teardown)
    assert forced == []
    assert len(lines) == 1
    [operation] = collector.named("RunPodSandbox")
    [call] = collector.named("runtime.v1.RuntimeService/RunPodSandbox")
    assert (call.trace_id.hex(), call.parent_span_id.hex()) == (TRACE, PARENT)
    assert operation.parent_span_id == call.span_id
    assert {"files and namespaces", "network"} <= collector.children(operation)
    assert {span.trace_id.hex() for span in collector.spans} == {TRACE}
