"""Where the tasks of the daemon wait, for an operator who finds that it seems to hang."""

import asyncio
import gc
from collections.abc import Iterator


def stacks(loop: asyncio.AbstractEventLoop) -> Iterator[str]:
    """Every task in lines, and from the outermost coroutine to the innermost what it waits in."""
    for task in asyncio.all_tasks(loop):
        yield f"task {task.get_name()}:"
        for line in _waits_in(task.get_coro()):
            yield f"  {line}"


def _waits_in(awaited: object) -> Iterator[str]:
    """One line for each that has a frame of Python; those of compiled code have none, or no line."""
    while awaited is not None:
        frame = _either(awaited, "cr_frame", "gi_frame", "ag_frame")
        if frame is None:
            yield f"{awaited!r:.200}"
        else:
            code = frame.f_code  # type: ignore[attr-defined]
            yield f"{code.co_filename}:{frame.f_lineno} in {code.co_qualname}"  # type: ignore[attr-defined]
        awaited = _either(awaited, "cr_await", "gi_yieldfrom", "ag_await") or _wrapped(awaited)


def _wrapped(awaited: object) -> object:
    """The coroutine in what its ``__await__`` gives, in which compiled code awaits; it has no name for it."""
    if type(awaited).__name__ != "coroutine_wrapper":
        return None
    return next(iter(gc.get_referents(awaited)), None)


def _either(of: object, *names: str) -> object:
    return next((found for name in names if (found := getattr(of, name, None)) is not None), None)
