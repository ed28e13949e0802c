"""Spans on their way to the collector: in a thread, in batches, never in anybody's way.

At most QUEUE spans wait; what finds no place is dropped, and so is a batch that the collector does not take
within TIMEOUT_S. That it does not is told once, as a trouble of the daemon (``podwright check``, ``ops``),
until it takes spans again.
"""

import asyncio
import contextlib
import logging
import os
import socket
import threading
from collections.abc import Callable, Sequence
from typing import Final

from opentelemetry.exporter.otlp.proto.grpc.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter, SpanExportResult
from opentelemetry.sdk.trace.sampling import ParentBased, TraceIdRatioBased
from opentelemetry.trace import Tracer

from conf.schema import TracingTable
from cri.version import VERSION

QUEUE: Final = 2048
BATCH: Final = 256
EVERY_MS: Final = 1000
TIMEOUT_S: Final = 5
PARTING_S: Final = 2.0
PARTING: Final = "last spans"  # the thread that sends them
SERVICE: Final = "podwright"
_MILLION: Final = 1_000_000

Report = Callable[[str], None]


class Told(SpanExporter):
    """Another exporter, whose failures are told instead of logged at each; it runs in a thread."""

    def __init__(self, inner: SpanExporter, report: Report) -> None:
        """``report`` gets words about what is wrong, "" when all is well again."""
        self._inner = inner
        self._report = report
        self._failing = False
        self._has_ended = False
        self.lost = 0

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        """Never raises: the thread that calls it must live."""
        if self._has_ended:
            self.lost += len(spans)
            return SpanExportResult.FAILURE
        try:
            result = self._inner.export(spans)
        except Exception as error:
            return self._failed(spans, str(error))
        if result is not SpanExportResult.SUCCESS:
            return self._failed(spans, "the collector does not take spans")
        if self._failing:
            self._failing = False
            self._report("")
        return result

    def _failed(self, spans: Sequence[ReadableSpan], words: str) -> SpanExportResult:
        self.lost += len(spans)
        if not self._failing:
            self._failing = True
            self._report(f"{words}: spans are lost; is a collector at tracing_endpoint?")
        return SpanExportResult.FAILURE

    def give_up(self) -> None:
        """Send no more, so that whoever empties the queue is done at once."""
        self._has_ended = True

    def shutdown(self) -> None:
        """End the connection."""
        self._inner.shutdown()

    def force_flush(self, timeout_millis: int = 30_000) -> bool:
        """Nothing is kept here."""
        return True


class Export:
    """The way out for spans; ``tracer`` makes them. ``close`` ends it within PARTING_S."""

    def __init__(self, table: TracingTable, report: Report) -> None:
        logging.getLogger("opentelemetry").setLevel(logging.CRITICAL)  # Told says what is to be said
        endpoint = f"http://{table.tracing_endpoint}"
        self.told = Told(OTLPSpanExporter(endpoint=endpoint, insecure=True, timeout=TIMEOUT_S), report)
        self.processor = BatchSpanProcessor(
            self.told,
            max_queue_size=QUEUE,
            max_export_batch_size=BATCH,
            schedule_delay_millis=EVERY_MS,
            export_timeout_millis=TIMEOUT_S * 1000,
        )
        self._provider = TracerProvider(
            ParentBased(TraceIdRatioBased(table.tracing_sampling_rate_per_million / _MILLION)),
            Resource.create(
                {
                    "service.name": SERVICE,
                    "service.version": VERSION,
                    "host.name": socket.gethostname(),
                    "process.pid": os.getpid(),
                }
            ),
            shutdown_on_exit=False,
        )
        self._provider.add_span_processor(self.processor)

    @property
    def tracer(self) -> Tracer:
        return self._provider.get_tracer(SERVICE, VERSION)

    async def close(self) -> None:
        """Send what waits, if the collector takes it soon."""
        loop, done = asyncio.get_running_loop(), asyncio.Event()

        def end() -> None:
            self._provider.shutdown()
            with contextlib.suppress(RuntimeError):  # the loop did not wait that long
                loop.call_soon_threadsafe(done.set)

        # Not by the executor, whose threads keep the process from ending.
        threading.Thread(target=end, name=PARTING, daemon=True).start()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(PARTING_S):
                await done.wait()
        self.told.give_up()
