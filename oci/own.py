"""Where the program of our own OCI runtime lies (docs/adr/0024)."""

import sys
from pathlib import Path

HANDLER = "podwright"
PROGRAM = "podwright-oci"


def program() -> Path:
    """Beside the daemon's own program, or beside the interpreter; else to be found on PATH."""
    for place in (Path(sys.argv[0]).resolve().parent, Path(sys.executable).parent):
        if (place / PROGRAM).exists():
            return place / PROGRAM
    return Path(PROGRAM)
