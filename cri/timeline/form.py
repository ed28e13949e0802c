"""Times and amounts as people read them."""

import time


def moment(ns: int) -> str:
    """``2026-11-30T02:25:27.921Z``."""
    whole = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(ns // 1_000_000_000))
    return f"{whole}.{ns // 1_000_000 % 1000:03}Z"


def clock(ns: int) -> str:
    """The same without the day."""
    return moment(ns)[11:-1]


def duration(seconds: float) -> str:
    """``3 ms``, ``2.1 s``, ``4 min 5 s``, ``3 h 12 min``."""
    if seconds < 1:
        return f"{seconds * 1000:.0f} ms"
    if seconds < 100:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes} min {rest} s" if minutes < 100 else f"{minutes // 60} h {minutes % 60} min"


def bytes_text(count: float) -> str:
    """``512 B``, ``3.4 MB``; powers of ten, as registries count."""
    for unit in ("B", "kB", "MB"):
        if count < 1000:
            return f"{count:.0f} B" if unit == "B" else f"{count:.1f} {unit}"
        count /= 1000
    return f"{count:.1f} GB"


def bar(done: int, total: int, width: int = 20) -> str:
    """``[#####     ]``."""
    filled = width if total <= 0 else min(width, done * width // total)
    return f"[{'#' * filled}{' ' * (width - filled)}]"
