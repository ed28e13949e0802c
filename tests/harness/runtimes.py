"""The OCI runtimes that tests run with: those of the machine, and the project's own beside this Python."""

import shutil
import sys
from pathlib import Path

OWN = "podwright"
RUNTIMES = ("crun", "runc", OWN)
INSIDE = "inside"  # our own, carried out by the monitor instead of by its program
INSIDE_MODULE = "tests.harness.inside"  # that, for what wants a program


def program(name: str) -> str:
    """The path of a runtime's program.

    Raises:
        FileNotFoundError: it is not on this machine.
    """
    path = str(Path(sys.executable).parent / "podwright-oci") if name == OWN else shutil.which(name)
    if path is None:
        raise FileNotFoundError(f"{name} is needed")
    return path
