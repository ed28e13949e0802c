"""A process that pulls, imports and removes images of a store, many at once in any order, until it is killed.

python -m tests.integration.storage.churning ROOT CONF SEED NAME=LAYOUT...

It writes a line for each that it has done.
"""

import asyncio
import contextlib
import random
import sys
from collections.abc import Sequence
from pathlib import Path

from api.errors import PodwrightError
from storage.images import Images
from tests.integration.storage.material import options

_AT_ONCE = 4


async def churn(store: Images, chance: random.Random, names: Sequence[str], layouts: Sequence[Path]) -> None:
    """Never ends. What the disk or another task's removal refuses is tried again sometime."""
    while True:
        number = chance.randrange(len(names))
        verb = chance.choice(("pull", "import", "remove"))
        with contextlib.suppress(PodwrightError, OSError):
            if verb == "pull":
                await store.pull(names[number])
            elif verb == "import":
                await store.import_archive(layouts[number], names[number])
            else:
                await store.remove(names[number])
        print(verb, flush=True)


async def main(root: Path, conf: Path, seed: int, names: Sequence[str], layouts: Sequence[Path]) -> None:
    """The process."""
    store = await Images.open(root, options(conf), repair=True)
    tasks = [churn(store, random.Random(seed + task), names, layouts) for task in range(_AT_ONCE)]
    await asyncio.gather(*tasks)


if __name__ == "__main__":
    _pairs = [argument.split("=", 1) for argument in sys.argv[4:]]
    asyncio.run(
        main(
            Path(sys.argv[1]),
            Path(sys.argv[2]),
            int(sys.argv[3]),
            [name for name, _ in _pairs],
            [Path(layout) for _, layout in _pairs],
        )
    )
