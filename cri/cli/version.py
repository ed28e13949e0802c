"""``podwright version``."""

import argparse
import json
import platform

from cri.cli.output import say, say_lines
from cri.version import VERSION


def run(arguments: argparse.Namespace) -> int:
    """Print the version."""
    if arguments.json:
        versions = {
            "version": VERSION,
            "cri": "v1",
            "python": platform.python_version(),
            "kernel": platform.release(),
            "machine": platform.machine(),
        }
        say_lines(json.dumps(versions, indent=2) + "\n")
    else:
        say(f"podwright {VERSION}")
    return 0
