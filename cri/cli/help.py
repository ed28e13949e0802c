"""``podwright help``: what COMMAND --help says."""

import argparse

from cri.cli.arguments import parse


def run(arguments: argparse.Namespace) -> int:
    """Print it and leave by SystemExit, with 2 for a command that does not exist."""
    parse([*arguments.words, "--help"])
    return 0
