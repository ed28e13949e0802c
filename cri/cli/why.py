"""``podwright why``: what a pod waits for, since when, what was tried, whose fault it is and what to do."""

import argparse

from cri.cli.arguments import load_configuration
from cri.cli.ops import ask
from cri.cli.output import show
from cri.timeline.why import lines


def run(arguments: argparse.Namespace) -> int:
    """Print what the daemon finds.

    Raises:
        NoDaemon, Refused: see cri/cli/ops.py; Refused too when nothing has this name.
    """
    listen = str(load_configuration(arguments).config.api.listen)
    answer = ask(listen, {"ask": "why", "of": arguments.name})
    show(arguments.output, answer, lines(str(answer["of"]), answer["findings"]))
    return 0
