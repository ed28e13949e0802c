"""Wheels of the project's dependencies, so that tests install it without a network.

    python -m tests.harness.wheels

fetches them into the cache and prints where they are.
"""

import sys
from pathlib import Path

from tests.harness.cache import PROJECT, cached, key_of
from tools.packaging.environment import PINS, collect_wheels


def wheels() -> Path:
    """The directory with what ``make install`` needs for this Python; the first call needs the network."""
    inputs = [(PROJECT / name).read_bytes() for name in ("pyproject.toml", PINS)]

    def make(target: Path) -> None:
        collect_wheels(target)
        for own in target.glob("podwright-*.whl"):
            own.unlink()

    return cached("wheels", f"{sys.implementation.cache_tag}-{key_of(*inputs)}", make)


if __name__ == "__main__":
    print(wheels())
