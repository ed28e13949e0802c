"""What is shown again and again: a screen drawn anew on a terminal, lines or documents elsewhere."""

import argparse
import json
import os
import select
import sys
import termios
import time
import tty
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

from cri.cli.output import draw, say, show

PACE_S = 1.0

Answer = Mapping[str, Any]


def repeat(
    arguments: argparse.Namespace,
    fetch: Callable[[], Answer],
    lines: Callable[[Answer], Sequence[str]],
) -> None:
    """Show an answer once; with ``--watch``, every PACE_S until interrupted."""
    if not getattr(arguments, "watch", False):
        answer = fetch()
        show(arguments.output, answer, lines(answer))
        return
    while True:
        answer = fetch()
        if arguments.output != "table":
            say(json.dumps(answer, ensure_ascii=False))
        elif sys.stdout.isatty():
            draw(lines(answer))
        else:
            for line in lines(answer):
                say(line)
        sys.stdout.flush()
        time.sleep(PACE_S)


@contextmanager
def keys() -> Iterator[Callable[[float], str]]:
    """A function that waits for a key as long as it is told, "" when none came; Ctrl-C still interrupts."""
    descriptor = sys.stdin.fileno()
    before = termios.tcgetattr(descriptor)

    def wait(timeout_s: float) -> str:
        ready, _, _ = select.select([descriptor], [], [], timeout_s)
        return os.read(descriptor, 1).decode("latin-1") if ready else ""

    try:
        tty.setcbreak(descriptor)
        yield wait
    finally:
        termios.tcsetattr(descriptor, termios.TCSADRAIN, before)
