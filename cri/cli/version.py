"""``podwright version``."""

import argparse
import platform

from cri.cli.output import show
from cri.version import VERSION


def run(arguments: argparse.Namespace) -> int:
    """Print the version."""
    versions = {
        "version": VERSION,
        "cri": "v1",
        "python": platform.python_version(),
        "kernel": platform.release(),
        "machine": platform.machine(),
    }
    show(arguments.output, versions, [f"podwright {VERSION}"])
    return 0
