"""A pull as an operation: its steps and layers, for whoever looks while it runs and afterwards.

It is one operation however many ask for it, and it lives as long as the pull itself: callers may have gone.
"""

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager

from cri.operations import Operations
from storage.progress import Layer, Progress, Watch


class _Pull:
    """See storage.progress.Watch."""

    def __init__(self, operations: Operations, reference: str, about: Mapping[str, object]) -> None:
        self._operations = operations
        self._operation = operations.begin("PullImage", reference, about)

    def step(self, name: str) -> AbstractContextManager[object]:
        return self._operation.step(name)

    def layers(self, layers: Sequence[Layer]) -> None:
        self._operation.progress = Progress(layers)

    def ended(self, error: BaseException | None) -> None:
        self._operations.end(self._operation, error)


def watch(operations: Operations, reference: str, about: Mapping[str, object]) -> Callable[[], Watch]:
    """For Images.pull; ``about`` names the image, and the pod that asked first."""
    return lambda: _Pull(operations, reference, about)
