"""What the daemon's memory holds, by type: for one that seems to grow. Takes a second with many objects."""

import gc
import resource
import sys
import tracemalloc
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Final

_TYPES: Final = 60
_PLACES: Final = 40


def text() -> str:
    """Memory of the process, its objects by type, and where they were made if that is traced. Blocking."""
    return "\n".join([*_process(), "", *_objects(), "", *_places()]) + "\n"


def _process() -> Iterator[str]:
    wanted = ("VmRSS", "RssAnon", "VmHWM", "VmSwap", "Threads")
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith(wanted):
            yield " ".join(line.split())
    yield f"minor page faults: {resource.getrusage(resource.RUSAGE_SELF).ru_minflt}"


def _objects() -> Iterator[str]:
    counts: Counter[str] = Counter()
    sizes: Counter[str] = Counter()
    for one in gc.get_objects():
        name = f"{type(one).__module__}.{type(one).__qualname__}"
        counts[name] += 1
        sizes[name] += sys.getsizeof(one, 0)
    yield f"objects that the collector sees: {counts.total()}, of before the start: {gc.get_freeze_count()}"
    yield "     count       bytes  type"
    for name, count in counts.most_common(_TYPES):
        yield f"{count:10} {sizes[name]:11}  {name}"


def _places() -> Iterator[str]:
    if not tracemalloc.is_tracing():
        yield "where they were made is known with PYTHONTRACEMALLOC=1 in the daemon's environment"
        return
    for place in tracemalloc.take_snapshot().statistics("lineno")[:_PLACES]:
        yield str(place)
