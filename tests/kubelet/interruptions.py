"""The ways in which the kubelet and Podwright go away and come back."""

import signal
from collections.abc import Callable

from tests.harness.client import eventually
from tests.integration.streaming.pods.observe import Served
from tests.kubelet.kubelet import KubeletFailed
from tests.kubelet.node import Node

Interruption = Callable[[], None]


def restart_kubelet(node: Node) -> None:
    node.kubelet.stop()
    node.kubelet.start()


def crash_kubelet(node: Node) -> None:
    node.kubelet.stop(signal.SIGKILL)
    node.kubelet.start()


def restart_podwright(node: Node) -> None:
    node.daemon.restart()


def crash_podwright(node: Node) -> None:
    node.daemon.restart(signal.SIGKILL)


def crash_both(node: Node) -> None:
    node.kubelet.stop(signal.SIGKILL)
    node.daemon.restart(signal.SIGKILL)
    node.kubelet.start()


OF_THE_KUBELET = (restart_kubelet, crash_kubelet, crash_both)
OF_PODWRIGHT = (restart_podwright, crash_podwright)
INTERRUPTIONS = (*OF_THE_KUBELET, *OF_PODWRIGHT)


def named(interrupt: Callable[[Node], None]) -> str:
    """How a test with it is called."""
    return interrupt.__name__


def bearing(interrupt: Callable[[Node], None], node: Node) -> Interruption:
    """The interruption of this node, and the certainty that its monitor was left alone.

    Not by a daemon that ends at a moment without containers: it takes the monitor along.
    """

    def run() -> None:
        monitor = Served.by(node.daemon).monitor
        interrupt(node)
        eventually(lambda: _connected(node), bool, "the kubelet speaks with the runtime again")
        assert interrupt is restart_podwright or Served.by(node.daemon).monitor == monitor

    return run


def _connected(node: Node) -> bool:
    """A client of gRPC that was refused waits for a while before it tries again."""
    try:
        return bool(node.kubelet.get("/stats/summary"))
    except KubeletFailed:
        return False
