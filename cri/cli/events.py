"""``podwright events``: what became of pods, containers and images, a line each; with -f, as it happens."""

import argparse
import json
import sys
import time

from cri.cli.arguments import load_configuration
from cri.cli.ops import ask
from cri.cli.output import say, show
from cri.cli.timeline import headline

PACE_S = 0.5
# Those are many, and nobody's news.
QUIET = frozenset({"ExecSync"})


def run(arguments: argparse.Namespace) -> int:
    """Print what has ended, and with ``--follow`` what ends from then on, a JSON object a line with -o json.

    Raises:
        NoDaemon, Refused: see cri/cli/ops.py.
    """
    listen = str(load_configuration(arguments).config.api.listen)
    question = {"ask": "timeline", "of": arguments.name, "limit": arguments.limit}
    found = [each for each in ask(listen, question)["operations"] if each["verb"] not in QUIET]
    if not arguments.follow:
        show(arguments.output, found, map(headline, found))
        return 0
    seen: dict[str, None] = {}
    while True:
        for each in found:
            if each["id"] not in seen:
                seen[each["id"]] = None
                say(headline(each) if arguments.output == "table" else json.dumps(each, ensure_ascii=False))
        sys.stdout.flush()
        while len(seen) > 2 * arguments.limit:
            del seen[next(iter(seen))]
        time.sleep(PACE_S)
        found = [each for each in ask(listen, question)["operations"] if each["verb"] not in QUIET]
