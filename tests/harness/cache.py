"""What is slow to make is made once, outside the checkout, and kept under a key of what it was made from.

$PODWRIGHT_CACHE, else $XDG_CACHE_HOME/podwright, else ~/.cache/podwright
    <kind>/<key>/        complete: moved into place by one rename
    <kind>/.<key>-<random>/  being made; rubbish after a crash, swept by the next maker of that key
    <kind>/.<key>.lock   held while a process makes that key, so that two do not do the work twice

A key ends in the digest of the module whose function makes the thing: one that lays it out in another way
does not find what an earlier one has left.
"""

import fcntl
import hashlib
import os
import shutil
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

# What takes long and whose maker says nothing by itself.
ANNOUNCED = {
    "debian": "fetching Debian packages whose programs the tests use: once, takes some seconds",
    "debian-root": "making a root directory of Debian: once, takes a minute",
    "wheels": "fetching the wheels of all dependencies: once for each change of them, takes half a minute",
}
WORTH_TELLING_S = 5

PROJECT = Path(__file__).resolve().parents[2]


def cache_root() -> Path:
    """The directory of everything kept between runs; it need not exist yet."""
    if own := os.environ.get("PODWRIGHT_CACHE"):
        return Path(own).absolute()
    base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(base).absolute() / "podwright"


def prefetched(kind: str, name: str) -> Path | None:
    """``$PODWRIGHT_PREFETCHED/<kind>/<name>`` if it exists: how a machine without network is given things."""
    given = os.environ.get("PODWRIGHT_PREFETCHED")
    path = Path(given or "/nonexistent") / kind / name
    return path if given and path.exists() else None


def key_of(*parts: str | bytes) -> str:
    """A short name for what something is made from; other parts or another order give another name."""
    digest = hashlib.sha256()
    for part in parts:
        data = part if isinstance(part, bytes) else part.encode()
        digest.update(len(data).to_bytes(8, "big") + data)
    return digest.hexdigest()[:16]


def cached(kind: str, key: str, make: Callable[[Path], None], *, keep: int | None = None) -> Path:
    """The directory ``<cache>/<kind>/<key>-<maker>``, made by ``make(empty directory)`` if it is not there.

    A failing or interrupted ``make`` leaves nothing that a later run would take for the finished thing.
    ``keep``: how many of this kind stay, those used last; for what is large and often made anew.
    """
    home = cache_root() / kind
    key = f"{key}-{_source_digest(make)}"
    done = home / key
    if done.is_dir():
        os.utime(done)
        return done
    home.mkdir(parents=True, exist_ok=True)
    with (home / f".{key}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if done.is_dir():
            return done
        for rubbish in home.glob(f".{key}-*"):
            shutil.rmtree(rubbish, ignore_errors=True)
        work = Path(tempfile.mkdtemp(prefix=f".{key}-", dir=home))
        begun = time.monotonic()
        if kind in ANNOUNCED:
            print(ANNOUNCED[kind], file=sys.stderr, flush=True)
        try:
            make(work)
            work.chmod(0o755)
            work.rename(done)
        except BaseException:
            shutil.rmtree(work, ignore_errors=True)
            raise
        if (took_s := time.monotonic() - begun) > WORTH_TELLING_S:
            print(f"done in {took_s:.0f} s: {done}", file=sys.stderr, flush=True)
    if keep is not None:
        _forget_all_but(keep, home)
    return done


def _source_digest(make: Callable[[Path], None]) -> str:
    """Eight digits of what is written in the module that ``make``, a function or an instance, is from."""
    source = sys.modules[make.__module__].__file__
    if source is None:
        raise ValueError(f"{make} is from a module without a file: nothing tells when it changes")
    return hashlib.sha256(Path(source).read_bytes()).hexdigest()[:8]


def _forget_all_but(keep: int, home: Path) -> None:
    complete = [path for path in home.iterdir() if path.is_dir() and not path.name.startswith(".")]
    for path in sorted(complete, key=lambda path: path.stat().st_mtime, reverse=True)[keep:]:
        shutil.rmtree(path, ignore_errors=True)
