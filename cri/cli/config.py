"""``podwright config``: what differs from the defaults, or a sample of all."""

import argparse
import sys

from conf.sample import differences, sample
from cri.cli.arguments import load_configuration


def run(arguments: argparse.Namespace) -> int:
    """Print a configuration file; warnings go to standard error."""
    if arguments.default:
        print(sample(), end="")
        return 0
    loaded = load_configuration(arguments)
    for warning in loaded.warnings:
        print(f"warning: {warning}", file=sys.stderr)
    files = ", ".join(map(str, loaded.files)) or "none"
    print(f"# Files read: {files}")
    print(differences(loaded.config) or "# Every option has its default.\n", end="")
    return 0
