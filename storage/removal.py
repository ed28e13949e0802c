"""``podwright-remove``: the trees named on the command line are removed, at the lowest priority there is.

    argv[1]   a JSON list of paths
    stdout    {PATH: [ERRNO, TEXT]} of those that could not be removed

A process and no thread: one of the daemon's at such a priority would hold its interpreter's lock while others
have the processor.
"""

import contextlib
import json
import os
import sys
from pathlib import Path

from host.files import remove_tree
from host.scheduling import set_io_priority

_IDLE = 3
_LEAST = 19


def main() -> None:
    """Entry point of the process."""
    with contextlib.suppress(OSError):  # a container may forbid it
        os.nice(_LEAST)
        set_io_priority(0, _IDLE, 0)
    stuck = {}
    for path in json.loads(sys.argv[1]):
        try:
            remove_tree(Path(path))
        except OSError as error:
            stuck[path] = [error.errno or 0, error.strerror or str(error)]
    sys.stdout.write(json.dumps(stuck))
