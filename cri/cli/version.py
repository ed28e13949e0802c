"""``podwright version``."""

import argparse
import json
import platform

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
        print(json.dumps(versions, indent=2))
    else:
        print(f"podwright {VERSION}")
    return 0
