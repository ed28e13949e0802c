"""The span tree of a call: the RPC under its caller's span, its operation below, and the operation's steps.

    runtime.v1.RuntimeService/RunPodSandbox     server; its parent is the caller's (traceparent, W3C)
    └─ RunPodSandbox                            the operation, which may outlive the call
       ├─ files and namespaces
       └─ network

A repeat that joins a running operation has a span of its own for the call; the operation's belongs to the
first. Operations of the daemon's own begin traces of their own, as far as the sampling rate has it.
"""

from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Mapping
from typing import Any

import grpc
from opentelemetry import context as contexts
from opentelemetry import trace
from opentelemetry.baggage.propagation import W3CBaggagePropagator
from opentelemetry.propagators.composite import CompositePropagator
from opentelemetry.trace import Span, SpanKind, Status, StatusCode, Tracer
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from cri.grpc_errors import message_of
from cri.operations import Operation, Step

# Fields of the log (cri/subject.py) by OpenTelemetry's names for them.
_ATTRIBUTES: Mapping[str, str] = {
    "namespace": "k8s.namespace.name",
    "pod": "k8s.pod.name",
    "sandbox_id": "k8s.pod.sandbox.id",
    "container": "k8s.container.name",
    "container_id": "container.id",
    "image": "container.image.name",
}
# Operations whose end was never told do not pile up.
_OPEN_LIMIT = 4096
_PROPAGATOR = CompositePropagator([TraceContextTextMapPropagator(), W3CBaggagePropagator()])

Fields = Callable[[Any], Mapping[str, object]]


class Spans:
    """Makes them of calls (``unary``, ``streaming``) and, observing cri/operations.py, of operations."""

    def __init__(self, tracer: Tracer, about: Fields) -> None:
        """``about`` gives the fields of what a request names."""
        self._tracer = tracer
        self._about = about
        self._open: dict[int, Span] = {}

    def trace_id(self) -> str:
        """Of the trace that the code which runs now belongs to; "" where none is recorded."""
        context = trace.get_current_span().get_span_context()
        return format(context.trace_id, "032x") if context.is_valid and context.trace_flags.sampled else ""

    def unary(
        self, service: str, method: str, call: Callable[..., Awaitable[Any]]
    ) -> Callable[..., Awaitable[Any]]:
        """``call`` with a span around it, under which all runs that it begins."""

        async def traced(request: Any, context: grpc.aio.ServicerContext[Any, Any]) -> Any:
            span = self._begin(service, method, context)
            token = contexts.attach(trace.set_span_in_context(span, _caller(context)))
            try:
                return await call(request, context)
            finally:
                contexts.detach(token)
                self._end_call(span, request, context)

        return traced

    def streaming(
        self, service: str, method: str, call: Callable[..., AsyncIterator[Any]]
    ) -> Callable[..., AsyncIterator[Any]]:
        """The same for an answer in parts."""

        async def traced(request: Any, context: grpc.aio.ServicerContext[Any, Any]) -> AsyncIterator[Any]:
            span = self._begin(service, method, context)
            try:
                async for part in call(request, context):
                    yield part
            finally:
                self._end_call(span, request, context)

        return traced

    def _begin(self, service: str, method: str, context: grpc.aio.ServicerContext[Any, Any]) -> Span:
        return self._tracer.start_span(
            f"{service}/{method}",
            _caller(context),
            SpanKind.SERVER,
            {"rpc.system": "grpc", "rpc.service": service, "rpc.method": method},
        )

    def _end_call(self, span: Span, request: Any, context: grpc.aio.ServicerContext[Any, Any]) -> None:
        if span.is_recording():
            number, words = _outcome(context)
            span.set_attribute("rpc.grpc.status_code", number)
            _set_all(span, self._about(request))
            if number:
                span.set_status(Status(StatusCode.ERROR, words))
        span.end()

    def started(self, operation: Operation) -> None:
        """See cri.operations.Observer: in the context of whoever asked first."""
        span = self._tracer.start_span(operation.verb, start_time=operation.began_ns)
        if not span.is_recording():
            return
        self._open[id(operation)] = span
        if len(self._open) > _OPEN_LIMIT:
            del self._open[next(iter(self._open))]

    def step_ended(self, operation: Operation, step: Step) -> None:
        """See there."""
        if (parent := self._open.get(id(operation))) is None:
            return
        span = self._tracer.start_span(
            step.name,
            trace.set_span_in_context(parent, contexts.Context()),
            start_time=operation.wall_ns(step.started),
        )
        if step.failed:
            span.set_status(Status(StatusCode.ERROR))
        span.end(None if step.ended is None else operation.wall_ns(step.ended))

    def ended(self, operation: Operation, error: BaseException | None) -> None:
        """See there."""
        if (span := self._open.pop(id(operation), None)) is None:
            return
        span.set_attribute("podwright.operation.subject", operation.subject)
        _set_all(span, operation.about)
        if error is not None:
            span.set_status(Status(StatusCode.ERROR, message_of(error)))
        span.end(operation.wall_ns(operation.ended) if operation.ended is not None else None)


def _caller(context: grpc.aio.ServicerContext[Any, Any]) -> contexts.Context:
    """What the caller's metadata say; malformed ones say nothing."""
    return _PROPAGATOR.extract(_carrier(context.invocation_metadata() or ()), contexts.Context())


def _outcome(context: Any) -> tuple[int, str]:
    """The number of the call's status, 0 when all went well, and its words."""
    code, details = context.code(), context.details()
    number: int = code.value[0] if isinstance(code, grpc.StatusCode) else int(code or 0)
    return number, details.decode(errors="replace") if isinstance(details, bytes) else str(details or "")


def _carrier(metadata: Iterable[tuple[str, Any]]) -> dict[str, str]:
    return {key: value for key, value in metadata if isinstance(value, str)}


def _set_all(span: Span, fields: Mapping[str, object]) -> None:
    for name, attribute in _ATTRIBUTES.items():
        if value := fields.get(name):
            span.set_attribute(attribute, str(value))
