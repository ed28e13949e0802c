"""``podwright help``: what COMMAND --help says, and ``podwright help options`` what all commands have."""

import argparse

from cri.cli.arguments import Parser, parse, parser
from cri.cli.output import say_lines


def run(arguments: argparse.Namespace) -> int:
    """Print it; that of a command leaves by SystemExit, with 2 for one that does not exist."""
    if arguments.words == ["options"]:
        serve = next(
            action.choices["serve"]
            for action in parser()._actions
            if isinstance(action, argparse._SubParsersAction)
        )
        assert isinstance(serve, Parser)
        say_lines(serve.format_common())
        return 0
    parse([*arguments.words, "--help"])
    return 0
