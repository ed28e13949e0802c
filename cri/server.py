"""CRI v1 over gRPC: one line an RPC, and the wrapper that every call goes through.

The wrapper turns errors into statuses and writes the log: one line for a call that failed or
was slow, one at debug level for the others.
"""

import itertools
import logging
import os
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from functools import partial
from importlib import import_module
from typing import Any, Protocol

import grpc
from google.protobuf.descriptor import MethodDescriptor
from google.protobuf.message import Message
from google.protobuf.message_factory import GetMessageClass

from api.errors import PodwrightError
from api.runtime.v1 import api_pb2 as pb
from cri import door, publish
from cri.containers import create, exec_sync, reopen_log, start, streams, update
from cri.containers import listing as container_listing
from cri.containers import remove as container_remove
from cri.containers import status as container_status
from cri.containers import stop as container_stop
from cri.grpc_errors import message_of, status_of, steps_of, unforeseen
from cri.images import verbs as image_verbs
from cri.logs import Fields, fields, under
from cri.node import Node
from cri.ready_bytes import serialized
from cri.sandboxes import listing as sandbox_listing
from cri.sandboxes import port_forward
from cri.sandboxes import remove as sandbox_remove
from cri.sandboxes import run as sandbox_run
from cri.sandboxes import stop as sandbox_stop
from cri.sandboxes import update as sandbox_update
from cri.status import verbs as status_verbs
from cri.store import RecordNotFound
from cri.subject import of_request

logger = logging.getLogger(__name__)

Answer = Message | bytes  # of a message, ready to be sent
Unary = Callable[[Node, Any], Awaitable[Answer]]
Streaming = Callable[[Node, Any], AsyncIterator[Answer]]


def _statistics(module: str, name: str) -> Unary:
    """A verb of cri.stats, which is imported when it is first asked for: not before the daemon serves."""

    async def verb(node: Node, request: Any) -> Answer:
        answer: Answer = await getattr(import_module(f"cri.stats.{module}"), name)(node, request)
        return answer

    return verb


def _stream_of_statistics(module: str, name: str) -> Streaming:
    """The same for a verb that streams."""

    async def verb(node: Node, request: Any) -> AsyncIterator[Answer]:
        async for answer in getattr(import_module(f"cri.stats.{module}"), name)(node, request):
            yield answer

    return verb


UNARY: dict[str, Unary] = {
    "Version": status_verbs.version,
    "Status": status_verbs.status,
    "RuntimeConfig": status_verbs.runtime_config,
    "UpdateRuntimeConfig": status_verbs.update_runtime_config,
    "RunPodSandbox": sandbox_run.run_pod_sandbox,
    "StopPodSandbox": sandbox_stop.stop_pod_sandbox,
    "RemovePodSandbox": sandbox_remove.remove_pod_sandbox,
    "PodSandboxStatus": publish.pod_sandbox_status,
    "ListPodSandbox": sandbox_listing.list_pod_sandbox,
    "CreateContainer": create.create_container,
    "StartContainer": start.start_container,
    "StopContainer": container_stop.stop_container,
    "RemoveContainer": container_remove.remove_container,
    "ListContainers": container_listing.list_containers,
    "ContainerStatus": container_status.container_status,
    "UpdateContainerResources": update.update_container_resources,
    "ReopenContainerLog": reopen_log.reopen_container_log,
    "ExecSync": exec_sync.exec_sync,
    "Exec": streams.exec_stream,
    "Attach": streams.attach,
    "PortForward": port_forward.port_forward,
    "ContainerStats": _statistics("verbs", "container_stats"),
    "ListContainerStats": _statistics("verbs", "list_container_stats"),
    "PodSandboxStats": _statistics("pods", "pod_sandbox_stats"),
    "ListPodSandboxStats": _statistics("pods", "list_pod_sandbox_stats"),
    "ListMetricDescriptors": _statistics("scrape", "list_metric_descriptors"),
    "ListPodSandboxMetrics": _statistics("scrape", "list_pod_sandbox_metrics"),
    "UpdatePodSandboxResources": sandbox_update.update_pod_sandbox_resources,
    "ListImages": image_verbs.list_images,
    "ImageStatus": image_verbs.image_status,
    "PullImage": image_verbs.pull_image,
    "RemoveImage": image_verbs.remove_image,
    "ImageFsInfo": image_verbs.image_fs_info,
}

STREAMING: dict[str, Streaming] = {
    "StreamPodSandboxes": sandbox_listing.stream_pod_sandboxes,
    "StreamContainers": container_listing.stream_containers,
    "StreamPodSandboxStats": _stream_of_statistics("pods", "stream_pod_sandbox_stats"),
    "StreamContainerStats": _stream_of_statistics("verbs", "stream_container_stats"),
    "StreamPodSandboxMetrics": _stream_of_statistics("scrape", "stream_pod_sandbox_metrics"),
    "StreamImages": image_verbs.stream_images,
    "GetContainerEvents": publish.get_container_events,
}


class Observer(Protocol):
    """Hears of every call that has ended."""

    def called(self, operation: str, seconds: float, error: str = "") -> None:
        """``error`` is the name of the call's status, "" for OK."""


class Traces(Protocol):
    """Makes spans of calls (cri/tracing/spans.py)."""

    def trace_id(self) -> str: ...

    def unary(
        self, service: str, method: str, call: Callable[..., Awaitable[Any]]
    ) -> Callable[..., Awaitable[Any]]: ...

    def streaming(
        self, service: str, method: str, call: Callable[..., AsyncIterator[Any]]
    ) -> Callable[..., AsyncIterator[Any]]: ...


