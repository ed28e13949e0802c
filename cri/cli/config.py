"""``podwright config``: what differs from the defaults, or a sample of all."""

import argparse

from conf.sample import differences, sample
from cri.cli.arguments import load_configuration
from cri.cli.output import say, say_lines, warn


def run(arguments: argparse.Namespace) -> int:
    """Print a configuration file; warnings go to standard error."""
    if arguments.default:
        say_lines(sample())
        return 0
    loaded = load_configuration(arguments)
    for warning in loaded.warnings:
        warn(f"warning: {warning}")
    files = ", ".join(map(str, loaded.files)) or "none"
    say(f"# Files read: {files}")
    say_lines(differences(loaded.config) or "# Every option has its default.\n")
    return 0
