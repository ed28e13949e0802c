"""An OTLP collector for tests: gRPC on a port of loopback, and what it has received."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import grpc
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTraceServiceRequest,
    ExportTraceServiceResponse,
)
from opentelemetry.proto.trace.v1.trace_pb2 import Span

SERVICE = "opentelemetry.proto.collector.trace.v1.TraceService"


@dataclass
class Collector:
    """``spans`` by name, in the order in which they came; ``resource`` is whose they are."""

    endpoint: str = ""
    spans: list[Span] = field(default_factory=list)
    resource: dict[str, Any] = field(default_factory=dict)

    def named(self, name: str) -> list[Span]:
        """Those with this name."""
        return [span for span in self.spans if span.name == name]

    async def has(self, *names: str) -> None:
        """Wait until there is one of each."""
        while not all(map(self.named, names)):
            await asyncio.sleep(0.02)

    def children(self, parent: Span) -> set[str]:
        """The names of those right below."""
        return {span.name for span in self.spans if span.parent_span_id == parent.span_id}

    async def _export(self, request: ExportTraceServiceRequest, _: Any) -> ExportTraceServiceResponse:
        for one in request.resource_spans:
            self.resource |= {
                pair.key: pair.value.string_value or pair.value.int_value for pair in one.resource.attributes
            }
            for scope in one.scope_spans:
                self.spans += scope.spans
        return ExportTraceServiceResponse()


@asynccontextmanager
async def collecting() -> AsyncIterator[Collector]:
    """One that takes all it gets."""
    collector, server = Collector(), grpc.aio.server()
    method = grpc.unary_unary_rpc_method_handler(
        collector._export,
        request_deserializer=ExportTraceServiceRequest.FromString,
        response_serializer=ExportTraceServiceResponse.SerializeToString,
    )
    server.add_generic_rpc_handlers([grpc.method_handlers_generic_handler(SERVICE, {"Export": method})])
    port = server.add_insecure_port("127.0.0.1:0")
    collector.endpoint = f"127.0.0.1:{port}"
    await server.start()
    try:
        yield collector
    finally:
        await server.stop(None)
