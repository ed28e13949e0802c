"""How far a pull is: what storage counts, and whom it tells.

Whoever asks for a pull may give ``watch``, which is called once, when a pull really begins: not for a caller
who joins one that runs. Storage then speaks to the Watch that it got, from the event loop:

    with watch.step("manifest"): ...   around each part of the pull, in words an operator understands
    watch.layers([Layer(...), ...])    once, when they are known, bottom first; storage goes on changing them
    layer.came(len(chunk))             for every chunk, and the like, without a word to the Watch
    watch.ended(error)                 once, at the very end; None when the image is there

    a layer   WAITING ─▶ FETCHING ─▶ DONE          HERE at once, when nothing of it need be fetched
                             └─────▶ FAILED
"""

import time
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass, field
from enum import Enum
from typing import Protocol

# Over which a rate is taken: long enough to be steady, short enough to tell of a stall.
_WINDOW_S = 2.0


class LayerState(Enum):
    """See above; fetching is unpacking too, as the bytes come."""

    WAITING = "waiting"
    FETCHING = "fetching"
    DONE = "done"
    HERE = "here"
    FAILED = "failed"


@dataclass(slots=True, eq=False)
class Layer:
    """One layer of a pull: ``name`` is its digest, sizes are of its compressed bytes."""

    name: str
    size_bytes: int
    state: LayerState = LayerState.WAITING
    done_bytes: int = 0
    _rate: float = 0.0
    _window_begun: float = field(default_factory=time.monotonic)
    _window_bytes: int = 0

    def is_here(self) -> None:
        """Nothing of it need be fetched."""
        self.state = LayerState.HERE

    def begins(self) -> None:
        """Its first byte, or again its first, is asked for."""
        self.state, self.done_bytes = LayerState.FETCHING, 0
        self._rate, self._window_begun, self._window_bytes = 0.0, time.monotonic(), 0

    @contextmanager
    def fetched(self) -> Iterator[None]:
        """It is fetched and unpacked in the block, or that fails."""
        try:
            yield
        except BaseException:
            self.state = LayerState.FAILED
            raise
        self.state = LayerState.DONE

    def came(self, count: int) -> None:
        """So many bytes more have come."""
        self.done_bytes += count
        self._window_bytes += count
        now = time.monotonic()
        if (span := now - self._window_begun) >= _WINDOW_S:
            self._rate = self._window_bytes / span
            self._window_begun, self._window_bytes = now, 0

    def rate(self) -> float:
        """Bytes a second, of the last seconds; 0.0 when it is not being fetched."""
        if self.state is not LayerState.FETCHING:
            return 0.0
        span = time.monotonic() - self._window_begun
        return self._window_bytes / span if span >= _WINDOW_S or not self._rate else self._rate


class Progress:
    """The layers of one pull in sum; those that are here already count as done."""

    def __init__(self, layers: Sequence[Layer]) -> None:
        self.layers = tuple(layers)

    @property
    def total_bytes(self) -> int:
        """To be fetched; what is here is not."""
        return sum(layer.size_bytes for layer in self.layers if layer.state is not LayerState.HERE)

    @property
    def done_bytes(self) -> int:
        return sum(layer.done_bytes for layer in self.layers)

    @property
    def total_layers(self) -> int:
        return len(self.layers)

    @property
    def done_layers(self) -> int:
        return sum(layer.state in (LayerState.DONE, LayerState.HERE) for layer in self.layers)

    def rate(self) -> float:
        """Bytes a second, of all layers."""
        return sum(layer.rate() for layer in self.layers)


class Watch(Protocol):
    """Whom a pull tells how far it is; what it raises ends nothing but itself."""

    def step(self, name: str) -> AbstractContextManager[object]: ...

    def layers(self, layers: Sequence[Layer]) -> None: ...

    def ended(self, error: BaseException | None) -> None: ...


class Unwatched:
    """For a pull that nobody watches."""

    def step(self, name: str) -> AbstractContextManager[object]:
        return nullcontext()

    def layers(self, layers: Sequence[Layer]) -> None: ...

    def ended(self, error: BaseException | None) -> None: ...
