"""The metrics of a node, served: what the composition root starts when they are enabled."""

import logging
from collections.abc import Callable

from cri.metrics import certificate
from cri.metrics.collectors import Metrics, Sources
from cri.metrics.endpoint import Endpoint, Pages
from cri.metrics.own import Own
from cri.metrics.readings import readings
from cri.node import Node

logger = logging.getLogger(__name__)


async def serve(node: Node, processes_defunct: Callable[[], int]) -> tuple[Metrics, Endpoint]:
    """Count from now on and listen.

    Raises:
        MetricsNotServed: the endpoint cannot be opened.
    """
    table = node.config.metrics
    sources = Sources(
        default_runtime=lambda: node.handlers.default,
        events_dropped=lambda: node.events.dropped,
        processes_defunct=processes_defunct,
        monitors_lost=lambda: node.monitor.lost,
        running=node.operations.running,
    )
    metrics = Metrics(sources, Own(lambda: readings(node)), table.metrics_collectors)
    node.operations.observe(metrics)
    if await certificate.make_if_missing(table):
        logger.info("made a self-signed certificate for metrics certificate=%s", table.metrics_cert)
    pages: Pages | None = None
    if table.enable_page:
        from cri.page import service as page

        pages = page.Pages(node)
    return metrics, await Endpoint.open(table, node.config.api.tls_min_version, metrics.text, pages)
