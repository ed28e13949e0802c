"""``podwright config``: what differs from the defaults, or a sample of all; for programs, the whole."""

import argparse

from conf.sample import differences, document, sample
from conf.schema import Config
from cri.cli.arguments import load_configuration
from cri.cli.output import say, say_lines, show, warn


def run(arguments: argparse.Namespace) -> int:
    """Print a configuration file, or the document of one; warnings go to standard error."""
    if arguments.default:
        _show(arguments, Config(), sample())
        return 0
    loaded = load_configuration(arguments)
    for warning in loaded.warnings:
        warn(f"warning: {warning}")
    if arguments.output == "table":
        files = ", ".join(map(str, loaded.files)) or "none"
        say(f"# Files read: {files}")
    _show(arguments, loaded.config, differences(loaded.config) or "# Every option has its default.\n")
    return 0


def _show(arguments: argparse.Namespace, config: Config, text: str) -> None:
    if arguments.output == "table":
        say_lines(text)
    else:
        show(arguments.output, {"crio": document(config)}, ())