def generic_handlers(
    node: Node, slow_seconds: float, observer: Observer | None = None, traces: Traces | None = None
) -> list[Any]:
    """A gRPC handler for each service of the API; what is not built yet answers UNIMPLEMENTED by name."""
    calls = Calls(node, slow_seconds, observer, traces)
    return [
        grpc.method_handlers_generic_handler(
            service.full_name,
            {method.name: calls.handler(service.full_name, method) for method in service.methods},
        )
        for service in pb.DESCRIPTOR.services_by_name.values()
    ]


class Calls:
    """Makes method handlers around the verbs."""

    def __init__(
        self,
        node: Node,
        slow_seconds: float,
        observer: Observer | None = None,
        traces: Traces | None = None,
    ) -> None:
        self._node = node
        self._traces = traces
        self._slow_seconds = slow_seconds
        self._observer = observer
        # Lines of one call are found by it, also among those of a daemon before.
        self._numbers = map(f"{os.urandom(2).hex()}-{{}}".format, itertools.count(1))

    def _about(self, request: Message) -> Callable[[], Fields]:
        about = partial(_with_number, next(self._numbers), of_request(self._node, request))
        return about if self._traces is None else partial(_with_trace, self._traces, about)

    def handler(self, service: str, method: MethodDescriptor) -> Any:
        """The gRPC method handler of one RPC."""
        call, streams = self._call(method)
        if self._traces is not None:
            wrap = self._traces.streaming if streams else self._traces.unary
            call = wrap(service, method.name, call)
        make = grpc.unary_stream_rpc_method_handler if streams else grpc.unary_unary_rpc_method_handler
        return make(
            call,
            request_deserializer=partial(door.decode, GetMessageClass(method.input_type)),
            response_serializer=serialized,
        )

    def _call(self, method: MethodDescriptor) -> tuple[Callable[..., Any], bool]:
        if method.name in UNARY:
            return self._unary(method.name, UNARY[method.name]), False
        if method.name in STREAMING:
            return self._streaming(method.name, STREAMING[method.name]), True
        return self._missing(method.name), bool(method.server_streaming)

    def _unary(self, name: str, verb: Unary) -> Callable[..., Awaitable[Answer]]:
        async def call(request: Message, context: grpc.aio.ServicerContext[Any, Any]) -> Answer:
            begun = time.monotonic()
            with under(self._about(door.readable(request))):
                try:
                    door.check(request)
                    response = await verb(self._node, request)
                except Exception as cause:
                    error = self._node.space.explain(cause)
                    self._log_failure(name, begun, error)
                    await context.abort(status_of(error), message_of(error))
                self._log_success(name, begun)
            return response

        return call

    def _streaming(self, name: str, verb: Streaming) -> Callable[..., AsyncIterator[Answer]]:
        async def call(
            request: Message, context: grpc.aio.ServicerContext[Any, Any]
        ) -> AsyncIterator[Answer]:
            begun = time.monotonic()
            try:
                door.check(request)
                async for response in verb(self._node, request):
                    yield response
            except Exception as cause:
                error = self._node.space.explain(cause)
                self._log_failure(name, begun, error)
                await context.abort(status_of(error), message_of(error))
            except BaseException:  # the client has gone, as whoever listens for events does at last
                self._count(name, begun)
                raise
            self._count(name, begun)

        return call

    def _missing(self, name: str) -> Callable[..., Awaitable[None]]:
        async def call(request: Message, context: grpc.aio.ServicerContext[Any, Any]) -> None:
            await context.abort(grpc.StatusCode.UNIMPLEMENTED, f"{name} is not part of this Podwright yet")

        return call

    def _log_failure(self, name: str, begun: float, error: Exception) -> None:
        code = status_of(error)
        took = time.monotonic() - begun
        if self._observer is not None:
            self._observer.called(name, took, code.name)
        logger.log(
            level_of(name, error),
            "%s failed: %s",
            name,
            message_of(error),
            exc_info=unforeseen(error),
            extra=fields(rpc=name, code=code.name, ms=round(took * 1000, 1), steps=steps_of(error)),
        )

    def _count(self, name: str, begun: float) -> float:
        took = time.monotonic() - begun
        if self._observer is not None:
            self._observer.called(name, took)
        return took

    def _log_success(self, name: str, begun: float) -> None:
        took = self._count(name, begun)
        level = logging.WARNING if took >= self._slow_seconds else logging.DEBUG
        if logger.isEnabledFor(level):
            logger.log(level, "%s done", name, extra=fields(rpc=name, code="OK", ms=round(took * 1000, 1)))


def _with_number(number: str, about: Callable[[], Fields]) -> Fields:
    return {**about(), "request": number}


def _with_trace(traces: Traces, about: Callable[[], Fields]) -> Fields:
    trace_id = traces.trace_id()
    return {**about(), "trace_id": trace_id} if trace_id else about()


def level_of(name: str, error: Exception) -> int:
    """How bad a failed call is for the node's owner.

    Clients ask for what they just removed, and a probe that fails is the pod's news.
    """
    if isinstance(error, RecordNotFound):
        return logging.DEBUG
    if name == "ExecSync" and isinstance(error, PodwrightError):
        return logging.INFO
    return logging.ERROR
